"""The form of the chapters, each rule of it tested on a bad notebook too."""

import re
import statistics
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SOLUTIONS = sorted((ROOT / "notebooks" / "solutions").glob("*.ipynb"))
FIRST_CELL = """try:
    import course_utils
except ModuleNotFoundError:  # a bare kernel, as in Colab: README, "Colab"
    %pip install --quiet /content/course"""
CLOSING = ("Take-aways", "Exercises", "Quiz", "To read", "Next")
WITHOUT_EXERCISES = {"00_start_here"}
MEGABYTE = 2**20


def code(notebook):
    return [c for c in notebook.cells if c.cell_type == "code" and c.source.strip()]


def prose(notebook):
    return "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")


def lines(cell):
    return sum(bool(line.strip()) for line in cell.source.split("\n"))


# --- the rules: each yields what is wrong --------------------------------------------------------


def cell_lengths(notebook, name):
    lengths = sorted(map(lines, code(notebook)))
    if statistics.median(lengths) > 5:
        yield f"median code cell has {statistics.median(lengths)} lines, more than 5"
    if lengths[int(0.9 * (len(lengths) - 1))] > 20:
        yield "more than one code cell in ten has over 20 lines"
    if lengths[-1] > 30:
        yield f"a code cell has {lengths[-1]} lines, more than 30"


def executed(notebook, name):
    counts = [c.execution_count for c in code(notebook)]
    if counts != list(range(1, len(counts) + 1)):
        yield f"not executed in order from a fresh kernel: {counts}"
    for cell in code(notebook):
        for output in cell.outputs:
            if output.output_type == "error":
                yield f"an error is stored: {output.ename}"
            if output.output_type == "stream" and output.name == "stderr":
                yield f"stderr is stored: {output.text[:60]!r}"


def portable(notebook, name):
    text = "".join(str(c.get("outputs", "")) for c in notebook.cells)
    if found := re.search(r"/(root|home|tmp|Users|work)/[\w./-]+", text):
        yield f"an output names a path of one machine: {found[0]}"
    if "widgets" in notebook.metadata:
        yield "widget state is stored"


def first_cell(notebook, name):
    if code(notebook)[0].source != FIRST_CELL:
        yield "the first code cell is not the one that finds course_utils"
    rest = "\n".join(c.source for c in code(notebook)[1:])
    if re.search(r"(?<!from )(?<!import )\bcourse_utils\.", rest) and not re.search(
        r"^import course_utils$", rest, re.M
    ):
        yield "uses course_utils, which after %pip install the first cell has not imported"


def opening(notebook, name):
    head = "\n".join(c.source for c in notebook.cells[:3])
    if not re.match(r"# .+\n+## .*[\u4e00-\u9fff]", notebook.cells[0].source):
        yield "does not open with '# Title' and '## 中文' beneath"
    for word in ("you will be able to", "Prerequisites", "minutes"):
        if word.lower() not in head.lower():
            yield f"the opening does not say: {word}"


def closing(notebook, name):
    if name in WITHOUT_EXERCISES:
        return
    headings = re.findall(r"^##+ (.*)$", prose(notebook), re.M)
    positions = [next((i for i, h in enumerate(headings) if w in h), None) for w in CLOSING]
    if None in positions or positions != sorted(positions):
        yield f"does not close with {', '.join(CLOSING)} in this order"
    sources = "\n".join(c.source for c in code(notebook))
    if len(re.findall(r"^check\(", sources, re.M)) < 3:
        yield "has fewer than three exercises with a check"
    if "quiz(" not in sources:
        yield "has no quiz"
    if not (ROOT / "notebooks" / "solutions" / f"{name}.ipynb").exists():
        yield "has no notebook of solutions"


def amount_of_prose(notebook, name):
    words = len(re.findall(r"[\w’'-]+", prose(notebook)))
    if name not in WITHOUT_EXERCISES and not 2000 <= words <= 3800:
        yield f"has {words} words of prose, not about 2,000 to 3,500"


def tone(notebook, name):
    text = re.sub(r"`[^`]*`|\$[^$]*\$|!\[[^\]]*\]", "", prose(notebook))
    if "!" in text:
        yield "has an exclamation mark"


RULES = (
    cell_lengths, executed, portable, first_cell, opening, closing, amount_of_prose, tone,
)  # fmt: skip


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.__name__)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_chapter(path, rule):
    assert list(rule(nbformat.read(path, 4), path.stem)) == []


@pytest.mark.parametrize("rule", [executed, portable, first_cell], ids=lambda r: r.__name__)
@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda p: p.stem)
def test_solutions(path, rule):
    assert list(rule(nbformat.read(path, 4), path.stem)) == []


