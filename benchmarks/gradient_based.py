"""Gradient-based learners on sinusoids at equal budget: chapter 03a's comparison.

    uv run python benchmarks/gradient_based.py        # writes benchmarks/gradient_based.json

Every learner gets 10,000 updates of 25 tasks (10 shots, 10 queries) with Adam 0.001 and five inner
steps. The inner rate is chosen on validation tasks, each rate tried with the full budget; the
baselines' rate and number of steps likewise. Three seeds; 600 test tasks, the same for all.
"""

import argparse
import contextlib
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
LEARNERS = (MAML, FOMAML, Reptile, ANIL, MetaSGD, FineTune)
INNER_RATES = (0.003, 0.01, 0.02, 0.05)
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
    learner = kind(MLP(1, 40, 40, 1), inner_lr, 5)
    train(
        learner,
        Sinusoids(noise=noise),
        validation=Sinusoids(shots=5, queries=50, noise=noise),
        updates=updates,
        seed=seed,
        compile=True,
        progress=False,
    )
    return learner


def best_of_rates(kind: type, noise: float, updates: int):
    """The learner whose inner rate gives the lowest validation error, each with the full budget."""
    candidates = []
    for rate in INNER_RATES:
        with contextlib.suppress(FloatingPointError):  # this rate is too large
            candidates.append(trained(kind, rate, SEEDS[0], noise, updates))
    return select(candidates, Sinusoids(shots=5, queries=50, noise=noise))[0]


def tuned(kind: type, network, noise: float):
    """A baseline with rate and steps chosen on validation tasks (up to 10 and 1,000 steps)."""
    steps = (10,) if kind is FineTune else (10, 100, 1000)
    candidates = [kind(network, rate, k) for rate in (0.001, *INNER_RATES, 0.2) for k in steps]
    return select(candidates, Sinusoids(shots=5, queries=50, noise=noise))[0]


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


def measured(learners: list, noise: float) -> dict:
    """Errors over steps, over shots, and on each family, averaged over seeds."""
    adapting = hasattr(learners[0], "inner_steps")

    def run(steps=None, shots=5, **family):
        task_set = Sinusoids(shots=shots, queries=50, noise=noise, **family)
        runs = learners
        if isinstance(learners[0], BayesOptimalSinusoid):
            runs = [BayesOptimalSinusoid(task_set)]
        return summary([scores(learner, task_set, steps) for learner in runs])

    final = 10 if adapting and not isinstance(learners[0], FromScratch) else None
    return {
        "steps": {k: run(k if adapting else None) for k in STEPS},
        "shots": {k: run(final, k) for k in SHOTS},
        "families": {name: run(final, **family) for name, family in FAMILIES.items()},
        "inner_lr": getattr(learners[0], "inner_lr", None),
        "inner_steps_tuned": learners[0].inner_steps if final is None and adapting else final,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--updates", type=int, default=10_000)
    updates = parser.parse_args().updates
    command = "uv run python benchmarks/gradient_based.py"
    table: dict = {"command": command, "updates": updates, "seeds": len(SEEDS), "noise": {}}
    for noise in (0.0, 0.3):
        rows = table["noise"][str(noise)] = {}
        for kind in LEARNERS:
            started = time.perf_counter()
            if kind is FineTune:  # its rate has no part in training
                learners = [trained(kind, 0.01, seed, noise, updates) for seed in SEEDS]
                best = tuned(kind, learners[0].network, noise)
                learners = [kind(n.network, best.inner_lr, best.inner_steps) for n in learners]
            else:
                best = best_of_rates(kind, noise, updates)
                rest = [trained(kind, best.inner_lr, s, noise, updates) for s in SEEDS[1:]]
                learners = [best, *rest]
            rows[kind.__name__] = measured(learners, noise)
            print_row(noise, kind.__name__, rows, started)
            OUT.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", encoding="utf8")
        started = time.perf_counter()
        scratch = tuned(FromScratch, MLP(1, 40, 40, 1), noise)
        scratches = [
            FromScratch(scratch.network, scratch.inner_lr, scratch.inner_steps, seed)
            for seed in SEEDS
        ]
        rows["FromScratch"] = measured(scratches, noise)
        print_row(noise, "FromScratch", rows, started)
        rows["BayesOptimalSinusoid"] = measured(
            [BayesOptimalSinusoid(Sinusoids(noise=noise))], noise
        )
        print_row(noise, "BayesOptimalSinusoid", rows, started)
        OUT.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", encoding="utf8")


def print_row(noise: float, name: str, rows: dict, started: float) -> None:
    row = rows[name]
    cells = [f"{k} steps {row['steps'][k]['mean']:.3f}" for k in (0, 1, 5, 10)]
    cells += [
        f"{family}: {r['mean']:.3f} ({r['diverged']})" for family, r in row["families"].items()
    ]
    minutes = (time.perf_counter() - started) / 60
    print(
        f"noise {noise} {name:21} rate {row['inner_lr']} ",
        " | ".join(cells),
        f"{minutes:.1f} min",
        flush=True,
    )


if __name__ == "__main__":
    main()
