"""Every check fails the stub, diagnoses each planted mistake, and passes what is right."""

import importlib
import json
import time
from pathlib import Path

import pytest
import torch

from course_utils import exercises
from course_utils.exercises import quizzes, sandbox
from course_utils.exercises.exercise import find

HERE = Path(__file__).parent
CHAPTERS = [p.stem.removeprefix("exercises_") for p in sorted(HERE.glob("exercises_*.py"))]
CASES = {k: v for c in CHAPTERS for k, v in importlib.import_module(f"exercises_{c}").CASES.items()}


def stub(*arguments):
    raise NotImplementedError


def test_every_exercise_has_its_cases():
    modules = sorted(Path(exercises.__file__).parent.glob("ch*.py"))
    there = {
        name
        for path in modules
        for name in importlib.import_module(f"course_utils.exercises.{path.stem}").EXERCISES
    }
    assert there == set(CASES) and there
    for name, case in CASES.items():
        assert len(case["wrong"]) >= 3 and len(case["right"]) >= 2, name
        assert len(find(name).hints) >= 2, name


@pytest.mark.parametrize("name", CASES)
def test_the_stub_is_not_yet_right(name):
    verdict = exercises.verdict(name, stub)
    assert not verdict.passed and "Not solved yet" in verdict.message
    assert not exercises.verdict(name, None).passed
    assert not exercises.verdict(name, lambda *a: None).passed


@pytest.mark.parametrize(
    ("name", "i"), [(n, i) for n, c in CASES.items() for i in range(len(c["right"]))]
)
def test_right_answers_pass(name, i):
    verdict = exercises.verdict(name, CASES[name]["right"][i])
    assert verdict.passed, verdict


@pytest.mark.parametrize(
    ("name", "diagnosis"), [(n, d) for n, c in CASES.items() for d in c["wrong"]]
)
def test_mistakes_are_diagnosed(name, diagnosis):
    verdict = exercises.verdict(name, CASES[name]["wrong"][diagnosis])
    assert not verdict.passed and diagnosis in verdict.message, verdict


@pytest.mark.parametrize("name", CASES)
def test_the_last_hint_is_the_solution(name):
    """The text, put into a function, passes the check."""
    case = CASES[name]
    body = find(name).hints[-1].replace("\n", "\n    ")
    space = {"torch": torch, **case.get("given", {})}
    exec(f"def answer({case['signature']}):\n    {body}", space)
    assert exercises.verdict(name, space["answer"]).passed


def test_an_error_is_shown_with_its_line():
    def answer(theta, x, y, lr):
        return theta.no_such_thing

    message = exercises.verdict("3a.1", answer).message
    assert "AttributeError" in message and "return theta.no_such_thing" in message


def test_what_the_answer_prints_is_shown():
    def answer(theta, x, y, lr):
        print("here I am")

    verdict = exercises.verdict("3a.1", answer)
    assert verdict.printed == "here I am\n" and "here I am" in verdict._repr_html_()


def endless(*arguments):
    while True:
        pass


def endless_in_torch(*arguments):
    x = torch.eye(200)
    while True:
        x = x @ x


def one_long_call(*arguments):
    torch.linalg.eigvals(torch.randn(3000, 3000))


@pytest.mark.parametrize("loop", [endless, endless_in_torch, one_long_call])
def test_an_endless_answer_is_killed(loop):
    torch.randn(300, 300) @ torch.randn(300, 300)  # torch has been at work before the fork
    theta = torch.ones(2, requires_grad=True)
    theta.sum().backward()
    started = time.monotonic()
    with pytest.raises(sandbox.TooSlow, match=r"still running after 0\.5 seconds"):
        sandbox.in_child(loop, 0.5)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("loop", [endless, endless_in_torch])
def test_where_nothing_can_fork_it_is_interrupted(loop):
    with pytest.raises(sandbox.TooSlow):
        sandbox.interrupted(loop, 0.5)
    assert sandbox.interrupted(lambda: {"a": 1}, 5) == {"a": 1, "printed": ""}


def test_an_answer_that_ends_python_ends_only_its_child():
    import os

    assert "ended Python" in exercises.verdict("3a.1", lambda *a: os._exit(3)).message


def test_hints_come_one_by_one_and_end_with_the_solution(capsys):
    exercises._hints_given.clear()
    for _ in range(4):
        exercises.hint("3a.3")
    said = capsys.readouterr().out
    assert said.index("Hint 1 of 2") < said.index("Hint 2 of 2") < said.index("The solution")
    exercises.hint("3a.3", 1)
    assert "Hint 1 of 2" in capsys.readouterr().out
    with pytest.raises(ValueError, match="has hints 1 to 3, got 9"):
        exercises.hint("3a.3", 9)
    with pytest.raises(ValueError, match=r"there is no exercise '3z\.1'"):
        exercises.hint("3z.1")


@pytest.mark.parametrize("path", sorted(quizzes.FOLDER.glob("*.json")), ids=lambda p: p.stem)
def test_quizzes_are_well_formed(path):
    questions = quizzes.load(path.stem)
    assert 5 <= len(questions) <= 8
    text = quizzes.as_text(questions)
    assert text.count("<b>right</b>") >= len(questions)


@pytest.mark.parametrize(("change", "fault"), [
    (lambda q: q["answers"][0].update(correct=False), "exactly one right answer, has 0"),
    (lambda q: q["answers"][1].update(correct=True), "exactly one right answer, has 2"),
    (lambda q: q["answers"][1].pop("feedback"), "not explained"),
    (lambda q: q.update(type="many_choice"), "say so"),
    (lambda q: q.update(type="essay"), "unknown type"),
    (lambda q: q["answers"][1].update(answer=q["answers"][2]["answer"]), "all different"),
])  # fmt: skip
def test_a_malformed_question_is_caught(change, fault):
    question = json.loads((quizzes.FOLDER / "03a.json").read_text(encoding="utf8"))[0]
    assert quizzes.fault_of(question) is None
    change(question)
    assert fault in quizzes.fault_of(question)
