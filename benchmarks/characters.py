"""Characters of the world: drawing speed, and how well the trained learners know letters again.

    uv run python benchmarks/characters.py        # prints all, writes benchmarks/characters.json

600 tasks for each cell, the same for every learner, three queries a class; test scripts that no
learner has seen. Intervals are 95 % bootstrap intervals: over tasks, or, within scripts, over
scripts. Omniglot's small archive (five alphabets) is measured where COURSE_OMNIGLOT names its
folder, 20-way within an alphabet: 1-shot, the support by one drawer and the queries by another, and
with the examples of 5 and of 18 drawers, which shows how many letters can't be told apart at all.
How the learners were trained: benchmarks/characters_train.py.
"""

import argparse
import json
import os
import platform
import statistics
import time
from pathlib import Path

import torch
from torch import nn

from course_utils import checkpoints
from course_utils.learners import ProtoNet
from course_utils.tasks import Characters, Omniglot
from course_utils.training import bootstrap_interval, test

OUT = Path(__file__).with_suffix(".json")
NAMES = {
    "classifier_characters": "nearest centroid, classifier's features",
    "matchingnet_characters": "MatchingNet",
    "relationnet_characters": "RelationNet",
    "protonet_characters": "ProtoNet",
    "protonet_characters_without_omniglot": "ProtoNet without Omniglot's scripts",
    "anil_characters": "ANIL (Conv4)",
    "ceiling_characters": "ProtoNet that has seen the test letters",
}
CELLS = ((5, 1), (5, 5), (20, 1), (20, 5))  # ways, shots
SHOTS = (1, 5, 18)  # on Omniglot; 18 are all drawers but two
# Errors in the original one-shot test (20-way 1-shot within an alphabet, other alphabets than here)
PUBLISHED = {
    "people": 0.045,
    "Bayesian program learning": 0.033,
    "ProtoNet trained on Omniglot": 0.137,
    "source": "Lake, Salakhutdinov & Tenenbaum 2019, The Omniglot challenge: a 3-year progress"
    " report, table 1",
}


def speed(images: int = 20_000) -> dict:
    """Drawings a second at 28×28, the sampling of tasks included: median of five."""
    task_set = Characters("train", 20, 1, 4)
    num_tasks = images // 100
    task_set.sample(num_tasks)
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        task_set.sample(num_tasks)
        seconds.append(time.perf_counter() - started)
    rate = num_tasks * 100 / statistics.median(seconds)
    return {"per second": round(rate, -2), "threads": torch.get_num_threads()}


def learners() -> dict[str, tuple[nn.Module, dict]]:
    """Name -> the learner and its card; those whose checkpoint is there."""
    found = {"pixels": (ProtoNet(nn.Flatten()), {"what": "nearest centroid on pixels"})}
    for name in NAMES:
        try:
            found[name] = checkpoints.load(name), checkpoints.card(name)
        except FileNotFoundError:
            print(f"{name} is not there")
    return found


def can(learner: nn.Module, ways: int) -> bool:
    """Whether the learner is not made for another number of ways."""
    return getattr(getattr(learner, "network", None), "outputs", ways) == ways


def cell(mean: float, interval: tuple[float, float]) -> dict:
    return {"mean": round(float(mean), 4), "interval": [round(float(v), 4) for v in interval]}


def accuracies(learner: nn.Module, num_tasks: int) -> dict:
    """Each cell, in tasks from all test scripts and from within one."""
    table = {}
    for ways, shots in filter(lambda c: can(learner, c[0]), CELLS):
        for kind, within in (("random", False), ("within script", True)):
            task_set = Characters("test", ways, shots, 3, within)
            result = test(learner, task_set, num_tasks=num_tasks)
            row = table.setdefault(f"{ways}-way {shots}-shot", {})
            row[kind] = cell(result.mean, result.interval)
    return table


def real(learner: nn.Module, num_tasks: int, shots: int = 1) -> dict:
    """Errors on Omniglot's small archive: each alphabet, and all, resampling alphabets."""
    task_set = Omniglot(split="background_small1", ways=20, shots=shots, queries=1,
                        within_script=True)  # fmt: skip
    result = test(learner, task_set, num_tasks=num_tasks)
    each = {a: 1 - result.scores[result.unit == u] for u, a in enumerate(task_set.scripts)}
    table = {alphabet: cell(e.mean(), bootstrap_interval(e)) for alphabet, e in each.items()}
    low, high = result.interval
    return {**table, "all": cell(1 - result.mean, (1 - high, 1 - low))}


def line(known: dict | None) -> str:
    if known is None:
        return f"{'':20}"
    low, high = known["interval"]
    return f"{known['mean']:.3f} [{low:.3f}, {high:.3f}]"


def show(table: dict) -> None:
    print(f"\n{table['tasks']} tasks a cell, on {table['device']}; {table['command']}")
    drawn = table["drawing"]
    print(f"drawing: {drawn['per second']:,.0f} a second at 28×28, {drawn['threads']} threads")
    for kind in ("random", "within script"):
        print(f"\naccuracy on test scripts, {kind}")
        cells = [f"{w}-way {s}-shot" for w, s in CELLS]
        print(f"{'':40}" + " ".join(f"{c:20}" for c in cells) + " minutes to train")
        for row in table["learners"].values():
            numbers = [line(row["test scripts"].get(c, {}).get(kind)) for c in cells]
            print(f"{row['what'][:39]:40}" + " ".join(numbers), row["minutes"] or "")
    for shots in SHOTS:
        print(f"\nerror on Omniglot's small archive, 20-way {shots}-shot within an alphabet")
        for row in table["learners"].values():
            for alphabet, error in row.get("omniglot", {}).get(f"{shots}-shot", {}).items():
                print(f"{row['what'][:39]:40} {alphabet:15} {line(error)}")
    print(
        "\npublished, on other alphabets:", *(f"{k}: {v}" for k, v in PUBLISHED.items()), sep="\n  "
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=600)
    parser.add_argument("--keep-speed", action="store_true", help="do not time the drawing anew")
    arguments = parser.parse_args()
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine()
    before = json.loads(OUT.read_text(encoding="utf8")) if OUT.exists() else {}
    table = {
        "command": "uv run python benchmarks/characters.py",
        "device": f"{device}, {torch.get_num_threads()} threads",
        "tasks": arguments.tasks,
        "drawing": before["drawing"] if arguments.keep_speed and before else speed(),
        "published errors": PUBLISHED,
        "learners": {},
        "ablation": before.get("ablation", {}),
    }
    for name, (learner, card) in learners().items():
        row = {
            "what": NAMES.get(name, card["what"]),
            "minutes": card.get("minutes"),
            "trained": card.get("trained on"),
            "command": card.get("command"),
            "test scripts": accuracies(learner, arguments.tasks),
        }
        if os.environ.get("COURSE_OMNIGLOT") and can(learner, 20):
            row["omniglot"] = {f"{k}-shot": real(learner, arguments.tasks, k) for k in SHOTS}
        elif old := before.get("learners", {}).get(name, {}).get("omniglot"):
            row["omniglot"] = old  # measured where the archive was
        table["learners"][name] = row
        OUT.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", encoding="utf8")
        print(f"{name} measured", flush=True)
    show(table)


if __name__ == "__main__":
    main()
