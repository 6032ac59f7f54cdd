"""Quizzes: questions kept as JSON, shown by jupyterquiz and as plain text."""

import copy
import html
import itertools
import json
import re
from pathlib import Path

from IPython.display import HTML, display
from IPython.utils.capture import capture_output

FOLDER = Path(__file__).parent / "quizzes"
COLORS = {  # the course's palette: white text reads on it, and it reads on either theme's ground
    "--jq-multiple-choice-bg": "#0072B2",
    "--jq-mc-button-bg": "#ffffff",
    "--jq-mc-button-border": "#888888",
    "--jq-mc-button-inset-shadow": "#e0e0e0",
    "--jq-many-choice-bg": "#005780",
    "--jq-numeric-bg": "#004d3a",
    "--jq-numeric-input-bg": "#555555",
    "--jq-numeric-input-label": "var(--jp-content-font-color1, #333333)",
    "--jq-numeric-input-shadow": "#888888",
    "--jq-incorrect-color": "#C85000",
    "--jq-correct-color": "#008860",
    "--jq-text-color": "#ffffff",
    "--jq-link-color": "#cfe8ff",
}


def load(chapter: str) -> list[dict]:
    """The questions of a chapter; ValueError, naming the fault, if they are not well formed."""
    path = FOLDER / f"{chapter}.json"
    if not path.exists():
        there = ", ".join(sorted(p.stem for p in FOLDER.glob("*.json")))
        raise ValueError(f"there is no quiz {chapter!r}; there are {there}")
    questions = json.loads(path.read_text(encoding="utf8"))
    for question in questions:
        if fault := fault_of(question):
            raise ValueError(f"quiz {chapter}, {question.get('question')!r}: {fault}")
    return questions


def fault_of(question: dict) -> str | None:
    """What is wrong with a question, or None: right answers, explanations, kinds, plain text."""
    kind, answers = question.get("type"), question.get("answers", [])
    right = sum(bool(a.get("correct")) for a in answers)
    words = [question.get("question", ""), *(str(a.get("feedback", "")) for a in answers)]
    words += [a["answer"] for a in answers if "answer" in a]
    if kind not in ("multiple_choice", "many_choice", "numeric"):
        return f"unknown type {kind!r}"
    if not all(a.get("feedback") for a in answers):
        return "an answer is not explained"
    if found := re.search(r"[$<>`]", "".join(words)):
        return f"{found[0]!r} is shown as it stands, or read as HTML: plain text only"
    if kind == "many_choice":
        if right < 2 or "all that" not in words[0]:
            return "must have several right answers and say so: 'Select all that ...'"
    elif right != 1:
        return f"must have exactly one right answer, has {right}"
    if kind == "numeric":
        return fault_of_numbers(answers)
    texts = [a.get("answer") for a in answers]
    if len(texts) < 3 or len(set(texts)) < len(texts) or not all(texts):
        return "needs at least three answers, all different"
    if right == len(answers):
        return "has no wrong answer"
    if found := re.search("(all|none|both|any) of (the above|these)", " ".join(texts).lower()):
        return f"{found[0]!r} says nothing where answers are shuffled"
    return None


def fault_of_numbers(answers: list[dict]) -> str | None:
    """What is wrong with the answers to a numeric question: each number foreseen once, any met."""
    spans = [a.get("range", [a.get("value")] * 2) for a in answers if a.get("type") != "default"]
    if any(not isinstance(end, (int, float)) for span in spans for end in span):
        return "an answer has no number"
    if any(low > high for low, high in spans):
        return "a range runs backwards"
    if any(b[0] <= a[1] for a, b in itertools.pairwise(sorted(spans))):
        return "a number has two answers"
    if sum(a.get("type") == "default" for a in answers) != 1 or len(spans) < 2:
        return "needs a foreseen wrong number, and an answer to all others: type default"
    return None


def quiz(chapter: str) -> None:
    """Show the quiz of a chapter, such as "03a", and beneath it the same as text."""
    from jupyterquiz import display_quiz

    questions = load(chapter)
    with capture_output() as shown:
        display_quiz(marked(questions), colors=COLORS, border_radius=6, max_width=720)
    for output in shown.outputs:
        display({kind: at_home(text) for kind, text in output.data.items()}, raw=True)
    display(HTML(as_text(questions)))


def at_home(script: str) -> str:
    """The same without jupyterquiz's typesetting, for which it would fetch MathJax from afar."""
    return re.sub(r"typeof MathJax != 'undefined'", "false", script)


def marked(questions: list[dict]) -> list[dict]:
    """The same with ✓ or ✗ before each explanation, for eyes that don't tell the colours apart."""
    marked = copy.deepcopy(questions)
    for question in marked:
        for answer in question["answers"]:
            answer["feedback"] = f"{'✓' if answer.get('correct') else '✗'} {answer['feedback']}"
    return marked


def answer_as_text(answer: dict) -> str:
    """What is chosen or typed."""
    if "range" in answer:
        return "{} to {}".format(*answer["range"])
    return str(answer.get("answer", answer.get("value", "any other number")))


def as_text(questions: list[dict]) -> str:
    """The questions with all answers explained, for a page without a kernel or JavaScript."""
    items = ""
    for question in questions:
        answers = "".join(
            f"<li>{'<b>right</b>' if a.get('correct') else 'wrong'}: "
            f"{html.escape(answer_as_text(a))}. "
            f"<i>{html.escape(a['feedback'])}</i></li>"
            for a in question["answers"]
        )
        items += f"<li>{html.escape(question['question'])}<ul>{answers}</ul></li>"
    head = "<summary>The questions as text, with the answers explained</summary>"
    return f'<details class="course-quiz-text">{head}<ol>{items}</ol></details>'
