"""Every check fails the stub, diagnoses each planted mistake, and passes what is right."""

import importlib
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
import test_notebooks
import torch

from course_utils import exercises
from course_utils.exercises import exercise as exercise_module
from course_utils.exercises import quizzes, sandbox
from course_utils.exercises.exercise import Exercise, find

HERE = Path(__file__).parent
NOTEBOOKS = HERE.parent / "notebooks"
CHECK = re.compile(r"^check\(\"(.+)\", (\w+)\)$", re.M)
WITH_EXERCISES = [
    p for p in sorted(NOTEBOOKS.glob("*.ipynb")) if p.stem not in test_notebooks.WITHOUT_EXERCISES
]
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
        assert len({answer.__code__ for answer in case["right"]}) == len(case["right"]), name
        assert len(find(name).hints) >= 2, name


@pytest.mark.parametrize("path", WITH_EXERCISES, ids=lambda p: p.stem)
def test_a_chapter_has_all_that_belongs_to_it(path):
    chapter = path.stem.partition("_")[0]
    assert len(names_of(path)) >= 3 and chapter in CHAPTERS
    assert (quizzes.FOLDER / f"{chapter}.json").exists()
    assert (NOTEBOOKS / "solutions" / path.name).exists()


def names_of(path):
    """The exercises that belong to a notebook: those of chapter 3a to 03a_gradient_based."""
    chapter = path.stem.partition("_")[0].lstrip("0")
    return {name for name in CASES if name.partition(".")[0] == chapter}


def checks_in(path, wanted=""):
    """Run the code cells that contain `wanted`; then (exercise, answer) for each check."""
    space = {}
    sources = [c.source for c in nbformat.read(path, 4).cells if c.cell_type == "code"]
    for source in sources[1:]:
        if wanted in source:
            exec(CHECK.sub("", source), space)
        for name, answer in CHECK.findall(source):
            yield name, space[answer]


@pytest.mark.parametrize("path", WITH_EXERCISES, ids=lambda p: p.stem)
def test_a_chapter_has_a_stub_for_each_of_its_exercises(path):
    found = dict(checks_in(path, "raise NotImplementedError"))
    assert set(found) == names_of(path)
    assert all(exercises.verdict(name, answer).unsolved for name, answer in found.items())


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("solutions/*.ipynb")), ids=lambda p: p.stem)
def test_the_solutions_solve_each_exercise(path):
    found = list(checks_in(path))
    assert {name for name, _ in found} == names_of(path) != set()
    for name, answer in found:
        assert exercises.verdict(name, answer).passed, name


@pytest.mark.parametrize("answer", [stub, lambda *a: ..., None, ...])
@pytest.mark.parametrize("name", CASES)
def test_a_stub_is_not_yet_solved(name, answer):
    verdict = exercises.verdict(name, answer)
    assert verdict.unsolved and not verdict.passed and "Not solved yet" in verdict.message
    assert repr(verdict).startswith("○")


def test_the_helper_that_is_still_a_stub_is_named():
    def answer(theta, tasks, lr):
        return stub(theta)

    verdict = exercises.verdict("3a.2", answer)
    assert verdict.unsolved and "`stub`, which your function calls" in verdict.message


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


def changed(value, change):
    """`value` with `change` made to it, or to each of its parts."""
    if isinstance(value, (tuple, list)):
        return type(value)(changed(part, change) for part in value)
    return change(torch.as_tensor(value).detach())


NO_ANSWERS = {  # what a right answer becomes that can't be right any more
    "raises": lambda value: 1 / 0,
    "text": lambda value: "abc",
    "a dictionary": lambda value: {"answer": value},
    "empty": lambda value: torch.zeros(0),
    "a function": lambda value: lambda: value,
    "not a number": lambda value: changed(value, lambda x: x * float("nan")),
    "nothing twice": lambda value: (None, None),
}
IN_ANOTHER_FORM = {  # taken, or told what is wrong with the form
    "NumPy": lambda value: changed(value, lambda x: x.numpy()),
    "lists": lambda value: changed(value, lambda x: x.tolist()),
    "in a list": lambda value: [value],
    "an axis more": lambda value: changed(value, lambda x: x.unsqueeze(-1)),
    "an axis more in front": lambda value: changed(value, lambda x: x.unsqueeze(0)),
    "detached": lambda value: changed(value, lambda x: x.clone()),
    "complex": lambda value: changed(value, lambda x: x * 1j),
}


