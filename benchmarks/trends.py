"""Chapter 08's comparisons: each part writes its rows into benchmarks/trends.json.

    uv run python benchmarks/trends.py                 # all parts
    uv run python benchmarks/trends.py in_context      # one of them
    uv run python benchmarks/trends.py --seeds 1 --budget 0.1   # a first look

in_context: a transformer on noisy sinusoids, with the budget and the test tasks of
benchmarks/gradient_based.py: 10,000 updates of 25 tasks with Adam 0.001, 10 shots, 10 queries.
learned_optimizer: an update rule trained over 20 steps, against SGD and Adam, whose rates are
chosen on validation tasks for each number of steps. data: 4,000 examples in all, cut into few tasks
of many or many of few. badges: tasks that can be told apart without their support set. characters:
a MAML whose layers are then frozen one by one. Three seeds each (characters: one). All parts take
about half an hour on one core. A run that was stopped goes on where it stood; parts that are there
with this budget are kept. The first transformer goes to data/checkpoints.
"""

import argparse
import copy
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from course_utils import checkpoints
from course_utils.interpret import freeze, layers_of
from course_utils.learners import (
    MAML,
    BayesOptimalSinusoid,
    FineTune,
    FromScratch,
    FromScratchAdam,
    InContext,
    LearnedOptimizer,
)
from course_utils.learners.transfer import FrozenFeatures
from course_utils.losses import default_loss
from course_utils.networks import MLP, Conv4
from course_utils.tasks import Badges, Characters, Sinusoids
from course_utils.tasks.recording import Recording
from course_utils.training import bootstrap_interval, select, test, train

OUT = Path(__file__).with_suffix(".json")
RUNS = Path(__file__).parents[1] / "runs"  # unfinished ones
COMMAND = "uv run python benchmarks/trends.py"
NOISE = 0.3


def finished(learner, task_set, name: str, updates: int, **more):
    """`learner` after this many updates; what was trained before is read from runs/."""
    path = RUNS / f"trends_{name}_{updates}"
    train(learner, task_set, updates=updates, checkpoint=path, progress=False, **more)
    return learner


# --- a transformer that learns in its forward pass -----------------------------------------------

SHOTS = (1, 2, 3, 5, 10, 20, 40)
FAMILIES = {
    "as trained": {},
    "larger amplitude, 5 to 10": {"amplitude": (5.0, 10.0)},
    "other phase, π to 2π": {"phase": (math.pi, 2 * math.pi)},
}


def sines(shots: int, queries: int = 50, **ranges) -> Sinusoids:
    return Sinusoids(shots=shots, queries=queries, noise=NOISE, **ranges)


def over_shots(learners: list) -> dict:
    """Errors over the number of shots, and with five shots on families not trained on."""
    return {
        "shots": {k: errors(learners, sines(k)) for k in SHOTS},
        "families": {n: errors(learners, sines(5, **more)) for n, more in FAMILIES.items()},
    }


def errors(learners: list, task_set) -> dict:
    """Mean over seeds and 600 tasks, 95 % interval over tasks, each seed's mean."""
    if isinstance(learners[0], BayesOptimalSinusoid):
        learners = [BayesOptimalSinusoid(task_set)]
    return summary([test(learner, task_set, seed=1).scores for learner in learners])


def summary(runs: list[np.ndarray]) -> dict:
    low, high = bootstrap_interval(np.mean(runs, 0))
    return {
        "mean": round(float(np.mean(runs)), 4),
        "interval": [round(low, 4), round(high, 4)],
        "seeds": [round(float(np.mean(run)), 4) for run in runs],
    }


def in_context(seeds: range, budget: float) -> dict:
    updates = int(10_000 * budget)
    learners = [reader(seed, updates) for seed in seeds]
    card = {
        "what": "a transformer that learns from its context",
        "trained on": f"Sinusoids(shots=10, queries=10, noise=0.3), {updates} updates of 25 tasks,"
        " 0 to 10 of the shots shown, Adam 0.001, seed 0",
        "score": {f"{k} shots": str(test(learners[0], sines(k), seed=1)) for k in (1, 5, 10)},
        "version": "0.1.0",
        "command": f"{COMMAND} in_context",
    }
    checkpoints.save(learners[0], "in_context_sinusoid_noisy", card)
    rulers = [FrozenFeatures(waves(), r) for r in (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)]
    ridge = select(rulers, sines(5))[0]
    return {
        "InContext": over_shots(learners),
        "RidgeOnWaves": {"ridge": ridge.ridge} | over_shots([ridge]),
        "BayesOptimalSinusoid": over_shots([BayesOptimalSinusoid(sines(5))]),
    }


class Waves(nn.Module):
    """sin x and cos x, the features in which every task is linear: (..., 1) -> (..., 2)."""

    def forward(self, x):
        return torch.cat([x.sin(), x.cos()], -1)


