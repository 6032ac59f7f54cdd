"""Metric-based learners on drawn characters at equal budget: chapter 03b's comparison.

    uv run python benchmarks/metric_based.py        # writes benchmarks/metric_based.json

Every learner has a small Conv4 (32 filters, 64 dimensions) and 1,000 updates with Adam on 240
drawings: 8 tasks, 10-way 1-shot with 2 queries a class, or, for the ordinary classifier, 240
drawings of all training characters. The outer rate is the best of three on validation tasks,
each tried with the full budget; so are the linear head's rate and number of steps. Three seeds;
test tasks are the same for all, from scripts that nobody was trained on.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from course_utils.learners import FullContext, MatchingNet, ProtoNet, RelationNet
from course_utils.learners.metric import prototypes as means_of
from course_utils.learners.metric import squared_distance
from course_utils.learners.pretrained import LinearHead, NearestCentroid
from course_utils.networks import MLP, Conv4
from course_utils.tasks.all_classes import AllClasses
from course_utils.tasks.characters import Characters
from course_utils.training import Result, select, test, train

OUT = Path(__file__).with_suffix(".json")
SEEDS = (0, 1, 2)
RATES = (0.001, 0.003, 0.01)
TRAINING = Characters("train", ways=10, shots=1, queries=2)
VALIDATION = Characters("validation", ways=5, shots=1, queries=5)
VALIDATION_5 = Characters("validation", ways=5, shots=5, queries=5)
TESTS = {  # name -> tasks, how many
    "5-way 1-shot": (Characters("test", 5, 1, 3), 400),
    "5-way 5-shot": (Characters("test", 5, 5, 3), 200),
    "20-way 1-shot": (Characters("test", 20, 1, 1), 200),
    "20-way 1-shot within a script": (Characters("test", 20, 1, 1, within_script=True), 200),
}


class UnsquaredProtoNet(ProtoNet):
    """ProtoNet with a common slip: the distance where its square belongs."""

    def compare(self, query, support, labels):
        squares = squared_distance(query, means_of(support, labels))
        return -squares.clamp(min=1e-9).sqrt()


def encoder() -> nn.Module:
    return Conv4(64, filters=32)


def relation_net() -> RelationNet:
    """As in the paper, pairs of feature maps are compared by convolution: four layers in all."""
    maps = nn.Sequential(*list(encoder())[:9])  # (n, 1, 28, 28) -> (n, 32, 4, 4)
    relation = nn.Sequential(
        nn.Conv2d(64, 32, 3, stride=2, padding=1),
        nn.GroupNorm(8, 32),
        nn.ReLU(),
        nn.Flatten(),
        MLP(128, 64, 1),
    )
    return RelationNet(maps, relation)


ROWS = {
    "ProtoNet": lambda: ProtoNet(encoder()),
    "NearestCentroid": lambda: NearestCentroid(encoder(), MLP(64, len(TRAINING.names))),
    "MatchingNet": lambda: MatchingNet(encoder()),
    "RelationNet": relation_net,
    "UnsquaredProtoNet": lambda: UnsquaredProtoNet(encoder()),
    "MatchingNet, temperature 1": lambda: MatchingNet(encoder(), temperature=1.0),
    "MatchingNet in full context": lambda: MatchingNet(encoder(), FullContext(64)),
}


def trained(name: str, rate: float, seed: int, updates: int):
    """One learner after its budget of drawings."""
    torch.manual_seed(seed)
    learner = ROWS[name]()
    task_set = AllClasses(TRAINING, examples=30) if name == "NearestCentroid" else TRAINING
    optimizer = torch.optim.Adam(learner.parameters(), lr=rate, fused=True)
    train(learner, task_set, updates=updates, tasks_per_update=8, optimizer=optimizer, seed=seed,
          progress=False)  # fmt: skip
    return learner


def row_of(learners: list, **about) -> dict:
    """Accuracy on each kind of test task: mean over seeds, 95 % interval, each seed's mean."""
    row = dict(about)
    for name, (task_set, count) in TESTS.items():
        results = [test(learner, task_set, num_tasks=count, seed=1) for learner in learners]
        both = Result(np.mean([r.scores for r in results], 0), results[0].unit)
        row[name] = {
            "mean": round(both.mean, 4),
            "interval": [round(v, 4) for v in both.interval],
            "seeds": [round(r.mean, 4) for r in results],
        }
    return row


def best_head(learner: NearestCentroid, validation: Characters) -> tuple[float, int]:
    """Rate and number of steps of the linear head that do best on validation tasks."""
    candidates = [
        LinearHead(learner.encoder, learner.head, rate, steps)
        for rate in (0.003, 0.01, 0.03, 0.1, 0.3)
        for steps in (10, 100, 300)
    ]
    best, _ = select(candidates, validation, num_tasks=100)
    return best.inner_lr, best.inner_steps


def rows_of(name: str, updates: int) -> dict[str, dict]:
    """The finished row, and with the ordinary classifier its linear head's."""
    if name == "pixels":
        return {"pixels": row_of([ProtoNet(nn.Flatten())])}
    candidates = [trained(name, rate, SEEDS[0], updates) for rate in RATES]
    best, means = select(candidates, VALIDATION, num_tasks=100)
    rate = RATES[candidates.index(best)]
    learners = [best, *(trained(name, rate, seed, updates) for seed in SEEDS[1:])]
    rows = {name: row_of(learners, rate=rate, validation=[round(m, 4) for m in means])}
    if name == "NearestCentroid":
        lr, steps = best_head(best, VALIDATION_5)
        heads = [LinearHead(n.encoder, n.head, lr, steps) for n in learners]
        rows["LinearHead"] = row_of(heads, rate=rate, inner_lr=lr, inner_steps=steps)
    return rows


def stored(updates: int) -> dict:
    """The table as far as it stands."""
    if OUT.exists():
        table = json.loads(OUT.read_text(encoding="utf8"))
        if table["updates"] == updates:
            return table
    command = "uv run python benchmarks/metric_based.py"
    return {"command": command, "updates": updates, "seeds": len(SEEDS), "rows": {}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--updates", type=int, default=1000)
    parser.add_argument("--rows", nargs="*", default=["pixels", *ROWS])
    arguments = parser.parse_args()
    for name in arguments.rows:
        if name in stored(arguments.updates)["rows"]:
            continue  # a row that is there is kept: delete the file to start anew
        started = time.perf_counter()
        rows = rows_of(name, arguments.updates)
        table = stored(arguments.updates)
        table["rows"] |= rows
        OUT.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", encoding="utf8")
        for made, row in rows.items():
            cells = [f"{test} {row[test]['mean']:.3f}" for test in TESTS]
            minutes = (time.perf_counter() - started) / 60
            print(made, row.get("rate"), *cells, f"{minutes:.1f} min", sep=" | ", flush=True)


if __name__ == "__main__":
    main()