@pytest.mark.parametrize("name", CASES)
def test_whatever_comes_back_is_answered_in_a_sentence(name):
    right = CASES[name]["right"][0]
    for what, change in (NO_ANSWERS | IN_ANOTHER_FORM).items():
        verdict = exercises.verdict(name, lambda *a, change=change: change(right(*a)))
        assert what in IN_ANOTHER_FORM or not verdict.passed, what
        assert not verdict.unsolved and len(verdict.message) < 1500, what
        assert "Traceback" not in verdict.message, (what, verdict.message)


@pytest.mark.parametrize("name", [n for n, case in CASES.items() if case["signature"]])
def test_one_lucky_case_is_not_enough(name):
    """An answer that says the same again, whatever it is asked, does not pass."""
    right, said = CASES[name]["right"][0], []

    def answer(*arguments):
        said.append(said[0] if said else right(*arguments))
        return said[0]

    assert not exercises.verdict(name, answer).passed


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


@pytest.mark.parametrize(("answer", "said"), [
    (torch.ones(()), "Give the check the function itself"),
    (lambda theta: theta, "takes 1 positional argument but 4 were given"),
    (lambda *a: sys.exit(), "raised SystemExit"),
    (lambda *a: os._exit(3), "ended Python itself"),
    (lambda *a: "abc", "should be a single number, got 'abc'"),
    (lambda *a: [1.0], "should be a single number, got a list of length 1"),
    (lambda *a: 1.0, "should be 0.8000, got 1.0000"),
    (lambda *a: torch.nn.Module()(), 'missing the required "forward"'),
])  # fmt: skip
def test_what_is_no_answer_is_told(answer, said):
    verdict = exercises.verdict("3a.1", answer)
    assert not verdict.passed and not verdict.unsolved and said in verdict.message


def test_an_error_of_the_check_is_not_the_readers():
    def judge(answer):
        return answer().missing

    exercise = Exercise("title", judge, ("solution",))
    message = exercise_module.judge(exercise, lambda: 1).message
    assert message.startswith("Your function returned 1 (int): is that of the kind asked for?")
    assert "'int' object" in message


def test_what_the_answer_prints_is_shown():
    def answer(theta, x, y, lr):
        print("<here I am>")
        print("take care", file=sys.stderr)

    verdict = exercises.verdict("3a.1", answer)
    assert verdict.printed.startswith("<here I am>\n") and "take care" in verdict.printed
    assert "&lt;here I am&gt;" in verdict._repr_html_() and "<here" not in verdict._repr_html_()


def says_much(*arguments):
    while True:
        print("step")


@pytest.mark.parametrize("way", [sandbox.in_child, sandbox.interrupted])
def test_what_a_stopped_answer_printed_is_kept_within_bounds(way):
    with pytest.raises(sandbox.TooSlow) as slow:
        way(says_much, 0.5)
    assert slow.value.printed.startswith("step\nstep\n")
    assert len(slow.value.printed) < sandbox.MOST + 20


def test_a_verdict_is_read_without_colour():
    for name, answer, mark in (("3a.3", CASES["3a.3"]["right"][0], "✓ Right"), ("3a.3", stub, "○"),
                               ("3a.3", lambda *a: 1, "✗ The new θ should")):  # fmt: skip
        verdict = exercises.verdict(name, answer)
        assert repr(verdict).startswith(mark) and mark in verdict._repr_html_()
        assert "background" not in verdict._repr_html_()  # the theme's own, light or dark


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


def asleep(*arguments):
    time.sleep(60)


