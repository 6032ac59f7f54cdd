"""One training run: its state, which a checkpoint holds whole, and how scores are taken."""

import json
import math
import os
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from course_utils.learners.base import MetaLearner
from course_utils.losses import default_metric
from course_utils.settings import as_plain, differences, hyperparameters, made_of
from course_utils.tasks.base import Tasks, TaskSet
from course_utils.tasks.environments import DICE, Environments, play

Metric = Callable[[Tensor, Tensor], Tensor]  # (prediction, y) -> (T,)

VALIDATION_TASKS = 200
VALIDATION_SEED = 2**31  # far from the seeds that people choose
TASKS_AT_ONCE = 100  # while testing


@dataclass
class History:
    """What happened in training: `losses[u]` is the meta-objective of update u + 1."""

    losses: list[float] = field(default_factory=list)
    validation: list[tuple[int, float]] = field(default_factory=list)  # (updates done, metric)
    best_update: int = 0
    seconds: float = 0.0
    interrupted: bool = False


class Run:
    """The state of a training run: all that a checkpoint holds."""

    def __init__(self, learner, task_set, optimizer, validation, metric, device, precision, seed):
        self.learner, self.task_set, self.device = learner, task_set, device
        self.metric, self.validation_set = metric or default_metric, validation
        parameters = [p for p in learner.parameters() if p.requires_grad]
        if not parameters:
            raise ValueError(f"{type(learner).__name__} has no parameters to train")
        self.optimizer = optimizer or torch.optim.Adam(parameters, lr=1e-3, fused=True)
        self.generator = torch.Generator(device).manual_seed(seed)
        torch.manual_seed(seed)  # dropout and the like
        self.validation = None
        if validation is not None:
            generator = torch.Generator(device).manual_seed(VALIDATION_SEED)
            self.validation = validation.sample(VALIDATION_TASKS, generator).to(device)
            check_queries(self.validation, "validate")
            self.sign = -1 if larger_is_better(metric, validation) else 1
        self.history, self.update, self.best = History(), 0, None
        self.best_score = math.inf
        settings = {  # what makes it this run, and no other
            "learner": made_of(learner),
            "weights": {name: v.shape for name, v in learner.state_dict().items()},
            "task set": made_of(task_set),
            "validation": None if validation is None else made_of(validation),
            "metric": getattr(self.metric, "__name__", type(self.metric).__name__),
            "optimizer": hyperparameters(self.optimizer),
            "precision": str(precision),
            "device": device.type,
            "seed": seed,
        }
        self.settings = json.loads(json.dumps(settings, default=as_plain))  # as a file gives them

    def check_fit(self) -> None:
        """Raise ValueError, in a sentence, where the learner can't work on the task set's tasks."""
        tasks = self.task_set.sample(2, torch.Generator(self.device).manual_seed(0)).to(self.device)
        with fitting(self.learner, type(self.task_set).__name__, tasks), torch.random.fork_rng():
            losses = self.learner(tasks)
        if losses.shape != (2,):
            raise ValueError(
                f"{type(self.learner).__name__}.forward must give one number a task, shape (2,) for"
                f" 2 tasks; it gave {tuple(losses.shape)}"
            )
        if not (losses.abs() > 0).all():  # some learners need no query set
            check_queries(tasks, "train")

    def record(self, recent: list[Tensor]) -> None:
        """Move the latest losses into the history; stop where one is not a number."""
        first = len(self.history.losses) + 1
        for update, loss in enumerate(torch.stack(recent).tolist() if recent else [], first):
            if not math.isfinite(loss):
                left = "spoilt: build the learner anew"
                if self.best is not None:
                    left = "those of the best validation so far"
                raise FloatingPointError(
                    f"the loss became {loss} at update {update}: try a smaller learning rate"
                    f" (outer or inner). The weights are {left}"
                )
            self.history.losses.append(loss)
        recent.clear()

    def validate(self) -> None:
        """Measure on the validation tasks and remember the weights if they are the best yet."""
        measured = self.history.validation[-1:]
        if self.validation is None or (measured and measured[0][0] == self.update):
            return
        name = f"the validation set {type(self.validation_set).__name__}"
        with fitting(self.learner, name, self.validation):
            score = scores_of(self.learner, self.validation, self.metric).mean().item()
        self.learner.train()
        cost = or_inf(self.sign * score)
        if self.best is None or cost < self.best_score:
            self.best = {k: v.clone() for k, v in self.learner.state_dict().items()}
            self.best_score, self.history.best_update = cost, self.update
        self.history.validation.append((self.update, score))

    def restore_best(self) -> None:
        """Give the learner the weights that validated best; without validation the last stay."""
        if self.best is not None:
            self.learner.load_state_dict(self.best)
        else:
            self.history.best_update = self.update

    def save(self, path: Path) -> None:
        """Write everything needed to go on, so that at any moment the file is whole."""
        tensors = {f"now.{k}": v for k, v in self.learner.state_dict().items()}
        tensors |= {f"best.{k}": v for k, v in (self.best or {}).items()}
        tensors |= {
            f"optimizer.{i}.{k}": v
            for i, state in self.optimizer.state_dict()["state"].items()
            for k, v in state.items()
            if isinstance(v, Tensor)
        }
        tensors |= {"generator": self.generator.get_state(), "torch": torch.get_rng_state()}
        note = {
            "settings": self.settings,
            "update": self.update,
            "best_score": self.best_score,
            "history": asdict(self.history),
        }
        write_safely(
            path,
            {k: v.clone().contiguous() for k, v in tensors.items()},
            {"run": json.dumps(note)},
        )

    def load(self, path: Path) -> None:
        """Go on from a checkpoint; ValueError if it is damaged or of another run."""
        try:
            with safe_open(path, "pt", device=str(self.device)) as file:
                note = json.loads(file.metadata()["run"])
                theirs = note["settings"]
                tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
        except Exception as error:
            raise ValueError(
                f"{path} can't be read as a training checkpoint ({error}): delete it to start anew"
            ) from error
        if theirs != self.settings:
            raise ValueError(
                f"{path} belongs to another run ({differences(theirs, self.settings)}): name"
                " another file, or delete it to start anew"
            )

        def part(prefix):
            return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

        self.learner.load_state_dict(part("now."))
        self.best = part("best.") or None
        state: dict[int, dict] = {}
        for key, value in part("optimizer.").items():
            index, _, name = key.partition(".")
            state.setdefault(int(index), {})[name] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})
        self.generator.set_state(tensors["generator"].cpu())
        torch.set_rng_state(tensors["torch"].cpu())
        self.update, self.best_score = note["update"], note["best_score"]
        self.history = History(**note["history"])
        self.history.validation = [tuple(v) for v in self.history.validation]


