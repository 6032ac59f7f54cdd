"""Transfer learning and meta-learning on sinusoids at equal budget: chapter 02's comparison.

    uv run python benchmarks/transfer.py          # writes benchmarks/transfer.json

All are trained on one recording of 1,000 noisy sines, 100 points each, with 2,000 updates of 25
tasks and 20 points a task; the outer rate, or for MAML the inner, is the better of two on
validation tasks, each with the full budget. At test time every entrant chooses its rate and number
of steps, or its ridge, on validation tasks of the family it is tested on. Three seeds; 300 test
tasks, the same for all; intervals are over tasks, of the mean over seeds.
"""

import argparse
import json
import math
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import torch

from course_utils.learners import (
    ANIL,
    MAML,
    BayesOptimalSinusoid,
    FineTune,
    FromScratchAdam,
)
from course_utils.learners.transfer import FrozenFeatures, MultiHead
from course_utils.networks import MLP
from course_utils.tasks import Sinusoids
from course_utils.tasks.recording import Recording
from course_utils.training import bootstrap_interval, select, test, train

OUT = Path(__file__).with_suffix(".json")
RECORDED, NOISE, SEEDS = 1000, 0.3, (0, 1, 2)
RATES, STEPS = (0.003, 0.01, 0.03), (1, 10, 100)
RIDGES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
SHOTS = (5, 10)
WORLDS = {
    "as trained": {},
    "other phase, π to 2π": {"phase": (math.pi, 2 * math.pi)},
    "larger amplitude, 5 to 10": {"amplitude": (5.0, 10.0)},
}
PHASES = [k * math.pi / 4 for k in range(9)]
ENTRANTS = (
    "FromScratchAdam",
    "RandomFeatures",
    "FineTune",
    "LinearProbe",
    "FrozenFeatures",
    "MultiHead",
    "MAML",
    "BayesOptimalSinusoid",
)


def sines(shots: int, queries: int = 50, **ranges) -> Sinusoids:
    return Sinusoids(shots, queries, noise=NOISE, **ranges)


def recording(seed: int) -> Recording:
    generator = torch.Generator().manual_seed(1000 + seed)
    return Recording(sines(10, 90).sample(RECORDED, generator), shots=10, queries=10)


def trained(kind: type, updates: int, seed: int) -> torch.nn.Module:
    """The network of the better of two settings, each after `updates` updates."""
    candidates = []
    for outer_lr, inner_lr in ((0.003, 0.01), (0.003, 0.03) if kind is MAML else (0.001, 0.01)):
        torch.manual_seed(seed)
        network = MLP(1, 40, 40, 1)
        last = {MultiHead: (RECORDED,), MAML: (inner_lr, 5), FineTune: (0.01, 10)}[kind]
        candidates.append(kind(network, *last))
        train(
            candidates[-1],
            recording(seed),
            updates=updates,
            optimizer=torch.optim.Adam(candidates[-1].parameters(), outer_lr, fused=True),
            validation=sines(10),
            seed=seed,
            progress=False,
        )
    return select(candidates, sines(10))[0].network


def adapted(name: str, network: torch.nn.Module, task_set: Sinusoids, seed: int) -> list:
    """The ways in which an entrant may adapt `network` to a new task."""
    if name == "BayesOptimalSinusoid":
        return [BayesOptimalSinusoid(task_set, nodes=512)]
    if name == "FromScratchAdam":
        ways = (0.01, 1, 1.0), (0.01, 100, 0.0), (0.01, 400, 0.0)
        return [FromScratchAdam(network, *way, seed=seed) for way in ways]
    if name in ("FrozenFeatures", "RandomFeatures", "MultiHead"):
        return [FrozenFeatures(network, ridge) for ridge in RIDGES]
    kind = {"LinearProbe": ANIL, "FineTune": FineTune, "MAML": MAML}[name]
    return [kind(network, rate, steps) for rate, steps in product(RATES, STEPS)]


def scores(name: str, network, task_set: Sinusoids, seed: int, tuning=None, num_tasks=300):
    """Errors (n,) of an entrant tuned on validation tasks of `tuning`, or of `task_set` itself."""
    candidates = adapted(name, network, task_set, seed)
    best = candidates[0]
    if len(candidates) > 1:
        best = select(candidates, tuning or task_set, num_tasks=200)[0]
    return test(best, task_set, num_tasks=num_tasks, seed=1).scores


def measured(seed: int, updates: int) -> dict:
    """Every entrant's errors with one seed: name -> what was asked -> (n,)."""
    torch.set_num_threads(1)
    networks = {kind.__name__: trained(kind, updates, seed) for kind in (FineTune, MultiHead, MAML)}
    networks["LinearProbe"] = networks["FrozenFeatures"] = networks["FineTune"]
    torch.manual_seed(seed)
    fresh = MLP(1, 40, 40, 1)
    rows = {}
    for name in ENTRANTS:
        of_name = partial(scores, name, networks.get(name, fresh), seed=seed)
        rows[name] = {
            (shots, world): of_name(sines(shots, **ranges))
            for shots, (world, ranges) in product(SHOTS, WORLDS.items())
        }
        if name in ("FineTune", "MultiHead", "MAML"):  # tuned at home
            for phase in PHASES:
                task_set = sines(10, phase=(phase, phase))
                rows[name][phase] = of_name(task_set, tuning=sines(10), num_tasks=100)
        print(f"seed {seed} {name}: {rows[name][10, 'as trained'].mean():.3f}", flush=True)
    return rows


def summary(runs: list[np.ndarray]) -> dict:
    """Mean and 95 % interval over tasks of the mean over seeds, each seed's mean.

    A task counts as diverged when its error passes 1,000; mean and interval are of the others.
    """
    per_task = np.mean(runs, 0)
    fine = per_task < 1000  # False for NaN as well
    low, high = bootstrap_interval(per_task[fine])
    return {
        "mean": round(float(per_task[fine].mean()), 4),
        "interval": [round(low, 4), round(high, 4)],
        "seeds": [round(float(run[fine].mean()), 4) for run in runs],
        "diverged": round(1 - float(fine.mean()), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--updates", type=int, default=2000)
    updates = parser.parse_args().updates
    started = time.perf_counter()
    with ProcessPoolExecutor(len(SEEDS)) as pool:
        runs = list(pool.map(partial(measured, updates=updates), SEEDS))
    table = {
        "command": "uv run python benchmarks/transfer.py",
        "updates": updates,
        "seeds": len(SEEDS),
        "recorded": RECORDED,
        "noise": NOISE,
        "families": {
            str(shots): {
                world: {
                    name: summary([run[name][shots, world] for run in runs]) for name in ENTRANTS
                }
                for world in WORLDS
            }
            for shots in SHOTS
        },
        "phases": PHASES,
        "over the phase": {
            name: [summary([run[name][phase] for run in runs]) for phase in PHASES]
            for name in ("FineTune", "MultiHead", "MAML")
        },
    }
    OUT.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", encoding="utf8")
    print(f"{(time.perf_counter() - started) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
