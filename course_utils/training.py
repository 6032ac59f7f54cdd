"""The outer loop: train a learner on a task set, and test it on tasks that it has not seen."""

import json
import math
import os
import time
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from scipy import stats
from torch import Tensor, nn
from torch.func import functional_call
from tqdm.auto import tqdm

from course_utils.learners.base import MetaLearner
from course_utils.learners.per_task import places_of
from course_utils.losses import default_metric
from course_utils.tasks.base import Tasks, TaskSet, check_counts

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


@dataclass
class Result:
    """The scores of n test tasks, each with the unit (script, target, robot ...) it came from."""

    scores: np.ndarray  # (n,)
    unit: np.ndarray  # (n,)

    @property
    def unit_means(self) -> np.ndarray:
        """The mean score of each unit, in the order of the units' numbers."""
        return np.array([self.scores[self.unit == u].mean() for u in np.unique(self.unit)])

    @property
    def mean(self) -> float:
        """The mean over units of their mean scores."""
        return float(self.unit_means.mean())

    @property
    def interval(self) -> tuple[float, float]:
        """95 % bootstrap interval of the mean, resampling units (Efron 1979); NaN for one unit."""
        return bootstrap_interval(self.unit_means)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.mean:.3f} [{low:.3f}, {high:.3f}]"


def bootstrap_interval(values: np.ndarray) -> tuple[float, float]:
    """95 % bootstrap interval of the mean of `values` (n,); NaN for fewer than two."""
    if len(values) < 2 or not np.isfinite(values).all():
        return math.nan, math.nan
    if np.ptp(values) == 0:
        return float(values[0]), float(values[0])
    interval = stats.bootstrap(
        (values,), np.mean, n_resamples=2000, method="percentile", batch=100, random_state=0
    ).confidence_interval
    return float(interval.low), float(interval.high)


