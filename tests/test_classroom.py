"""What a class is handed out: nothing in it solves an exercise, nothing half-written is left."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from course_utils import exercises
from course_utils.classroom import assignments, student
from course_utils.exercises import verdict

TEACHING = Path(__file__).parents[1] / "TEACHING.md"
CHAPTERS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
SOLVED = [p for p in CHAPTERS if (p.parent / "solutions" / p.name).exists()]


def run(*arguments):
    command = [sys.executable, "-m", "course_utils.classroom", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture(scope="module")
def edition(tmp_path_factory):
    folder = tmp_path_factory.mktemp("student") / "edition"
    student.write(folder)
    return folder


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nbgrader") / "tree"
    assignments.write(folder)
    return folder


def test_the_student_edition_has_every_chapter_and_nothing_run(edition):
    there = sorted(p.relative_to(edition) for p in edition.rglob("*") if p.is_file())
    assert there == [Path("README.md"), *(Path("notebooks", p.name) for p in CHAPTERS)]
    for path, original in zip(sorted(edition.glob("notebooks/*")), CHAPTERS, strict=True):
        notebook = nbformat.read(path, 4)
        nbformat.validate(notebook)
        code = [c for c in notebook.cells if c.cell_type == "code"]
        assert all(c.outputs == [] and c.execution_count is None for c in code)
        assert [c.source for c in code] == [
            c.source for c in nbformat.read(original, 4).cells if c.cell_type == "code"
        ]


def test_the_student_edition_promises_no_solutions(edition):
    """Nor does it lose more than the sentences that did."""
    for path in edition.glob("notebooks/*.ipynb"):
        old, new = (
            "\n".join(c.source for c in nbformat.read(p, 4).cells if c.cell_type == "markdown")
            for p in (student.NOTEBOOKS / path.name, path)
        )
        assert "solutions/" not in new and "the solution last" not in new, path.name
        assert "is the solution." not in new, path.name
        assert len(old.split()) - len(new.split()) <= 12, path.name
        assert "## Exercises" in new or path.stem == "00_start_here"


@pytest.mark.parametrize(("said", "left"), [
    ("Explained solutions are in `solutions/01_x.ipynb`.", ""),
    ("One.\n\nSolutions: `solutions/01_x.ipynb`. Go\nfurther.", "One.\n\nGo\nfurther."),
    ("The solution of H v = g is v.", "The solution of H v = g is v."),
    ("`hint()` helps; the last is the solution. On.", "`hint()` helps. On."),
])  # fmt: skip
def test_sentences_on_solutions_go(said, left):
    assert student.without_promises(said) == left


def cells(path: Path, kind: str) -> list[str]:
    return [
        c.source for c in nbformat.read(path, 4).cells
        if c.metadata.get("nbgrader", {}).get(kind) or (not kind and c.cell_type == "code")
    ]  # fmt: skip


@pytest.mark.parametrize("chapter", SOLVED, ids=lambda p: p.stem)
def test_an_assignment_with_its_solutions_passes_and_without_them_fails(tree, chapter):
    """Run with the solutions, every cell that grades passes; with the stubs, none does."""
    path = tree / "source" / chapter.stem / chapter.name
    asked, graders, code = (cells(path, kind) for kind in ("solution", "grade", ""))
    assert len(asked) == len(graders) >= 3
    space = {}
    for source in code[1:]:
        exec(source, space)
    for source in asked:
        head, _, rest = source.partition("### BEGIN SOLUTION\n")
        assert rest.count("### END SOLUTION") == 1
        exec(head + "raise NotImplementedError" + rest.partition("### END SOLUTION")[2], space)
    for source in graders:
        with pytest.raises(AssertionError, match="Not solved yet"):
            exec(source, space)


def test_there_is_an_assignment_for_each_chapter_with_exercises(tree):
    assert sorted(p.name for p in (tree / "source").iterdir()) == [p.stem for p in SOLVED]
    assert len(SOLVED) >= 7 and "get_config()" in (tree / "nbgrader_config.py").read_text()


@pytest.mark.parametrize(("numbers", "said"), [
    ({}, "asks for `lonely` and has no check"),
    ({"lonely": "9.9"}, "no check of exercise 9.9"),
])  # fmt: skip
def test_an_exercise_without_a_check_or_a_solution_is_named(numbers, said):
    stub = "def lonely(x):\n    raise NotImplementedError"
    with pytest.raises(ValueError, match=said):
        assignments.answer(stub, numbers, {})


def test_helpers_beside_a_solution_come_along():
    source = "HALF = 0.5\n\n\ndef f(x):\n    '''Doc.'''\n    # why\n    return HALF * x\n"
    assert assignments.body(source, "f") == "HALF = 0.5\n# why\nreturn HALF * x"


@pytest.mark.parametrize("name", ["student", "nbgrader"])
def test_a_folder_in_use_is_refused_and_left_as_it_is(tmp_path, name):
    (tmp_path / "mine.txt").write_text("mine")
    done = run(name, tmp_path)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == f"{tmp_path} is not empty: name a new or an empty folder\n"
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]
    done = run(name, tmp_path / "mine.txt")
    assert done.stderr == f"{tmp_path / 'mine.txt'} is a file: name a new or an empty folder\n"


def test_from_the_command_line_into_an_empty_folder(tmp_path):
    done = run("student", tmp_path)
    assert done.returncode == 0 and str(tmp_path) in done.stdout, done.stderr
    assert (tmp_path / "notebooks" / "01_background.ipynb").exists()


def test_nothing_half_written_is_left(tmp_path):
    with pytest.raises(RuntimeError), student.new_folder(tmp_path / "a" / "out") as folder:
        (folder / "half").touch()
        raise RuntimeError
    assert list((tmp_path / "a").iterdir()) == []


def test_without_the_chapters_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(student, "NOTEBOOKS", tmp_path)
    with pytest.raises(FileNotFoundError, match="in a checkout of the course"):
        student.write(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_class_can_keep_the_solutions_out_of_the_hints(monkeypatch, capsys):
    exercises._hints_given.clear()
    monkeypatch.setenv("COURSE_SOLUTIONS", "0")
    for _ in range(4):
        exercises.hint("3a.3")
    said = capsys.readouterr().out
    assert "Hint 2 of 2" in said and "The solution" not in said
    with pytest.raises(ValueError, match="has hints 1 to 2, got 3"):
        exercises.hint("3a.3", 3)
    assert verdict("3a.3", lambda *a: ...).unsolved


def plans():
    """By heading, the minutes in the first column of each table of TEACHING.md that has them."""
    found, heading = {}, ""
    for line in TEACHING.read_text(encoding="utf8").splitlines():
        if line.startswith("#") or re.match(r"\*\*\w+ day", line):
            heading = line.strip("#* ")
        elif row := re.match(r"\| (\d+) \|", line):
            found.setdefault(heading, []).append(int(row[1]))
    return found


def test_the_plans_fill_their_time():
    minutes = {heading: sum(column) for heading, column in plans().items()}
    assert minutes == {
        "One lecture, 90 minutes": 90,
        "First day: the ideas.": 360,
        "Second day: doing it, and being honest.": 360,
        "A half-course of six weeks": 1 + 2 + 3 + 4 + 5 + 6,  # its weeks
    }


def test_teaching_names_exercises_and_places_that_exist():
    text = TEACHING.read_text(encoding="utf8")
    for target in re.findall(r"\]\(([^)#]+)", text):
        assert (TEACHING.parent / target).exists(), target
    for name in set(re.findall(r"\b\d[abcd]?\.\d\b", text)):
        assert exercises.verdict(name, None).unsolved, name
