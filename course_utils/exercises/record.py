"""What the reader has solved: noted in one local file, shown as a table."""

import contextlib
import html
import importlib
import json
import os
import tempfile
from dataclasses import dataclass
from datetime import date
from pathlib import Path

FILE = ".progress.json"
WHERE = (
    f"Noted in {FILE} beside the notebooks, and nowhere else: delete this file and it is forgotten."
    " Quizzes are answered within the page, which tells nobody, so they are not counted."
)
COLORS = {"✓": "#009E73", "✗": "#D55E00", "·": "#888888"}
CELL = 'style="text-align:left;vertical-align:top;padding:.2em .8em"'


def path() -> Path:
    """The file: beside the chapters, also for the notebooks in solutions/."""
    here = Path.cwd()
    return (here.parent if here.name == "solutions" else here) / FILE


def note(name: str, passed: bool) -> str | None:
    """Note a check of exercise `name`; a sentence if something stood in the way.

    In solutions/ nothing is noted: those answers are not the reader's own.
    """
    said = None
    try:
        if Path.cwd().name == "solutions":
            return None
        try:
            noted = read()
        except ValueError as fault:
            said, noted = set_aside(fault), {}
        entry = noted.setdefault(name, {"checks": 0})
        if "solved" not in entry:
            entry["checks"] += 1
            if passed:
                entry["solved"] = date.today().isoformat()
            write(noted)
    except OSError as error:
        return f"(Progress is not noted, since {FILE} can't be written: {error.strerror}.)"
    return said


def read() -> dict[str, dict]:
    """What is noted: {"3a.1": {"checks": 2, "solved": "2026-11-24"}}, "solved" where it is.

    Raises ValueError, with a sentence, where the file is not of this form.
    """
    try:
        noted = json.loads(path().read_text(encoding="utf8"))
        for entry in noted.values():
            entry["checks"] + 1
            date.fromisoformat(entry.get("solved", "2026-11-24"))
    except FileNotFoundError:
        return {}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{FILE} is not as this course writes it ({error})") from None
    return noted


def set_aside(fault: ValueError) -> str:
    """Keep a broken file under another name; a sentence about it."""
    number = 1
    while (kept := path().with_name(f".progress.broken-{number}.json")).exists():
        number += 1
    path().rename(kept)
    return f"({fault}. It is kept as {kept.name}, and a new one was begun.)"


def write(noted: dict[str, dict]) -> None:
    """Write the file whole or not at all."""
    handle, partial = tempfile.mkstemp(dir=path().parent, prefix=f"{FILE}.")
    try:
        with open(handle, "w", encoding="utf8") as file:
            json.dump(noted, file, indent=1, sort_keys=True)
        os.replace(partial, path())
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(partial)
        raise


@dataclass(frozen=True)
class Row:
    """An exercise, and what is noted of it."""

    name: str
    title: str
    checks: int = 0
    solved: str | None = None

    @property
    def mark(self) -> str:
        return "✓" if self.solved else "✗" if self.checks else "·"

    @property
    def told(self) -> str:
        """When it was solved, and how many checks that took so far."""
        checks = f"{self.checks} check{'s' if self.checks > 1 else ''}"
        if self.solved:
            return f"solved {self.solved}, {checks}"
        return f"{checks}, not yet solved" if self.checks else ""


@dataclass(frozen=True)
class Progress:
    """All exercises, chapter by chapter: as text, or as a table where there is HTML."""

    chapters: dict[str, list[Row]]
    fault: str = ""

    @property
    def rows(self) -> list[Row]:
        return [row for rows in self.chapters.values() for row in rows]

    def __repr__(self) -> str:
        width = max(len(row.title) for row in self.rows)
        lines = [summary(self.rows)]
        for chapter, rows in self.chapters.items():
            lines += ["", f"{chapter}  {summary(rows)}"]
            lines += [f"  {r.mark} {r.name:5} {r.title:{width}}  {r.told}".rstrip() for r in rows]
        return "\n".join([*lines, "", *filter(None, [self.fault, WHERE])])

    def _repr_html_(self) -> str:
        body = ""
        for chapter, rows in self.chapters.items():
            start = f'<th rowspan="{len(rows)}" {CELL}>{chapter}<br>{summary(rows)}</th>'
            for row in rows:
                mark = f'<b style="color:{COLORS[row.mark]}">{row.mark}</b> {row.name}'
                cells = (mark, html.escape(row.title), row.told)
                body += f"<tr>{start}{''.join(f'<td {CELL}>{cell}</td>' for cell in cells)}</tr>"
                start = ""
        foot = "".join(f"<p>{html.escape(text)}</p>" for text in (self.fault, WHERE) if text)
        head = f"<p><b>{summary(self.rows)}</b></p>"
        return f'<div class="course-progress">{head}<table>{body}</table>{foot}</div>'


def summary(rows: list[Row]) -> str:
    """How many are solved."""
    return f"{sum(row.solved is not None for row in rows)} of {len(rows)} solved"


def progress() -> Progress:
    """What you have solved: each exercise with the day and the number of checks it took.

    `check` notes it in one file, .progress.json, beside the notebooks. Nothing leaves the machine,
    and deleting the file forgets it all. Quizzes can't be counted: a page tells nobody.
    """
    try:
        noted, fault = read(), ""
    except (ValueError, OSError) as error:
        noted, fault = {}, f"{error}. It is left as it is; the next check will set it aside."
    chapters = {}
    for file in sorted(Path(__file__).parent.glob("ch*.py")):
        exercises = importlib.import_module(f"course_utils.exercises.{file.stem}").EXERCISES
        chapters[file.stem.removeprefix("ch")] = [
            Row(name, exercise.title, found.get("checks", 0), found.get("solved"))
            for name, exercise in exercises.items()
            for found in [noted.get(name, {})]
        ]
    return Progress(chapters, fault)
