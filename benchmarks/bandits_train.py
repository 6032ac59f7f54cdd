"""Trains RL² (Duan et al. 2016) on bandits of five arms, for chapter 02, and stores it.

    uv run python benchmarks/bandits_train.py                      # seed 0 of both, as shipped
    uv run python benchmarks/bandits_train.py rl2_bandit10 --seed 1  # another, kept in runs/

A run that was stopped goes on where it stood. Three rates of Adam, one after the other; the last
weights are what is stored. It learns from what the arms pay, and is never told anything else.
"""

import argparse
from pathlib import Path

import torch

from course_utils import checkpoints
from course_utils.learners import RL2
from course_utils.tasks.bandits import Bandits
from course_utils.training import test, train

RUNS = Path(__file__).parents[1] / "runs"
COMMAND = "uv run python benchmarks/bandits_train.py"
RATES = (0.003, 0.001, 0.0003)
RECIPES = {  # pulls, bandits an update, updates at each rate
    "rl2_bandit10": (10, 1000, 1500),
    "rl2_bandit100": (100, 200, 2000),
}


def trained(name: str, seed: int) -> tuple[RL2, float]:
    """The learner after all rates, and the minutes it took."""
    pulls, tasks, updates = RECIPES[name]
    torch.manual_seed(seed)
    learner, minutes = RL2(actions=5), 0.0
    for i, rate in enumerate(RATES):
        history = train(
            learner,
            Bandits(5, pulls),
            updates=updates,
            tasks_per_update=tasks,
            optimizer=torch.optim.Adam(learner.parameters(), lr=rate, fused=True),
            device="cpu",
            checkpoint=RUNS / f"{name}_{seed}_{i}.safetensors",
            seed=10 * seed + i,
            progress=False,
        )
        minutes += history.seconds / 60
        now = test(learner, Bandits(5, pulls), num_tasks=2000, seed=2**31, device="cpu")
        print(f"{name} seed {seed} rate {rate}: {now}, {minutes:.1f} minutes", flush=True)
    return learner, minutes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(RECIPES))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    for name in arguments.names or RECIPES:
        learner, minutes = trained(name, arguments.seed)
        pulls, tasks, updates = RECIPES[name]
        result = test(learner, Bandits(5, pulls), num_tasks=10_000, seed=1, device="cpu")
        card = {
            "what": f"RL², {learner.hidden} units, for bandits of 5 arms and {pulls} pulls",
            "trained on": f"Bandits(5, {pulls}), {updates} updates of {tasks} episodes with each"
            f" of Adam's rates {', '.join(map(str, RATES))}, seed {arguments.seed}",
            "score": {"mean return on 10,000 new bandits": str(result)},
            "minutes": round(minutes, 1),
            "version": "0.1.0",
            "command": f"{COMMAND} {name}",
        }
        folder = None if arguments.seed == 0 else RUNS
        checkpoints.save(
            learner, name if folder is None else f"{name}_{arguments.seed}", card, folder
        )


if __name__ == "__main__":
    main()
