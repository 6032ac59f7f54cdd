"""What a training run is made of, and where two runs differ: a checkpoint fits one run only."""

import inspect

import torch
from torch import nn

from course_utils.tasks.base import TaskSet


def made_of(thing: nn.Module | TaskSet) -> dict:
    """The class of a learner, network or task set, and the plain arguments it was built with.

    Attributes that aren't named like an argument are left out: they may change in training.
    """
    kinds = type(thing).__mro__
    names = {name for kind in kinds for name in inspect.signature(kind.__init__).parameters}
    made = {"class": type(thing).__name__}
    for name in sorted(names):
        value = getattr(thing, name, None)
        if isinstance(value, (nn.Module, TaskSet)):
            made[name] = made_of(value)
        elif isinstance(value, (int, float, str, tuple)):
            made[name] = value
    return made


def hyperparameters(optimizer: torch.optim.Optimizer) -> dict:
    """The class of an optimizer, and the settings of its groups of parameters."""
    groups = {
        f"group {i}": {k: v for k, v in group.items() if k != "params"}
        for i, group in enumerate(optimizer.param_groups)
    }
    return {"class": type(optimizer).__name__, **groups}


def as_plain(value):
    """What JSON can hold of a value that it doesn't know: a tensor's one number, or the class."""
    return value.item() if getattr(value, "ndim", 1) == 0 else type(value).__name__


def differences(theirs, ours) -> str:
    """Where two settings differ, in words; the first three places."""

    def compare(a, b, name):
        if isinstance(a, dict) and isinstance(b, dict):
            for key in {**a, **b}:
                yield from compare(a.get(key), b.get(key), f"{name} {key}".strip())
        elif a != b:
            yield f"{name}: {a} there, {b} here"

    return "; ".join(list(compare(theirs, ours, ""))[:3])
