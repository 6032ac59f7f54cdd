"""Trained learners on disk: weights as safetensors, and a card that says where they come from."""

import inspect
import json
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from course_utils import learners, networks, tasks
from course_utils.environment import data_path
from course_utils.learners.base import MetaLearner
from course_utils.run import write_safely
from course_utils.tasks.base import TaskSet

PARTS = (learners, networks, tasks)  # where the classes that a card may name are found


def save(learner: MetaLearner, name: str, card: dict[str, Any], folder: Path | None = None) -> None:
    """Write `learner` to NAME.safetensors and `card` (what, how, seed, score) to NAME.json.

    Files go to data/checkpoints unless `folder` says otherwise. Raises ValueError for a learner
    that could not be built again from its constructor's arguments.
    """
    folder = folder or data_path("checkpoints")
    built = describe(learner)
    tensors = {k: v.detach().cpu().clone().contiguous() for k, v in learner.state_dict().items()}
    write_safely(folder / f"{name}.safetensors", tensors, {})
    text = json.dumps({**card, "built": built}, indent=2, ensure_ascii=False)
    partial = folder / f".{name}.json.partial"
    partial.write_text(text + "\n", encoding="utf8")
    partial.replace(folder / f"{name}.json")


def load(name: str, folder: Path | None = None) -> MetaLearner:
    """The learner saved as `name`, on the CPU and ready to adapt.

    Raises FileNotFoundError, listing what there is, for an unknown name, and ValueError where the
    files are damaged.
    """
    folder = folder or data_path("checkpoints")
    known = card(name, folder)
    with whole(name, folder):
        learner = build(known["built"])
        learner.load_state_dict(load_file(folder / f"{name}.safetensors"))
        return learner.eval()


def card(name: str, folder: Path | None = None) -> dict[str, Any]:
    """What is known of the checkpoint `name`: its card as a dictionary."""
    folder = folder or data_path("checkpoints")
    path = folder / f"{name}.json"
    if not path.exists():
        there = sorted(p.stem for p in folder.glob("*.json"))
        raise FileNotFoundError(f"no checkpoint is called {name!r}; there are {', '.join(there)}")
    with whole(name, folder):
        return json.loads(path.read_text(encoding="utf8"))


@contextmanager
def whole(name: str, folder: Path):
    """Within, an error in reading the checkpoint `name` says that it is damaged."""
    try:
        yield
    except (
        AttributeError,
        LookupError,
        OSError,
        RuntimeError,
        SafetensorError,
        TypeError,
        ValueError,
    ) as error:
        raise ValueError(
            f"checkpoint {name!r} in {folder} is damaged ({type(error).__name__}: {error}): get the"
            " course anew, or save it again"
        ) from error


def describe(value: Any) -> Any:
    """How to build `value` again: its class and constructor arguments, as plain data for JSON."""
    if isinstance(value, (nn.Module, TaskSet)):
        if not any(getattr(part, type(value).__name__, None) is type(value) for part in PARTS):
            raise ValueError(
                f"{type(value).__name__} is no class of course_utils.learners, networks or tasks,"
                " so it could not be built again: save its state_dict yourself with safetensors"
            )
        arguments, rest = {}, []
        for parameter in inspect.signature(type(value).__init__).parameters.values():
            if parameter.kind is parameter.VAR_POSITIONAL:
                rest = [describe(v) for v in getattr(value, parameter.name)]
            elif parameter.name != "self":
                arguments[parameter.name] = describe(getattr(value, parameter.name))
        return {"class": type(value).__name__, "positional": rest, "arguments": arguments}
    if isinstance(value, (list, tuple)):
        return [describe(v) for v in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise ValueError(f"a checkpoint can't hold an argument of type {type(value).__name__}")


def build(built: Any) -> Any:
    """The object that `describe` described, freshly initialised; ValueError for another class."""
    if isinstance(built, list):
        return tuple(build(v) for v in built)
    if not isinstance(built, dict):
        return built
    kind = next((getattr(p, built["class"]) for p in PARTS if hasattr(p, built["class"])), None)
    if kind is None:
        raise ValueError(f"there is no class {built['class']} in course_utils")
    arguments = {name: build(v) for name, v in built["arguments"].items()}
    return kind(*(build(v) for v in built["positional"]), **arguments)
