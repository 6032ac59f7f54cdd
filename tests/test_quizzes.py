"""Every quiz: one right answer, or several and saying so, explained, and not given away."""

import json
import re
from pathlib import Path

import nbformat
import pytest

from course_utils.exercises import quizzes

FILES = sorted(quizzes.FOLDER.glob("*.json"))
NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
WHOLE_COURSE = "09"  # a self-assessment: longer


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_quizzes_are_well_formed(path):
    questions = quizzes.load(path.stem)
    assert 5 <= len(questions) <= (16 if path.stem == WHOLE_COURSE else 8)
    assert len({question["question"] for question in questions}) == len(questions)
    text = quizzes.as_text(questions)
    assert text.count("<b>right</b>") >= len(questions)


def stands_out(question):
    """Whether the right answer is given away by its length."""
    lengths = {bool(a.get("correct")): len(a["answer"]) for a in question["answers"]}
    wrong = max(len(a["answer"]) for a in question["answers"] if not a.get("correct"))
    return lengths[True] > 1.25 * wrong


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_choosing_the_longest_answer_does_not_pass(path):
    choices = [q for q in quizzes.load(path.stem) if q["type"] == "multiple_choice"]
    given_away = [q["question"] for q in choices if stands_out(q)]
    assert len(given_away) <= len(choices) / 2, given_away


def asked_in(notebook):
    """(chapter, what is stored as its text) of each quiz in a notebook."""
    for cell in nbformat.read(notebook, 4).cells:
        for chapter in re.findall(r'^quiz\("(.+)"\)$', cell.source, re.M):
            yield chapter, "".join(o.get("data", {}).get("text/html", "") for o in cell.outputs)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_stores_the_quiz_as_it_is(path):
    """What a page without a kernel shows is not an older version."""
    asked = dict(asked_in(path))
    assert set(asked) <= {path.stem.partition("_")[0]}
    for chapter, stored in asked.items():
        assert quizzes.as_text(quizzes.load(chapter)) in stored, "execute this notebook again"


def test_explanations_are_marked_right_or_wrong():
    question, *_ = quizzes.marked(quizzes.load("03a"))
    assert [a["feedback"][0] for a in question["answers"]] == ["✓", "✗", "✗", "✗"]
    assert quizzes.load("03a")[0]["answers"][0]["feedback"][0] != "✓"


def test_numbers_and_ranges_are_read_out():
    answers = [{"value": 3}, {"range": [1, 2]}, {"type": "default"}, {"answer": "a word"}]
    assert [quizzes.answer_as_text(a) for a in answers] == [
        "3", "1 to 2", "any other number", "a word",
    ]  # fmt: skip


FIRST, LAST = 0, 6  # of 03a's questions: a choice, a number


@pytest.mark.parametrize(("number", "change", "fault"), [
    (FIRST, lambda q: q["answers"][0].update(correct=False), "exactly one right answer, has 0"),
    (FIRST, lambda q: q["answers"][1].update(correct=True), "exactly one right answer, has 2"),
    (FIRST, lambda q: q["answers"][1].pop("feedback"), "not explained"),
    (FIRST, lambda q: q.update(type="many_choice"), "say so"),
    (FIRST, lambda q: q.update(type="essay"), "unknown type"),
    (FIRST, lambda q: q["answers"][1].update(answer=q["answers"][2]["answer"]), "all different"),
    (FIRST, lambda q: q["answers"][1].update(answer="All of the above"), "shuffled"),
    (FIRST, lambda q: q.update(question="Is $x$ < 3?"), "plain text only"),
    (LAST, lambda q: q["answers"].pop(), "an answer to all others"),
    (LAST, lambda q: q["answers"][1].update(value=0.8), "two answers"),
    (LAST, lambda q: q["answers"][1].update(type="range", range=[0.7, 0.9]), "two answers"),
    (LAST, lambda q: q["answers"][1].update(type="range", range=[2, 1]), "backwards"),
    (LAST, lambda q: q["answers"][1].pop("value"), "has no number"),
])  # fmt: skip
def test_a_malformed_question_is_caught(number, change, fault):
    question = json.loads((quizzes.FOLDER / "03a.json").read_text(encoding="utf8"))[number]
    assert quizzes.fault_of(question) is None
    change(question)
    assert fault in quizzes.fault_of(question)


def test_a_right_answer_that_stands_out_is_noticed():
    question, *_ = quizzes.load("03a")
    question["answers"][0]["answer"] *= 2
    assert stands_out(question)
