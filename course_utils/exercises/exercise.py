"""What an exercise is, and how an answer is judged."""

import functools
import html
import importlib.util
import inspect
import traceback
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from course_utils.exercises.sandbox import TooSlow, run

NO_RETURN = "Your function returned None: does it end with `return`?"
NOT_SOLVED = "Not solved yet: replace the line that raises, then check again."
ADVICE = {  # part of an error's text -> what it usually means
    "can't multiply sequence by non-int of type 'float'": (
        "torch.autograd.grad returns a tuple: take the gradient out of it, (gradient,) = ..."
    ),
    "leaf Variable that requires grad": (
        "Make a new tensor, a = a - b, instead of changing the old one, a -= b."
    ),
    "does not have a grad_fn": (
        "What you differentiate does not depend on anything that requires a gradient: was it"
        " detached, or computed under torch.no_grad()?"
    ),
    "must match the size of tensor": (
        "The axes don't fit: look at both shapes. x.unsqueeze(1) has shape (n, 1), which with (m,)"
        " gives (n, m), each with each."
    ),
    "shapes cannot be multiplied": (
        "In a @ b the last axis of a is as long as the first of b: is a transpose missing, or is"
        " the order wrong?"
    ),
    "size mismatch, got input": (
        "In a @ b the last axis of a is as long as the first of b: is a transpose missing, or is"
        " the order wrong?"
    ),
    "to have the same dtype": "One side holds whole numbers: .float() makes numbers of them.",
    "must be either a floating point": "Means are taken of numbers: turn it into such by .float().",
    "not implemented for 'Long'": (
        "Whole numbers stand where others are wanted: are two arguments exchanged, or is .float()"
        " missing?"
    ),
    "only one element tensors can be converted": (
        "This takes a single number, as math.log does: for a whole tensor use torch's own,"
        " torch.log."
    ),
    "tensors used as indices must be": (
        "An index is a whole number: x.min(1) gives values and indices, x.argmin(1) the indices."
    ),
    "backward through the graph a second time": (
        "The graph was freed by the first gradient: ask that one for create_graph=True."
    ),
    "and 'NoneType'": (
        "If the None is a .grad: .grad is filled only at the tensor one starts from: use"
        " torch.autograd.grad(loss, theta)."
    ),
}


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
    """Whether an answer is right, what to say of it, what it printed, and if it is still a stub."""

    passed: bool
    message: str
    printed: str = ""
    unsolved: bool = False

    @property
    def mark(self) -> str:
        return "✓" if self.passed else "○" if self.unsolved else "✗"

    def __repr__(self) -> str:
        gap = "\n" if self.printed and not self.printed.endswith("\n") else ""
        return f"{self.printed}{gap}{self.mark} {self.message}"

    def _repr_html_(self) -> str:
        color = {"✓": "#009E73", "○": "#888888", "✗": "#D55E00"}[self.mark]
        printed = f"<pre>{html.escape(self.printed)}</pre>" if self.printed else ""
        return (
            f'{printed}<div class="course-verdict" style="border-left:6px solid {color};'
            f'padding:.4em .8em;white-space:pre-wrap">{self.mark} {html.escape(self.message)}</div>'
        )


def tidied(name: str) -> str:
    """An exercise's name as it is noted: "3a.1" for "03A.1 " too."""
    if not isinstance(name, str):
        raise ValueError('the name comes first: check("3a.1", my_function)')
    return name.strip().lower().lstrip("0")


def find(name: str) -> Exercise:
    """The exercise called `name`: "3a.1" is the first of chapter 03a."""
    name = tidied(name)
    chapter, _, _ = name.partition(".")
    module = f"course_utils.exercises.ch{chapter.zfill(len(chapter) + 1)}"
    if importlib.util.find_spec(module) is None:
        raise ValueError(f'there is no exercise {name!r}; they are called like "3a.1"')
    exercises = importlib.import_module(module).EXERCISES
    if name not in exercises:
        raise ValueError(f"there is no exercise {name!r}; there are {', '.join(exercises)}")
    return exercises[name]


