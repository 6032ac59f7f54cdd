"""What an exercise is, and how an answer is judged."""

import html
import importlib
import traceback
from collections.abc import Callable
from dataclasses import dataclass

import torch

from course_utils.exercises.sandbox import TooSlow, run


class Mistake(Exception):
    """Raised by a judge: the sentence says what is wrong with the answer."""


@dataclass(frozen=True)
class Exercise:
    """A task for the reader; `judge` raises Mistake unless the answer is right."""

    title: str
    judge: Callable[[object], None]
    hints: tuple[str, ...]  # the last is the solution
    seconds: float = 20.0  # what an answer may take; torch.func alone needs some to load


@dataclass(frozen=True)
class Verdict:
    """Whether an answer is right, what to say of it, and what it printed."""

    passed: bool
    message: str
    printed: str = ""

    def __repr__(self) -> str:
        return f"{self.printed}{'✓' if self.passed else '✗'} {self.message}"

    def _repr_html_(self) -> str:
        color, mark = ("#009E73", "✓ ") if self.passed else ("#D55E00", "✗ ")
        printed = f"<pre>{html.escape(self.printed)}</pre>" if self.printed else ""
        return (
            f'{printed}<div class="course-verdict" style="border-left:6px solid {color};'
            f'padding:.4em .8em;white-space:pre-wrap">{mark}{html.escape(self.message)}</div>'
        )


def find(name: str) -> Exercise:
    """The exercise called `name`: "3a.1" is the first of chapter 03a."""
    chapter, _, _ = name.partition(".")
    try:
        module = importlib.import_module(
            f"course_utils.exercises.ch{chapter.zfill(len(chapter) + 1)}"
        )
        return module.EXERCISES[name]
    except (ModuleNotFoundError, KeyError):
        raise ValueError(f'there is no exercise {name!r}; they are called like "3a.1"') from None


def judge(exercise: Exercise, answer: object) -> Verdict:
    """Judge an answer in a process of its own, so that nothing it does can hurt the notebook."""

    def judged() -> dict:
        try:
            exercise.judge(answer)
        except Mistake as mistake:
            return {"passed": False, "message": str(mistake)}
        except NotImplementedError:
            return {"passed": False, "message": "Not solved yet: replace the line that raises."}
        except Exception as error:
            return {"passed": False, "message": where(error, answer)}
        return {"passed": True, "message": f"Right: {exercise.title}."}

    try:
        return Verdict(**run(judged, exercise.seconds))
    except TooSlow as slow:
        return Verdict(False, str(slow))


def where(error: Exception, answer: object) -> str:
    """The error, and the line of the reader's own function in which it arose."""
    said = f"Your code raised {type(error).__name__}: {error}"
    file = getattr(getattr(answer, "__code__", None), "co_filename", None)
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename == file:
            return f"{said}\nin line {frame.lineno} of its cell: {frame.line}"
    return said


def compare(got: object, expected: float, what: str, mistakes: dict[str, float]) -> None:
    """Raise Mistake unless `got` is the number `expected`.

    `mistakes` maps a diagnosis to the number that this mistake gives.
    """
    if got is None:
        raise Mistake("Your function returned None: does it end with `return`?")
    try:
        value = float(torch.as_tensor(got).detach())
    except (TypeError, ValueError, RuntimeError):
        raise Mistake(f"{what} should be a single number, got {got!r}") from None

    def near(number: float) -> bool:
        return abs(value - number) <= 1e-4 * max(1.0, abs(number))

    if near(expected):
        return
    reason = next((sentence for sentence, wrong in mistakes.items() if near(wrong)), "")
    raise Mistake(f"{what} should be {expected:.4f}, got {value:.4f}. {reason}".strip())