def too_big(sizes):
    """What is wrong with notebooks of these sizes in bytes, by name."""
    yield from (f"{name} has more than 2.5 MB" for name in sizes if sizes[name] > 2.5 * MEGABYTE)
    if sum(sizes.values()) >= 12 * MEGABYTE:
        yield "all have more than 12 MB"


def test_the_folder_stays_small():
    assert list(too_big({p.name: p.stat().st_size for p in NOTEBOOKS + SOLUTIONS})) == []


# --- a check that can't fail is none -------------------------------------------------------------


def notebook(*cells):
    made = []
    count = 0
    for kind, source, *outputs in cells:
        if kind == "text":
            made.append(nbformat.v4.new_markdown_cell(source))
        else:
            count += 1
            made.append(nbformat.v4.new_code_cell(source, execution_count=count, outputs=outputs))
    return nbformat.v4.new_notebook(cells=made)


def out(kind, **content):
    return nbformat.v4.new_output(kind, **content)


def chapter(**changed):
    """A notebook that keeps all rules, or with `changed` parts one that breaks some."""
    parts = {
        "head": ("text", "# T\n\n## 元学习\n\nyou will be able to; Prerequisites; minutes"),
        "first": ("code", FIRST_CELL),
        "prose": ("text", "word " * 2500),
        "close": ("text", "\n".join(f"## {heading}" for heading in CLOSING)),
        "checks": ("code", "\n".join(["check('1', f)"] * 3)),
        "quiz": ("code", "quiz('1')"),
    } | changed
    return notebook(*parts.values())


ERROR = out("error", ename="E", evalue="", traceback=[])
STDERR = out("stream", name="stderr", text="Warning")
PATH = out("stream", name="stdout", text="/".join(["", "home", "me", "x.py"]))
HEAD = "# T\n\n## 元学习\n\n"
BAD = {
    "median": (cell_lengths, notebook(("code", "a\n" * 6))),
    "a code cell has 31": (cell_lengths, notebook(*[("code", "a")] * 2, ("code", "a\n" * 31))),
    "one code cell in ten": (
        cell_lengths, notebook(*[("code", "a")] * 7, *[("code", "a\n" * 21)] * 3),
    ),
    "an error is stored": (executed, notebook(("code", "1/0", ERROR))),
    "stderr is stored": (executed, notebook(("code", "x", STDERR))),
    "a path of one machine": (portable, notebook(("code", "x", PATH))),
    "the first code cell": (first_cell, chapter(first=("code", "import course_utils"))),
    "has not imported": (first_cell, chapter(prose=("code", "course_utils.report()"))),
    "中文": (opening, chapter(head=("text", "# T\n\nyou will be able to"))),
    "does not say: you will be able to": (opening, chapter(head=("text", HEAD + "minutes"))),
    "does not say: Prerequisites": (opening, chapter(head=("text", HEAD + "minutes"))),
    "does not say: minutes": (opening, chapter(head=("text", HEAD + "Prerequisites"))),
    "in this order": (closing, chapter(close=("text", "## Quiz\n\n## Take-aways"))),
    "fewer than three": (closing, chapter(checks=("code", "check('1', f)"))),
    "no quiz": (closing, chapter(quiz=("code", "pass"))),
    "no notebook of solutions": (closing, chapter()),
    "500 words": (amount_of_prose, notebook(("text", "word " * 500))),
    "5000 words": (amount_of_prose, notebook(("text", "word " * 5000))),
    "exclamation": (tone, chapter(prose=("text", "Well done!"))),
}  # fmt: skip


@pytest.mark.parametrize("complaint", BAD)
def test_a_bad_notebook_is_caught(complaint):
    rule, bad = BAD[complaint]
    assert any(complaint in found for found in rule(bad, "no-such-chapter"))


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.__name__)
def test_a_good_notebook_is_not(rule, monkeypatch, tmp_path):
    (tmp_path / "notebooks" / "solutions").mkdir(parents=True)
    (tmp_path / "notebooks" / "solutions" / "good.ipynb").touch()
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    assert list(rule(chapter(), "good")) == []


def test_stored_widget_state_is_caught():
    bad = chapter()
    bad.metadata["widgets"] = {}
    assert list(portable(bad, "chapter"))


def test_a_big_folder_is_caught():
    assert list(too_big({"a": 2 * MEGABYTE})) == []
    assert list(too_big({"a": 3 * MEGABYTE})) == ["a has more than 2.5 MB"]
    assert list(too_big(dict.fromkeys("abcdef", 2 * MEGABYTE))) == ["all have more than 12 MB"]


def test_cells_run_out_of_order_are_caught():
    bad = notebook(("code", "a"), ("code", "b"))
    bad.cells[0].execution_count = 7
    assert list(executed(bad, "chapter"))