# --- files and scores -----------------------------------------------------------------------------


def write_safely(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file beside `path` and move it there in one go."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        save_file(tensors, partial, metadata)
        with open(partial, "rb") as file:
            os.fsync(file.fileno())
        partial.chmod(0o644)  # safetensors leaves it readable by its owner alone
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def scores_of(learner: MetaLearner, tasks: Tasks | Environments, metric: Metric) -> Tensor:
    """The metric of each task (T,), measured in evaluation mode without gradients.

    The score of an environment is its return, the mean over robots if it has several.
    """
    scores = []
    with evaluating(learner), torch.no_grad():
        if isinstance(tasks, Environments):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(DICE)  # adapting may throw dice too
                return play(learner.adapt(tasks), tasks).view(len(tasks), -1).mean(1)
        for start in range(0, len(tasks), TASKS_AT_ONCE):
            part = tasks.part(start, start + TASKS_AT_ONCE)
            predict = learner.adapt(part.support_x, part.support_y)
            scores.append(metric(predict(part.query_x), part.query_y))
    return torch.cat(scores) if scores else torch.empty(0)


@contextmanager
def fitting(learner: MetaLearner, name: str, tasks: Tasks | Environments):
    """Within, an error says in a sentence that the learner can't work on the tasks of `name`."""
    try:
        yield
    except (NotImplementedError, torch.OutOfMemoryError):
        raise
    except (AttributeError, IndexError, RuntimeError, TypeError, ValueError) as error:
        if "nothing to meta-learn" in str(error):
            raise
        if isinstance(tasks, Environments):
            shape = tuple(tasks.reset().shape[1:])
            seen = f"an observation has shape {shape} ({name} deals environments to act in)"
        else:
            x, y = tuple(tasks.support_x.shape[2:]), tuple(tasks.support_y.shape[2:])
            seen = f"an example has x {x} and y {y} ({name} deals examples)"
        raise ValueError(
            f"{type(learner).__name__} and {name} do not fit: {seen}, and the learner says: {error}"
        ) from error


def check_queries(tasks: Tasks | Environments, purpose: str) -> None:
    """Raise ValueError where there is nothing to be judged on."""
    if isinstance(tasks, Tasks) and tasks.query_y.shape[1] == 0:
        raise ValueError(f"the query set is empty: queries must be 1 or more to {purpose}")


def or_inf(value: float) -> float:
    """`value`, or infinity, the worst, where it is no finite number."""
    return value if math.isfinite(value) else math.inf


@contextmanager
def evaluating(learner: nn.Module):
    """Within, dropout rests; afterwards the learner is as it was."""
    was_training = learner.training
    learner.eval()
    try:
        yield
    finally:
        learner.train(was_training)


def larger_is_better(metric: Metric | None, task_set: TaskSet) -> bool:
    """Whether the metric is one like accuracy or the return; None: the task set's usual one."""
    if metric is None:
        tasks = task_set.sample(1)
        return isinstance(tasks, Environments) or not tasks.query_y.is_floating_point()
    return getattr(metric, "larger_is_better", False)