def train(
    meta_learner: MetaLearner,
    task_set: TaskSet,
    *,
    updates: int,
    tasks_per_update: int = 25,
    optimizer: torch.optim.Optimizer | None = None,
    validation: TaskSet | None = None,
    metric: Metric | None = None,
    compile: bool = False,
    precision: torch.dtype | None = None,
    device: str | torch.device | None = None,
    checkpoint: str | Path | None = None,
    seed: int = 0,
    progress: bool = True,
) -> History:
    """Take `updates` steps of the outer loop and leave the best weights seen in `meta_learner`.

    "Best" is by `metric` on 200 fixed tasks of `validation`, looked at 50 times in the run;
    without `validation` the last weights stay. `optimizer` defaults to Adam with rate 0.001,
    `device` to CUDA where there is one, else the CPU; `precision=torch.bfloat16` runs under
    autocast. With `checkpoint` (a path) a run that was killed goes on where it stood.
    Ctrl-C ends the run and keeps the best so far.

    Raises ValueError where learner and task set do not fit each other or the checkpoint belongs
    to another run, FloatingPointError (naming the update) where the loss is no longer a number.
    """
    check_counts(updates=updates, tasks_per_update=tasks_per_update)
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    meta_learner.to(device).train()
    run = _Run(meta_learner, task_set, optimizer, validation, metric, device, precision, seed)
    run.settings = {
        "learner": type(meta_learner).__name__,
        "tasks_per_update": tasks_per_update,
        "seed": seed,
    }
    run.check_fit()
    if checkpoint is not None and Path(checkpoint).exists():
        run.load(Path(checkpoint))
    step = compiled_step(meta_learner) if compile else meta_learner.outer_step
    every = max(1, updates // 50)
    look_after = 1 if device.type == "cpu" else 50  # reading a loss makes a GPU wait
    recent: list[Tensor] = []
    history, started = run.history, time.perf_counter() - run.history.seconds
    bar = tqdm(total=updates, initial=run.update, disable=not progress, unit="update", leave=False)
    try:
        if run.update == 0:
            run.validate()
        while run.update < updates:
            tasks = task_set.sample(tasks_per_update, run.generator).to(device)
            with torch.autocast(device.type, precision, enabled=precision is not None):
                recent.append(step(tasks, run.optimizer).mean())
            run.update += 1
            bar.update()
            at_mark = run.update % every == 0 or run.update == updates
            if at_mark or len(recent) == look_after:
                run.record(recent)
            if at_mark:
                run.validate()
                bar.set_postfix(loss=f"{np.mean(history.losses[-every:]):.3g}")
                history.seconds = time.perf_counter() - started
                if checkpoint is not None:
                    run.save(Path(checkpoint))
    except KeyboardInterrupt:
        history.interrupted = True
        print(f"Stopped by hand after {run.update} of {updates} updates; the best so far is kept.")
    finally:
        bar.close()
        history.seconds = time.perf_counter() - started
        run.restore_best()
        meta_learner.eval()
    return history


def test(
    meta_learner: MetaLearner,
    task_set: TaskSet,
    *,
    metric: Metric | None = None,
    num_tasks: int = 600,
    device: str | torch.device | None = None,
    seed: int = 0,
) -> Result:
    """Adapt to `num_tasks` seeded tasks and score the predictions on their query sets.

    The same seed gives the same tasks to every learner, so that scores can be compared in pairs.
    `metric` defaults to mean squared error, or accuracy where the targets are whole numbers.
    """
    check_counts(num_tasks=num_tasks)
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    generator = torch.Generator(device).manual_seed(seed)
    tasks = task_set.sample(num_tasks, generator).to(device)
    meta_learner.to(device)
    scores = _scores(meta_learner, tasks, metric or default_metric).cpu().numpy()
    unit = np.arange(num_tasks) if tasks.unit is None else tasks.unit.cpu().numpy()
    return Result(scores, unit)


test.__test__ = False  # for pytest: this is no test of the package


def select(
    candidates: Iterable[MetaLearner],
    validation: TaskSet,
    *,
    metric: Metric | None = None,
    num_tasks: int = 200,
    seed: int = VALIDATION_SEED,
) -> tuple[MetaLearner, list[float]]:
    """The candidate with the best mean score on validation tasks, and the means of them all."""
    candidates = list(candidates)
    results = [
        test(c, validation, metric=metric, num_tasks=num_tasks, seed=seed) for c in candidates
    ]
    means = [result.mean for result in results]
    sign = -1 if _larger_is_better(metric, validation) else 1
    best = min(range(len(means)), key=lambda i: _or_inf(sign * means[i]))
    return candidates[best], means


# --- one run ---------------------------------------------------------------------------------


class _Run:
    """The state of a training run: all that a checkpoint holds."""

    def __init__(self, learner, task_set, optimizer, validation, metric, device, precision, seed):
        self.learner, self.task_set, self.device = learner, task_set, device
        self.metric = metric or default_metric
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
            self.sign = -1 if _larger_is_better(metric, validation) else 1
        self.precision = precision
        self.history, self.update, self.best = History(), 0, None
        self.best_score = math.inf

    def check_fit(self) -> None:
        """Raise ValueError, in a sentence, where the learner can't work on the task set's tasks."""
        tasks = self.task_set.sample(2, torch.Generator(self.device).manual_seed(0)).to(self.device)
        shapes = f"x {tuple(tasks.support_x.shape[2:])} and y {tuple(tasks.support_y.shape[2:])}"
        try:
            with torch.random.fork_rng():
                losses = self.learner(tasks)
        except (RuntimeError, ValueError, IndexError) as error:
            raise ValueError(
                f"{type(self.learner).__name__} and {type(self.task_set).__name__} do not fit:"
                f" an example has {shapes}, and the learner says: {error}"
            ) from error
        if losses.shape != (2,):
            raise ValueError(
                f"{type(self.learner).__name__}.forward must give one number a task, shape (2,) for"
                f" 2 tasks; it gave {tuple(losses.shape)}"
            )

    def record(self, recent: list[Tensor]) -> None:
        """Move the latest losses into the history; stop where one is not a number."""
        first = self.update - len(recent) + 1
        for update, loss in enumerate(torch.stack(recent).tolist(), first):
            if not math.isfinite(loss):
                raise FloatingPointError(
                    f"the loss became {loss} at update {update}: try a smaller learning rate"
                    " (outer or inner). The weights are those of the best validation so far"
                )
            self.history.losses.append(loss)
        recent.clear()

    def validate(self) -> None:
        """Measure on the validation tasks and remember the weights if they are the best yet."""
        if self.validation is None:
            return
        score = _scores(self.learner, self.validation, self.metric).mean().item()
        self.learner.train()
        self.history.validation.append((self.update, score))
        if self.best is None or self.sign * score < self.best_score:
            self.best_score, self.history.best_update = self.sign * score, self.update
            self.best = {k: v.clone() for k, v in self.learner.state_dict().items()}

    def restore_best(self) -> None:
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
                tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
        except Exception as error:
            raise ValueError(
                f"{path} can't be read as a training checkpoint ({error}): delete it to start anew"
            ) from error
        if note["settings"] != self.settings:
            raise ValueError(
                f"{path} belongs to another run ({note['settings']}, not {self.settings}): name"
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


def compiled_step(learner: MetaLearner) -> Callable[[Tasks, torch.optim.Optimizer], Tensor]:
    """`outer_step` with loss and meta-gradient traced and compiled into one function."""
    places = places_of(learner)
    torch.compiler.reset()  # torch compiles one piece of code for eight learners, and no more

    def mean_loss(parameters, *tasks):
        swapped = {place: parameters[n] for place, n in places.items() if n in parameters}
        losses = functional_call(learner, swapped, (Tasks(*tasks),), tie_weights=False)
        return losses.mean(), losses

    gradient = torch.compile(torch.func.grad(mean_loss, has_aux=True), fullgraph=True)

    def step(tasks: Tasks, optimizer: torch.optim.Optimizer) -> Tensor:
        trainable = {n: p for n, p in learner.named_parameters() if p.requires_grad}
        with torch.no_grad():
            gradients, losses = gradient({n: p.detach() for n, p in trainable.items()}, *tasks)
        for name, p in trainable.items():
            p.grad = gradients[name]
        optimizer.step()
        return losses

    return step


def _scores(learner: MetaLearner, tasks: Tasks, metric: Metric) -> Tensor:
    """The metric of each task (T,), measured in evaluation mode without gradients."""
    scores = []
    with _evaluating(learner), torch.no_grad():
        for start in range(0, len(tasks), TASKS_AT_ONCE):
            part = tasks.part(start, start + TASKS_AT_ONCE)
            predict = learner.adapt(part.support_x, part.support_y)
            scores.append(metric(predict(part.query_x), part.query_y))
    return torch.cat(scores) if scores else torch.empty(0)


@contextmanager
def _evaluating(learner: nn.Module):
    was_training = learner.training
    learner.eval()
    try:
        yield
    finally:
        learner.train(was_training)


def _larger_is_better(metric: Metric | None, task_set: TaskSet) -> bool:
    if metric is None:
        return not task_set.sample(1).query_y.is_floating_point()
    return getattr(metric, "larger_is_better", False)


def _or_inf(value: float) -> float:
    return math.inf if math.isnan(value) else value
