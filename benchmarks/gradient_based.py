"""Gradient-based learners on sinusoids at equal budget: chapter 03a's comparison.

    uv run python benchmarks/gradient_based.py        # writes benchmarks/gradient_based.json

Every learner gets 10,000 updates of 25 tasks (10 shots, 10 queries) with Adam 0.001 and five inner
steps; Meta-SGD one, as in its paper: with five its rates diverge before a thousand updates.
The inner rate is chosen on validation tasks with five shots, each rate tried with the full budget,
and so is the number of steps at test time. The baselines' rate and number of steps, up to 1,000,
are chosen anew for every number of shots. Three seeds; 600 test tasks, the same for all.
"""

import argparse
import copy
import json
import math
import time
from pathlib import Path

import numpy as np
import torch

from course_utils.learners import (
    ANIL,
    FOMAML,
    MAML,
    BayesOptimalSinusoid,
    FineTune,
    FromScratch,
    MetaSGD,
    Reptile,
)
from course_utils.networks import MLP
from course_utils.tasks import Sinusoids
from course_utils.training import bootstrap_interval, select, test, train

OUT = Path(__file__).with_suffix(".json")
KINDS = (MAML, FOMAML, Reptile, ANIL, MetaSGD, FineTune, FromScratch, BayesOptimalSinusoid)
NOISES = (0.0, 0.3)
INNER_RATES = (0.003, 0.01, 0.02, 0.05)
BASELINE_RATES = (0.001, *INNER_RATES, 0.2)
SEEDS = (0, 1, 2)
SHOTS = (1, 2, 3, 5, 10, 20)
STEPS = range(11)
FAMILIES = {  # what is tested on, beside what was trained on
    "as trained": {},
    "larger amplitude, 5 to 10": {"amplitude": (5.0, 10.0)},
    "other phase, π to 2π": {"phase": (math.pi, 2 * math.pi)},
}


def trained(kind: type, inner_lr: float, seed: int, noise: float, updates: int):
    """A learner after `updates` updates; the best on validation tasks is kept."""
    torch.manual_seed(seed)
    learner = kind(MLP(1, 40, 40, 1), inner_lr, 1 if kind is MetaSGD else 5)
    try:
        train(
            learner,
            Sinusoids(noise=noise),
            validation=Sinusoids(shots=5, queries=50, noise=noise),
            updates=updates,
            seed=seed,
            compile=True,
            progress=False,
        )
    except FloatingPointError as error:  # the best weights on validation tasks are kept
        print(f"   {kind.__name__}, rate {inner_lr}, seed {seed}: {error}", flush=True)
    return learner


def best_of_rates(kind: type, noise: float, updates: int):
    """The learner whose inner rate gives the lowest validation error, each with the full budget."""
    candidates = [trained(kind, rate, SEEDS[0], noise, updates) for rate in INNER_RATES]
    return select(candidates, Sinusoids(shots=5, queries=50, noise=noise))[0]


def tuned(learners: list, noise: float, shots: int = 5, steps=(1, 10, 100, 1000)) -> list:
    """Baselines with the rate and number of steps that serve the first best on validation tasks."""
    candidates = [with_setting(learners[0], rate, k) for rate in BASELINE_RATES for k in steps]
    best = select(candidates, Sinusoids(shots=shots, queries=50, noise=noise))[0]
    return [with_setting(learner, best.inner_lr, best.inner_steps) for learner in learners]


def with_setting(learner, rate: float, steps: int):
    """The same learner with another inner rate and number of steps."""
    learner = copy.copy(learner)
    learner.inner_lr, learner.inner_steps = rate, steps
    return learner


def scores(learner, task_set, steps: int | None = None) -> np.ndarray:
    """The error of each of 600 tasks after `steps` inner steps (None: the learner's own number)."""
    previous = getattr(learner, "inner_steps", None)
    if steps is not None:
        learner.inner_steps = steps
    result = test(learner, task_set, seed=1).scores
    if steps is not None:
        learner.inner_steps = previous
    return result


def summary(runs: list[np.ndarray]) -> dict:
    """Mean, 95 % interval over tasks of the mean over seeds, each seed's mean, the median task.

    A task counts as diverged when its error passes 1,000; mean and interval are of the others.
    """
    per_task = np.mean(runs, 0)
    fine = per_task < 1000  # False for NaN as well
    kept = per_task[fine]
    low, high = bootstrap_interval(kept)
    return {
        "mean": round(float(kept.mean()), 4),
        "interval": [round(low, 4), round(high, 4)],
        "seeds": [round(float(run[fine].mean()), 4) for run in runs],
        "median": round(float(np.median(np.nan_to_num(per_task, nan=np.inf))), 4),
        "diverged": round(1 - float(fine.mean()), 4),
    }