def waves() -> nn.Sequential:
    return nn.Sequential(Waves(), nn.Linear(2, 1))


def reader(seed: int, updates: int) -> InContext:
    torch.manual_seed(seed)
    name = f"in_context_{seed}"
    return finished(InContext(), sines(10, 10), name, updates, validation=sines(5), seed=seed)


# --- an optimiser that was learned ---------------------------------------------------------------

HORIZON, WALK = 20, (0, 1, 2, 5, 10, 15, 20, 30, 40, 60, 80, 100, 150, 200)
RATES = (0.001, 0.003, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2)
MOULDS = {  # what is to be trained
    "as trained: two hidden layers of 20": MLP(1, 20, 20, 1),
    "three hidden layers of 40": MLP(1, 40, 40, 40, 1),
    "two hidden layers of 20, tanh": nn.Sequential(
        nn.Linear(1, 20), nn.Tanh(), nn.Linear(20, 20), nn.Tanh(), nn.Linear(20, 1)
    ),
}
WAVES = Sinusoids(shots=20, queries=20)


class Clipped(torch.optim.Adam):
    """Adam on gradients shortened to length 1: those through many steps can explode."""

    def step(self, closure=None):
        nn.utils.clip_grad_norm_([p for g in self.param_groups for p in g["params"]], 1.0)
        return super().step(closure)


def learned_optimizer(seeds: range, budget: float) -> dict:
    updates = int(1000 * budget)
    rules = [trained_rule(seed, updates) for seed in seeds]
    validation = WAVES.sample(100, torch.Generator().manual_seed(2**31))
    tasks = WAVES.sample(300, torch.Generator().manual_seed(1))
    found = {}
    for name, mould in MOULDS.items():
        ours = []
        for rule in rules:
            learner = LearnedOptimizer(copy.deepcopy(mould), HORIZON)
            learner.rule.load_state_dict(rule.rule.state_dict())
            ours.append(along(learner.eval(), tasks))
        found[name] = {"LearnedOptimizer": walked(ours)}
        for label, kind in (("SGD", FromScratch), ("Adam", FromScratchAdam)):
            tried = [along(kind(mould, rate), validation).mean(1) for rate in RATES]
            best = np.nanargmin(np.nan_to_num(tried, nan=np.inf), 0)  # for each number of steps
            rates = [RATES[i] for i in best]
            runs = {rate: along(kind(mould, rate), tasks) for rate in set(rates)}
            chosen = np.stack([runs[rate][i] for i, rate in enumerate(rates)])
            found[name][label] = walked([chosen]) | {"rates": rates}
    return {"steps": WALK, "horizon": HORIZON, "moulds": found}


def trained_rule(seed: int, updates: int) -> LearnedOptimizer:
    torch.manual_seed(seed)
    learner = LearnedOptimizer(MLP(1, 20, 20, 1), HORIZON)
    optimizer = Clipped(learner.rule.parameters(), lr=0.003)
    return finished(
        learner, WAVES, f"rule_{seed}", updates, tasks_per_update=10, validation=WAVES, seed=seed,
        optimizer=optimizer,
    )  # fmt: skip


def along(learner, tasks) -> np.ndarray:
    """Query errors after each number of steps in WALK: (steps, tasks)."""
    with torch.no_grad():
        way = learner.trajectory(tasks.support_x, tasks.support_y, max(WALK))
        return np.stack([default_loss(way[k](tasks.query_x), tasks.query_y).numpy() for k in WALK])


def walked(runs: list[np.ndarray]) -> dict:
    rows = [summary([run[i] for run in runs]) for i in range(len(WALK))]
    return {what: [row[what] for row in rows] for what in ("mean", "interval", "seeds")}


# --- many tasks or much of each ------------------------------------------------------------------

TOTAL, CUTS = 4000, (4, 10, 40, 100, 400)