def judge(exercise: Exercise, answer: object) -> Verdict:
    """Judge an answer in a process of its own, so that nothing it does can hurt the notebook."""
    raised = []  # what came out of the reader's function, not out of the check
    returned = [None]
    routine = inspect.isroutine(answer)

    def watched(*arguments, **named):
        try:
            result = returned[0] = answer(*arguments, **named)
        except Exception as error:
            raised.append(error)
            raise
        if result is None:
            raise Mistake(NO_RETURN)
        if result is ...:
            raise NotImplementedError
        return result

    def judged() -> dict:
        said = None
        try:
            if answer is None or answer is ...:
                raise NotImplementedError
            exercise.judge(functools.wraps(answer)(watched) if routine else answer)
        except Mistake as mistake:
            said = str(mistake)
        except NotImplementedError as error:
            if not str(error):  # a bare `raise NotImplementedError`; torch's own have a text
                message = not_solved(error, answer) if error in raised else NOT_SOLVED
                return {"passed": False, "message": message, "unsolved": True}
            said = where(error, answer)
        except (Exception, SystemExit) as error:
            if not callable(answer):
                said = "Give the check the function itself: its name, without calling it."
            elif routine and isinstance(error, Exception) and error not in raised:
                said = (
                    f"Your function returned {brief(returned[0])}: is that of the kind asked for?"
                    f" The check got no further: {error}."
                )
            else:
                said = where(error, answer)
        return {"passed": said is None, "message": said or f"Right: {exercise.title}."}

    try:
        return Verdict(**run(judged, exercise.seconds))
    except TooSlow as slow:
        return Verdict(False, str(slow), slow.printed)


def brief(value: object) -> str:
    """What a value is, in a few words."""
    text = " ".join(repr(value).split())
    return f"{text if len(text) <= 80 else text[:77] + '...'} ({type(value).__name__})"


def not_solved(error: NotImplementedError, answer: Callable) -> str:
    """Which function is still a stub: the answer, or one that it calls."""
    stub = traceback.extract_tb(error.__traceback__)[-1].name
    if stub == answer.__name__:
        return NOT_SOLVED
    return f"Not solved yet: `{stub}`, which your function calls, still raises."


def where(error: BaseException, answer: object) -> str:
    """The error, the line of the reader's own function in which it arose, and what it may mean."""
    said = f"Your code raised {type(error).__name__}: {error}"
    file = getattr(getattr(answer, "__code__", None), "co_filename", None)
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename == file:
            said += f"\nin line {frame.lineno} of its cell: {frame.line}"
            break
    return "\n".join([said, *(advice for part, advice in ADVICE.items() if part in str(error))])


def numbers(got: object, what: str, kind: str) -> Tensor:
    """What a reader returned, as a tensor; Mistake if `what`, which should be `kind`, is none."""
    if got is None:
        raise Mistake(NO_RETURN)
    try:
        value = torch.as_tensor(got).detach()
    except (TypeError, ValueError, RuntimeError):
        raise Mistake(f"{what} should be {kind}, got {got!r}.") from None
    if value.is_complex():
        raise Mistake(f"{what} should be {kind}, got complex numbers.")
    return value


def compare(
    got: object,
    expected: float | Tensor,
    what: str,
    mistakes: dict[str, float | Tensor],
    case: str = "",
) -> None:
    """Raise Mistake unless `got` is the number, or the tensor of numbers, `expected`.

    `mistakes` maps a diagnosis to what this mistake gives; `case` says what was tried.
    """
    expected = torch.as_tensor(expected)
    kind = f"a tensor of shape {tuple(expected.shape)}" if expected.ndim else "a single number"
    if isinstance(got, (list, tuple)):
        more = "." if expected.ndim else ": is a mean missing?"
        raise Mistake(
            f"{what} should be {kind}, got a {type(got).__name__} of length {len(got)}{more}"
        )
    value = numbers(got, what, kind)
    if value.numel() == 1 and not expected.ndim:
        value = value.reshape(())
    if value.shape != expected.shape:
        more = "."
        if value.numel() == expected.numel() and value.squeeze().shape == expected.squeeze().shape:
            more = ": the numbers are there, an axis of length 1 is too many or too few."
        elif value.ndim > expected.ndim and value.numel():
            more = ": is a mean missing?"
        raise Mistake(f"{what} should be {kind}, got one of shape {tuple(value.shape)}{more}")

    def near(number: float | Tensor) -> bool:
        number = torch.as_tensor(number)
        return bool(((value - number).abs() <= 1e-4 * number.abs().clamp(min=1)).all())

    if near(expected):
        return
    reason = next((sentence for sentence, wrong in mistakes.items() if near(wrong)), "")
    if value.isnan().any():
        reason = (
            "nan comes of 0 / 0, as the mean of nothing is, of the logarithm of a negative number,"
            " or of inf − inf."
        )
    said = f"{what} should be {shown(expected)}, got {shown(value)}. {reason}".strip()
    raise Mistake(f"{said}\nTried with {case}." if case else said)


def shown(value: Tensor) -> str:
    """Numbers with four decimals, 0.5000, or [0.5000, 1.0000]; whole ones as they are."""
    if value.ndim:
        return f"[{', '.join(map(shown, value))}]"
    if not value.is_floating_point():
        return str(value.item())
    return f"{value.item():.4f}"