def best_steps(learner, noise: float) -> int:
    """How many inner steps serve a learner best on validation tasks."""
    candidates = [with_setting(learner, learner.inner_lr, steps) for steps in (1, 2, 5, 10)]
    return select(candidates, Sinusoids(shots=5, queries=50, noise=noise))[0].inner_steps


def measured(learners: list, noise: float) -> dict:
    """Errors over steps, over shots, and on each family, averaged over seeds."""
    adapting = hasattr(learners[0], "inner_steps")
    baseline = isinstance(learners[0], (FineTune, FromScratch))

    def run(runs, steps=None, shots=5, **family):
        task_set = Sinusoids(shots=shots, queries=50, noise=noise, **family)
        if isinstance(runs[0], BayesOptimalSinusoid):
            runs = [BayesOptimalSinusoid(task_set)]
        return summary([scores(learner, task_set, steps) for learner in runs])

    if baseline:
        few_steps = tuned(learners, noise, steps=(10,))
        at = {shots: tuned(learners, noise, shots) for shots in SHOTS}
    else:
        few_steps, at = learners, dict.fromkeys(SHOTS, learners)
    final = best_steps(learners[0], noise) if adapting and not baseline else None
    row = {
        "steps": {k: run(few_steps, k if adapting else None) for k in STEPS},
        "shots": {k: run(at[k], final, k) for k in SHOTS},
        "families": {name: run(at[5], final, **family) for name, family in FAMILIES.items()},
        "inner_lr": getattr(at[5][0], "inner_lr", None),
        "inner_steps": at[5][0].inner_steps if baseline else final,
    }
    if baseline:
        row["settings"] = {k: [r[0].inner_lr, r[0].inner_steps] for k, r in at.items()}
    return row


def learners_of(kind: type, noise: float, updates: int) -> list:
    """One learner for each seed, trained as its kind asks for."""
    if kind is BayesOptimalSinusoid:
        return [BayesOptimalSinusoid(Sinusoids(noise=noise))]
    if kind is FromScratch:
        return [kind(MLP(1, 40, 40, 1), seed=seed) for seed in SEEDS]
    if kind is FineTune:  # its rate has no part in training
        return [trained(kind, 0.01, seed, noise, updates) for seed in SEEDS]
    best = best_of_rates(kind, noise, updates)
    return [best, *(trained(kind, best.inner_lr, seed, noise, updates) for seed in SEEDS[1:])]


def stored(updates: int) -> dict:
    """The table as far as it stands."""
    if OUT.exists():
        table = json.loads(OUT.read_text(encoding="utf8"))
        if table["updates"] == updates:
            return table
    command = "uv run python benchmarks/gradient_based.py"
    empty = {str(noise): {} for noise in NOISES}
    return {"command": command, "updates": updates, "seeds": len(SEEDS), "noise": empty}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--updates", type=int, default=10_000)
    parser.add_argument("--noise", type=float, nargs="*", default=NOISES)
    arguments = parser.parse_args()
    for noise in arguments.noise:
        for kind in KINDS:
            if kind.__name__ in stored(arguments.updates)["noise"][str(noise)]:
                continue  # a row that is there is kept: delete the file to start anew
            started = time.perf_counter()
            row = measured(learners_of(kind, noise, arguments.updates), noise)
            table = stored(arguments.updates)
            rows = table["noise"][str(noise)] | {kind.__name__: row}
            table["noise"][str(noise)] = {
                k.__name__: rows[k.__name__] for k in KINDS if k.__name__ in rows
            }
            OUT.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", encoding="utf8")
            print_row(noise, kind.__name__, row, (time.perf_counter() - started) / 60)


def print_row(noise: float, name: str, row: dict, minutes: float) -> None:
    cells = [f"{k} steps {row['steps'][k]['mean']:.3f}" for k in (0, 1, 5, 10)]
    cells += [f"{f}: {r['mean']:.3f} ({r['diverged']})" for f, r in row["families"].items()]
    print(
        f"noise {noise} {name:21} rate {row['inner_lr']}",
        *cells,
        f"{minutes:.1f} min",
        sep=" | ",
        flush=True,
    )


if __name__ == "__main__":
    main()