def data(seeds: range, budget: float) -> dict:
    found = {}
    for tasks in CUTS:
        runs = {"MAML": [], "FineTune": []}
        for seed in seeds:
            generator = torch.Generator().manual_seed(100 + seed)
            recorded = sines(5, TOTAL // tasks - 5).sample(tasks, generator)
            for kind in (MAML, FineTune):
                learner = fitted(kind, recorded, seed, int(3000 * budget))
                if kind is FineTune:
                    candidates = [
                        FineTune(learner.network, r, 10) for r in (0.0, 0.001, 0.003, 0.01)
                    ]
                    learner = select(candidates, sines(5))[0]
                runs[kind.__name__].append(test(learner, sines(5), seed=1).scores)
        found[tasks] = {name: summary(r) for name, r in runs.items()}
        print(tasks, found[tasks], flush=True)
    optimum = errors([BayesOptimalSinusoid(sines(5))], sines(5))
    return {"total": TOTAL, "tasks": found, "BayesOptimalSinusoid": optimum}


def fitted(kind: type, recorded, seed: int, updates: int):
    """Trained with 5 shots and 5 inner steps; the best weights on validation tasks are kept.

    They are also where a run ends whose loss explodes, as MAML's can with five shots.
    """
    torch.manual_seed(seed)
    learner = kind(MLP(1, 40, 40, 1), 0.01, 5)
    name = f"data_{kind.__name__}_{len(recorded)}_{seed}"
    task_set = Recording(recorded, 5, 5)
    try:
        finished(learner, task_set, name, updates, validation=sines(5), seed=seed)
    except FloatingPointError as error:
        print(f"{name}: {error}")
    return learner


# --- learners that learn by heart ----------------------------------------------------------------

BADGE, FEW, MANY = 8, 20, 2000


def badges(seeds: range, budget: float) -> dict:
    """Errors before and after adapting, on the tasks trained on and on new ones."""
    plain = Sinusoids(shots=10, queries=40)
    setups: dict[str, Callable] = {
        f"{FEW} tasks": lambda g: recorded(Badges(plain, BADGE), FEW, g),
        f"{FEW} tasks, no badges": lambda g: recorded(Badges(plain, 0), FEW, g),
        f"{FEW} tasks, new badges": lambda g: Badges(recorded(plain, FEW, g), BADGE),
        f"{MANY} tasks": lambda g: recorded(Badges(plain, BADGE), MANY, g),
    }
    found = {}
    for number, (name, setup) in enumerate(setups.items()):
        runs: dict[str, list] = {}
        size = 0 if "no badges" in name else BADGE
        for seed in seeds:
            task_set = setup(torch.Generator().manual_seed(100 + seed))
            torch.manual_seed(seed)
            learner = MAML(MLP(1 + size, 40, 40, 1), 0.01, 5)
            updates = int(3000 * budget)
            finished(learner, task_set, f"badges_{number}_{seed}", updates, seed=seed)
            for where, judge in (("known", task_set), ("new", Badges(plain, size))):
                for steps in (0, 5):
                    learner.inner_steps = steps
                    runs.setdefault(f"{where}, {steps} steps", []).append(
                        test(learner, judge, seed=1).scores
                    )
        found[name] = {what: summary(r) for what, r in runs.items()}
        print(name, {k: v["mean"] for k, v in found[name].items()}, flush=True)
    return {"setups": found}


def recorded(task_set, tasks: int, generator) -> Recording:
    return Recording(task_set.sample(tasks, generator), shots=10, queries=10)


# --- which layers need to adapt ------------------------------------------------------------------


def characters(seeds: range, budget: float) -> dict:
    updates = int(1500 * budget)
    torch.manual_seed(0)
    learner = MAML(Conv4(5, filters=16), inner_lr=0.1, inner_steps=2)
    dealt = Characters("train", 5, 1, 5, within_script=0.5)
    finished(
        learner, dealt, "characters", updates, tasks_per_update=8,
        optimizer=torch.optim.Adam(learner.parameters(), 2e-3, fused=True),
    )  # fmt: skip
    task_set = Characters("test", 5, 1, 5, within_script=True)
    return {"freezing": freezing(learner, task_set)}


def freezing(learner, task_set) -> dict:
    """The score with layers 1 to k held still, and with all but layer k held still."""
    layers = layers_of(learner.network)
    found = {"none": layers[:0]}
    found |= {f"1 to {k}": layers[:k] for k in range(1, len(layers) + 1)}
    found |= {f"all but {k + 1}": layers[:k] + layers[k + 1 :] for k in range(len(layers))}
    rows = {}
    for name, held in found.items():
        result = test(freeze(learner, held), task_set, num_tasks=200, seed=1)
        rows[name] = {
            "mean": round(result.mean, 4),
            "interval": [round(v, 4) for v in result.interval],
        }
    return rows


PARTS = {f.__name__: f for f in (badges, data, in_context, learned_optimizer, characters)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="all if left out")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--budget", type=float, default=1.0, help="share of the updates")
    arguments = parser.parse_args()
    for name in arguments.parts or PARTS:
        seeds = 1 if name == "characters" else arguments.seeds
        budget = {"seeds": seeds, "budget": arguments.budget}
        if budget.items() <= stored().get(name, {}).items():
            continue
        row = budget | PARTS[name](range(seeds), arguments.budget)
        table = {"command": COMMAND} | stored() | {name: row}
        OUT.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", encoding="utf8")


def stored() -> dict:
    """The table as far as it stands."""
    return json.loads(OUT.read_text(encoding="utf8")) if OUT.exists() else {}


if __name__ == "__main__":
    main()
