"""A batch of tasks, and what deals such batches."""

import operator
from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor


class Tasks(NamedTuple):
    """A batch of T tasks; support is what a learner may learn from, query what it is judged on."""

    support_x: Tensor  # (T, S, *x)
    support_y: Tensor  # (T, S, *y)
    query_x: Tensor  # (T, Q, *x)
    query_y: Tensor  # (T, Q, *y)
    unit: Tensor | None = None  # (T,) which script, target, robot ...; None: each task its own

    def to(self, device: torch.device | str) -> "Tasks":
        """The same tasks on `device`."""
        return Tasks(*(None if t is None else t.to(device) for t in self))

    def __len__(self) -> int:
        return self.support_x.shape[0]

    def part(self, start: int, stop: int) -> "Tasks":
        """Tasks `start` to `stop` of the batch."""
        return Tasks(*(None if t is None else t[start:stop] for t in self))


# a named tuple takes len() for its number of fields, and so `_replace` would fail
Tasks._make = classmethod(lambda cls, fields: cls(*fields))


def share(count: int, rank: int, world: int) -> slice:
    """Which of `count` tasks worker `rank` of `world` takes: consecutive, sizes differ by 1."""
    return slice(count * rank // world, count * (rank + 1) // world)


class TaskSet(ABC):
    """A distribution over tasks."""

    @abstractmethod
    def sample(self, num_tasks: int, generator: torch.Generator | None = None) -> Tasks:
        """Draw `num_tasks` tasks, or `Environments` to act in, on the generator's device."""


def check_counts(**counts: int) -> None:
    """Raise ValueError for a count that is negative or no whole number."""
    for name, value in counts.items():
        try:
            fine = operator.index(value) >= 0  # NumPy's whole numbers have an index too
        except TypeError:
            fine = False
        if not fine:
            raise ValueError(f"{name} must be a whole number, 0 or more, got {value}")


def check_range(name: str, bounds: tuple[float, float]) -> None:
    """Raise ValueError unless `bounds` is a pair (low, high) with low <= high."""
    try:
        low, high = bounds
        fine = low <= high
    except (TypeError, ValueError):  # no pair, or not of numbers
        fine = False
    if not fine:
        raise ValueError(f"{name} must be a pair (low, high) with low <= high, got {bounds}")
