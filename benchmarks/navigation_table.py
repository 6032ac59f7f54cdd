"""Returns after 0 to 3 gradient steps in 2-D navigation, beside Finn et al. 2017, Table 4.

    uv run python benchmarks/navigation_table.py   # prints, and writes navigation_table.json

Learners come from `navigation_train.py`; one whose checkpoint is missing is trained first. Each is
tested on the same 500 new goals: 20 robots act, adapt by one step, act again. A number is the mean
over seeds and goals, its interval resamples goals. Scale: the published program pays minus the
distance at each step (the paper's text says its square), and Table 4 sums over the 100 steps:
standing still costs 38.3 so, and 16.7 with the square, where the published policies start at −40.
"""

import argparse
import json
import platform
from pathlib import Path

import numpy as np
import torch
from navigation_train import SEEDS, STEPS, returns, stored

from course_utils import plots
from course_utils.learners.navigation import ToldGoal, Trilateration
from course_utils.tasks.environments import play
from course_utils.tasks.navigation import Navigation, NavigationEnvironments
from course_utils.training import bootstrap_interval

OUT = Path(__file__).with_suffix(".json")
COMMAND = "uv run python benchmarks/navigation_table.py"
GOALS = 500
AT_ONCE = 50
TEST_SEED = 1
ROWS = {  # name in the training script -> class, and what was published
    "maml": ("MAMLPolicy", (-40.41, -11.68, -3.33, -3.23)),
    "context": ("ContextPolicy", (-42.42, -13.90, -5.17, -3.18)),
    "joint": ("JointPolicy", None),
}


def arenas(robots: int = 20) -> list[NavigationEnvironments]:
    """The test goals, in parts that fit into memory."""
    goals = Navigation().sample(GOALS, torch.Generator().manual_seed(TEST_SEED)).goal
    return [NavigationEnvironments(part, robots) for part in goals.split(AT_ONCE)]


def summary(runs: np.ndarray) -> dict:
    """Mean, interval and the seeds' means of returns (seeds, goals)."""
    low, high = bootstrap_interval(runs.mean(0))
    return {
        "mean": round(float(runs.mean()), 2),
        "interval": [round(low, 2), round(high, 2)],
        "seeds": [round(float(run.mean()), 2) for run in runs],
    }


def row_of(name: str, seeds: list[int]) -> dict:
    """A learner's returns after each number of steps."""
    learners = [stored(name, seed) for seed in seeds]
    runs = np.stack(
        [
            torch.cat(
                [returns(learner, part, seed=i) for i, part in enumerate(arenas())], 1
            ).numpy()
            for learner in learners
        ]
    )  # fmt: skip  (seeds, 4, goals)
    return {
        "published": ROWS[name][1],
        "ours": [summary(runs[:, step]) for step in range(STEPS + 1)],
        "steps": [[round(learner.inner_lr, 4), learner.later] for learner in learners],
    }


def known() -> dict[str, dict]:
    """Those who learn nothing: the same at every number of steps."""
    rows = {}
    for player in (Trilateration(), ToldGoal()):
        earned = torch.cat([play(player.adapt(part), part)[:, 0] for part in arenas(1)])
        ours = [summary(earned.numpy()[None])] * (STEPS + 1)
        rows[type(player).__name__] = {"published": None, "ours": ours}
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="*", default=SEEDS)
    seeds = parser.parse_args().seeds
    rows = {kind: row_of(name, seeds) for name, (kind, _) in ROWS.items()} | known()
    table = {
        "command": COMMAND,
        "goals": GOALS,
        "seeds": len(seeds),
        "device": platform.machine(),
        "rows": rows,
    }
    OUT.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", encoding="utf8")
    print(f"{GOALS} goals, {len(seeds)} seeds, return after 0 .. {STEPS} steps: published | ours")
    for kind, row in rows.items():
        cells = []
        for i, result in enumerate(row["ours"]):
            before = f"{row['published'][i]:6.2f} | " if row["published"] else ""
            cells.append(f"{before}{result['mean']:6.2f} {result['interval']}")
        print(f"{plots.style(kind)['label']:29}", *cells, sep=" || ")


if __name__ == "__main__":
    main()
