"""Trains RL² (Duan et al. 2016) on bandits of five arms, for chapter 02, and stores it.

    uv run python benchmarks/bandits_train.py rl2_bandit10           # as shipped
    uv run python benchmarks/bandits_train.py rl2_bandit10 --seed 1  # another, kept in runs/

A run that was stopped goes on where it stood. It learns from what the arms pay, and is never told
anything else. For 100 pulls it goes to school first, in lives of 10, 20, 40 and 70 pulls: started
with 100 it stays with one arm for ever. Even so it stood at 68 before the last rate, less than
greedy comes to, and does not ship.
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
STEPS = 20_000  # pulls that an update learns from
TEN = [(10, 0.003, 1500), (10, 0.001, 1500), (10, 0.0003, 1500)]
SCHOOL = [(10, 0.003, 1500), (20, 0.001, 300), (40, 0.001, 300), (70, 0.001, 300)]
RECIPES = {  # stages: pulls, Adam's rate, updates
    "rl2_bandit10": TEN,
    "rl2_bandit100": [*SCHOOL, (100, 0.001, 4000), (100, 0.0003, 2000)],
}


def trained(name: str, seed: int) -> tuple[RL2, float]:
    """The learner after all stages, and the minutes it took."""
    torch.manual_seed(seed)
    learner, minutes = RL2(actions=5), 0.0
    for i, (pulls, rate, updates) in enumerate(RECIPES[name]):
        history = train(
            learner,
            Bandits(5, pulls),
            updates=updates,
            tasks_per_update=STEPS // pulls,
            optimizer=torch.optim.Adam(learner.parameters(), lr=rate, fused=True),
            device="cpu",
            checkpoint=RUNS / f"{name}_{seed}_{i}.safetensors",
            seed=10 * seed + i,
            progress=False,
        )
        minutes += history.seconds / 60
        now = test(learner, Bandits(5, pulls), num_tasks=2000, seed=2**31, device="cpu")
        print(f"{name} seed {seed}, {pulls} pulls, rate {rate}: {now}, {minutes:.1f} minutes",
              flush=True)  # fmt: skip
    return learner, minutes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(RECIPES))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    for name in arguments.names or RECIPES:
        learner, minutes = trained(name, arguments.seed)
        pulls = RECIPES[name][-1][0]
        result = test(learner, Bandits(5, pulls), num_tasks=10_000, seed=1, device="cpu")
        stages = "; ".join(f"{n} pulls, {u} updates at rate {r}" for n, r, u in RECIPES[name])
        card = {
            "what": f"RL², {learner.hidden} units, for bandits of 5 arms and {pulls} pulls",
            "trained on": f"bandits of 5 arms, {STEPS} pulls an update: {stages};"
            f" seed {arguments.seed}",
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
