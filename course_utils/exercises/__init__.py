"""Exercises with checks that say what is wrong, hints, quizzes, and what has been solved."""

import os

from IPython.display import display

from course_utils.exercises.exercise import Verdict, find, judge, tidied
from course_utils.exercises.quizzes import quiz
from course_utils.exercises.record import note, progress

__all__ = ["check", "hint", "progress", "quiz", "verdict"]

_hints_given: dict[str, int] = {}
_told: set[str] = set()  # what stood in the way of noting progress: said once


def verdict(name: str, answer: object) -> Verdict:
    """What is to be said of `answer` to exercise `name`, such as "3a.1"; nothing is shown.

    Raises ValueError for an exercise that does not exist.
    """
    return judge(find(name), answer)


def check(name: str, answer: object) -> None:
    """Show whether `answer` solves exercise `name`, and if not, what is wrong with it.

    What is solved is noted for `progress`, in a file beside the notebook.
    """
    found = verdict(name, answer)
    display(found)
    if not found.unsolved and (said := note(tidied(name), found.passed)) and said not in _told:
        _told.add(said)
        print(said)


def hint(name: str, number: int | None = None) -> None:
    """Print the next hint for exercise `name`, or hint `number`; the last is the solution.

    Where the environment variable COURSE_SOLUTIONS is 0, as in a class, the solution is left out.
    """
    name = tidied(name)
    hints = find(name).hints
    clues = len(hints) - 1
    if os.environ.get("COURSE_SOLUTIONS") == "0":
        hints = hints[:-1]
    if number is None:
        number = min(_hints_given.get(name, 0) + 1, len(hints))
    if not isinstance(number, int) or not 1 <= number <= len(hints):
        raise ValueError(f"exercise {name} has hints 1 to {len(hints)}, got {number!r}")
    _hints_given[name] = number
    kind = f"Hint {number} of {clues}" if number <= clues else "The solution"
    print(f"{kind}: {hints[number - 1]}")