@pytest.mark.parametrize("loop", [endless, endless_in_torch, asleep])
def test_where_nothing_can_fork_it_is_interrupted(loop):
    started = time.monotonic()
    with pytest.raises(sandbox.TooSlow):
        sandbox.interrupted(loop, 0.5)
    assert time.monotonic() - started < 5
    assert sandbox.interrupted(lambda: {"a": 1}, 5) == {"a": 1, "printed": ""}


def test_one_long_call_is_interrupted_when_it_ends():
    with pytest.raises(sandbox.TooSlow):
        sandbox.interrupted(lambda: {"a": torch.linalg.eigvals(torch.randn(1500, 1500))[0]}, 0.1)


def test_ctrl_c_is_not_taken_for_a_time_out():
    def interrupted_by_hand():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sandbox.interrupted(interrupted_by_hand, 5)


def test_where_nothing_can_fork(monkeypatch):
    monkeypatch.setattr(sandbox, "THREADED", {"a library with threads"})
    assert sandbox.can_fork()
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "a library with threads", sys)
        assert not sandbox.can_fork()
    with monkeypatch.context() as patch:
        patch.setattr(torch.cuda, "is_initialized", lambda: True)
        assert not sandbox.can_fork()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "platform", "darwin")
        assert not sandbox.can_fork()
    with monkeypatch.context() as patch:
        patch.delattr(os, "fork")
        assert not sandbox.can_fork()


def test_checks_work_where_nothing_can_fork(monkeypatch):
    # not by patching sys.platform: what torch imports meanwhile would take it to heart
    monkeypatch.setattr(sandbox, "can_fork", lambda: False)
    monkeypatch.setattr(sandbox, "in_child", None)
    for name, case in CASES.items():
        assert exercises.verdict(name, case["right"][0]).passed
        for diagnosis, answer in case["wrong"].items():
            assert diagnosis in exercises.verdict(name, answer).message
    assert "raised SystemExit" in exercises.verdict("3a.1", lambda *a: sys.exit()).message


@pytest.mark.parametrize("way", [sandbox.in_child, sandbox.interrupted])
def test_random_numbers_go_on_as_if_nothing_had_been(way):
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    way(lambda: {"drawn": torch.manual_seed(7).initial_seed() + torch.rand(5).numel()}, 5)
    assert torch.equal(torch.rand(3), expected)


def test_the_child_leaves_the_parents_end_to_the_parent():
    """What is printed but not flushed comes out once, and goodbyes are said once."""
    script = (
        "import atexit\n"
        "from course_utils.exercises import verdict\n"
        "atexit.register(print, 'goodbye')\n"
        "print('hello')\n"
        "print(verdict('3a.3', lambda theta, adapted, lr: theta).passed)\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (ran.stdout, ran.stderr) == ("hello\nFalse\ngoodbye\n", "")


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
    with pytest.raises(ValueError, match="has hints 1 to 3, got 0"):
        exercises.hint("3a.3", 0)
    with pytest.raises(ValueError, match="has hints 1 to 3, got '2'"):
        exercises.hint("3a.3", "2")
    with pytest.raises(ValueError, match=r"there is no exercise '3z\.1'"):
        exercises.hint("3z.1")
    with pytest.raises(ValueError, match=r"there are 3a\.1, 3a\.2, 3a\.3"):
        exercises.hint("3a.9")


def test_a_name_is_known_however_it_is_written(monkeypatch, capsys):
    noted = []
    monkeypatch.setattr(exercises, "note", lambda name, passed: noted.append(name))
    exercises._hints_given.clear()
    for name in ("03a.3", "3A.3", " 3a.3 "):
        exercises.check(name, CASES["3a.3"]["right"][0])
        exercises.hint(name)
    assert noted == ["3a.3"] * 3
    assert "The solution" in capsys.readouterr().out


@pytest.mark.parametrize("call", [
    lambda: exercises.check(stub, "3a.1"), lambda: exercises.hint(stub), lambda: find(3.1),
])  # fmt: skip
def test_the_name_comes_first(call):
    with pytest.raises(ValueError, match=r'the name comes first: check\("3a\.1", my_function\)'):
        call()
