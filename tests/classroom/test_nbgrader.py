"""The assignments with the real nbgrader, from the source tree to the feedback."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ASSIGNMENT = "03a_gradient_based"
NOTEBOOK = f"{ASSIGNMENT}/{ASSIGNMENT}.ipynb"
FIRST_ORDER = """(g,) = torch.autograd.grad(((theta * x - y) ** 2).mean(), theta)
    return theta - lr * g"""


def run(folder: Path, *command: str) -> str:
    """Run one of this environment's commands in `folder`; what it said."""
    bin = Path(sys.executable).parent
    env = os.environ | {"PATH": f"{bin}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [bin / command[0], *command[1:]], cwd=folder, env=env, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


def code(path: Path) -> list[str]:
    """The code cells of the notebook at `path`."""
    return [c.source for c in nbformat.read(path, 4).cells if c.cell_type == "code"]


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A course whose one assignment was released, worked on, graded and given back."""
    folder = tmp_path_factory.mktemp("class") / "course"
    run(folder.parent, "python", "-m", "course_utils.classroom", "nbgrader", str(folder))
    run(folder, "nbgrader", "generate_assignment", ASSIGNMENT)
    hand_in(folder, "right", solve)
    hand_in(folder, "wrong", mistake)
    hand_in(folder, "sly", tamper)
    run(folder, "nbgrader", "autograde", ASSIGNMENT)
    run(folder, "nbgrader", "generate_feedback", ASSIGNMENT)
    return folder


def hand_in(course: Path, student: str, work) -> None:
    """Put the released notebook, with each of its code cells worked on, where nbgrader looks."""
    notebook = nbformat.read(course / "release" / NOTEBOOK, 4)
    solutions = nbformat.read(course / "source" / NOTEBOOK, 4)
    for cell, solution in zip(notebook.cells, solutions.cells, strict=True):
        if cell.cell_type == "code":
            cell.source = work(cell.source, solution.source)
    path = course / "submitted" / student / NOTEBOOK
    path.parent.mkdir(parents=True)
    nbformat.write(notebook, path)


def solve(stub: str, solution: str) -> str:
    return solution


def mistake(stub: str, solution: str) -> str:
    """The first as first-order MAML, the second not at all, the third right."""
    if "def inner_step" in stub:
        return stub.replace("raise NotImplementedError", FIRST_ORDER)
    return solution if "def reptile_update" in stub else stub


def tamper(stub: str, solution: str) -> str:
    """Nothing is solved, but the cells that grade are silenced."""
    return "pass" if "grade(" in stub else stub


@pytest.fixture(scope="module")
def scores(course):
    """By student, the points for each exercise."""
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        return {
            submission.student.id: {
                grade.name: grade.score for book in submission.notebooks for grade in book.grades
            }
            for submission in gradebook.assignment_submissions(ASSIGNMENT)
        }


def test_the_release_has_stubs_and_no_solutions(course):
    released = "\n".join(code(course / "release" / NOTEBOOK))
    assert released.count("raise NotImplementedError") == 3 == released.count("grade(")
    assert "create_graph" not in released and "SOLUTION" not in released
    assert "create_graph" in "\n".join(code(course / "source" / NOTEBOOK))


def test_right_answers_get_all_points(scores):
    assert scores["right"] == {"grade-3a-1": 1, "grade-3a-2": 1, "grade-3a-3": 1}


def test_a_wrong_answer_and_a_missing_one_get_none(scores):
    assert scores["wrong"] == {"grade-3a-1": 0, "grade-3a-2": 0, "grade-3a-3": 1}


def test_silencing_the_grader_is_of_no_use(scores):
    assert set(scores["sly"].values()) == {0}


def test_feedback_says_what_is_wrong(course):
    page = (course / "feedback" / "wrong" / NOTEBOOK).with_suffix(".html").read_text("utf8")
    assert "this is first-order MAML" in page
    assert "Not solved yet" in page and "Right: Reptile" in page
