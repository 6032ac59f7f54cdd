"""The outer loop: train a learner on a task set, and test it on tasks that it has not seen."""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call
from tqdm.auto import tqdm

from course_utils.distributed import processes, shared_step
from course_utils.learners.base import MetaLearner
from course_utils.learners.per_task import places_of
from course_utils.losses import default_metric
from course_utils.run import (
    VALIDATION_SEED,
    History,
    Metric,
    Run,
    check_queries,
    fitting,
    larger_is_better,
    or_inf,
    scores_of,
)
from course_utils.tasks.base import Tasks, TaskSet, check_counts


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
    """95 % bootstrap interval of the mean of `values` (n,); NaN for fewer than two.

    The percentile interval of 2,000 resamples (Efron 1979), as scipy.stats.bootstrap computes it,
    which takes 60 MB to import.
    """
    if len(values) < 2 or not np.isfinite(values).all():
        return math.nan, math.nan
    if np.ptp(values) == 0:
        return float(values[0]), float(values[0])
    draws, n = np.random.RandomState(0), len(values)
    means = [values[draws.randint(0, n, (100, n))].mean(1) for _ in range(20)]  # (100,) each
    low, high = np.percentile(np.concatenate(means), [2.5, 97.5])
    return float(low), float(high)


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
    Ctrl-C validates once more, ends the run and keeps the best. Started by torchrun, within
    `distributed.group()`, the processes share the tasks of each update.

    Raises ValueError where learner and task set do not fit each other or the checkpoint belongs
    to another run, FloatingPointError (naming the update) where the loss is no longer a number.
    """
    check_counts(updates=updates, tasks_per_update=tasks_per_update)
    if tasks_per_update == 0:
        raise ValueError("tasks_per_update must be 1 or more, got 0")
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    meta_learner.to(device).train()
    run = Run(meta_learner, task_set, optimizer, validation, metric, device, precision, seed)
    run.settings["tasks_per_update"] = tasks_per_update
    run.check_fit()
    if checkpoint is not None and Path(checkpoint).exists():
        run.load(Path(checkpoint))
    rank, world = processes()
    if compile and world > 1:
        raise ValueError("compile=True is for one process: leave it out under torchrun")
    step = meta_learner.outer_step
    if compile:
        step = compiled_step(meta_learner)
    elif world > 1:
        step = shared_step(meta_learner)
    every = max(1, updates // 50)
    look_after = 1 if device.type == "cpu" else 50  # reading a loss makes a GPU wait
    recent: list[Tensor] = []
    history, started = run.history, time.perf_counter() - run.history.seconds
    quiet = rank > 0 or not progress
    bar = tqdm(total=updates, initial=run.update, disable=quiet, unit="update", leave=False)
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
                if checkpoint is not None and rank == 0:
                    run.save(Path(checkpoint))
    except KeyboardInterrupt:
        history.interrupted = True
        run.record(recent)
        run.update = len(history.losses)  # also where it stopped within an update
        run.validate()
        kept = "the best so far is" if validation is not None else "the last weights are"
        print(f"Stopped by hand after {run.update} of {updates} updates; {kept} kept.")
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
    `metric` defaults to mean squared error, or accuracy where the targets are whole numbers;
    where `sample` deals environments, the score is the return of an episode.

    Raises ValueError where learner and task set do not fit each other or nothing is to be scored.
    """
    check_counts(num_tasks=num_tasks)
    if num_tasks == 0:
        raise ValueError("num_tasks must be 1 or more, got 0")
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    generator = torch.Generator(device).manual_seed(seed)
    tasks = task_set.sample(num_tasks, generator).to(device)
    check_queries(tasks, "test")
    with fitting(meta_learner, type(task_set).__name__, tasks):
        scores = scores_of(meta_learner.to(device), tasks, metric or default_metric).cpu().numpy()
    unit = getattr(tasks, "unit", None)
    return Result(scores, np.arange(num_tasks) if unit is None else unit.cpu().numpy())


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
    sign = -1 if larger_is_better(metric, validation) else 1
    best = min(range(len(means)), key=lambda i: or_inf(sign * means[i]))
    return candidates[best], means


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
            p.grad = gradients[name].contiguous()  # fused Adam reads memory in order
        optimizer.step()
        return losses

    return step


if __name__ == "__main__":
    from course_utils.command_line import main

    main()
