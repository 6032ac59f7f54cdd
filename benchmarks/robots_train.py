"""Trains models of damaged robots for chapter 06b, and stores them.

    uv run python benchmarks/robots_train.py               # all learners, all seeds
    uv run python benchmarks/robots_train.py maml --seeds 0  # one

Every learner gets the same number of updates of 16 robots with 32 + 32 steps each. Adam's rate
falls twice from 0.003, which did better than 0.001 with every learner on validation robots
(`--rate` tries one). A run that was stopped goes on where it stood. Then the length and number of
the inner steps are chosen on validation robots, with the same number of tries for each learner, for
16 and for 64 steps to learn from. Seed 0 is shipped; the others wait in `runs/` for
`robots_table.py`.
"""

import argparse
import itertools
from pathlib import Path

import torch

from course_utils import checkpoints
from course_utils.learners import FOMAML, MAML, FineTune, MetaLearner, Recurrent, Reptile
from course_utils.networks import MLP
from course_utils.tasks import Robots
from course_utils.tasks.robots import INPUTS, STATE
from course_utils.training import test, train

RUNS = Path(__file__).parents[1] / "runs" / "robots"
COMMAND = "uv run python benchmarks/robots_train.py"
SEEDS = (0, 1, 2)
RATE = 0.003
PHASES = ((1.0, 1800), (0.3, 900), (0.1, 300))  # share of Adam's rate, updates
WIDTH = 200
SHOTS = (16, 64)


def network() -> MLP:
    return MLP(INPUTS, WIDTH, WIDTH, STATE)


LEARNERS = {
    "pooled": lambda: FineTune(network(), 0.1, 20),
    "told": lambda: FineTune(network(), 0.1, 0),  # on Robots(told=True)
    "maml": lambda: MAML(network(), 0.1, 5),
    "fomaml": lambda: FOMAML(network(), 0.1, 5),
    "reptile": lambda: Reptile(network(), 0.1, 5),
    "recurrent": lambda: Recurrent(INPUTS, STATE, 128, WIDTH),
}
LENGTHS, NUMBERS = (0.02, 0.05, 0.1, 0.2, 0.4), (5, 20, 50, 150)  # of inner steps, to be tried


def trained(name: str, seed: int, rate: float) -> tuple[MetaLearner, float]:
    """The learner after all its updates, and the minutes that took."""
    torch.manual_seed(seed)
    learner, minutes = LEARNERS[name](), 0.0
    robots = Robots("train", told=name == "told")
    for phase, (share, updates) in enumerate(PHASES):
        history = train(
            learner,
            robots,
            updates=updates,
            tasks_per_update=16,
            optimizer=torch.optim.Adam(learner.parameters(), lr=rate * share, fused=True),
            device="cpu",
            checkpoint=RUNS / f"training_{name}_{seed}_{rate}_{phase}.safetensors",
            seed=10 * seed + phase,
            progress=False,
        )
        minutes += history.seconds / 60
    return learner, minutes


def chosen(learner: MetaLearner, shots: int) -> tuple[float, int]:
    """The step length and number of steps with the least error on validation robots."""
    robots = Robots("validation", shots, 64)

    def error(setting: tuple[float, int]) -> float:
        learner.inner_lr, learner.inner_steps = setting
        found = test(learner, robots, num_tasks=40, device="cpu").mean
        return found if found == found else float("inf")

    return min(itertools.product(LENGTHS, NUMBERS), key=error)


def tuned(name: str, learner: MetaLearner) -> dict[int, tuple[float, int]]:
    """Set what was best after 64 steps; the best settings for each number of steps."""
    if not hasattr(learner, "inner_lr") or name == "told":
        return {}
    settings = {shots: chosen(learner, shots) for shots in SHOTS}
    learner.inner_lr, learner.inner_steps = settings[SHOTS[-1]]
    return settings


def errors(name: str, learner: MetaLearner) -> str:
    """The error on validation robots after 64 steps."""
    robots = Robots("validation", SHOTS[-1], 64, told=name == "told")
    return str(test(learner, robots, num_tasks=100, device="cpu"))


def path_of(name: str, seed: int) -> tuple[str, Path | None]:
    """Name and folder under which a trained learner is stored; None: where checkpoints ship."""
    return (f"{name}_robots", None) if seed == 0 else (f"{name}_robots_{seed}", RUNS)


def settings_of(name: str, seed: int, shots: int) -> tuple[float, int]:
    """Length and number of the inner steps that were chosen for so many steps of a robot."""
    return checkpoints.card(*path_of(name, seed))["settings"][str(shots)]


def stored(name: str, seed: int) -> MetaLearner:
    """The trained learner, from its checkpoint; trained first if there is none."""
    file, where = path_of(name, seed)
    try:
        return checkpoints.load(file, where)
    except FileNotFoundError:
        learner, minutes = trained(name, seed, RATE)
    settings = tuned(name, learner)
    card = {
        "what": f"{type(learner).__name__}, a model of the half cheetah with six hidden gains",
        "trained on": f"400 robots, {sum(u for _, u in PHASES)} updates of 16, seed {seed},"
        f" Adam's rate from {RATE}",
        "settings": {str(shots): list(setting) for shots, setting in settings.items()},
        "score": {
            "error after 64 steps, 20 validation robots": errors(name, learner),
        },
        "minutes": round(minutes, 1),
        "version": "0.1.0",
        "command": f"{COMMAND} {name} --seeds {seed}",
    }
    checkpoints.save(learner, file, card, where)
    print(file, card["score"], card["settings"], f"{minutes:.1f} minutes", flush=True)
    return learner


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(LEARNERS))
    parser.add_argument("--seeds", type=int, nargs="*", default=SEEDS)
    parser.add_argument("--rate", type=float, help="try seed 0 with this rate, store nothing")
    arguments = parser.parse_args()
    RUNS.mkdir(parents=True, exist_ok=True)
    if arguments.rate:
        for name in arguments.names or LEARNERS:
            learner, minutes = trained(name, 0, arguments.rate)
            tuned(name, learner)
            print(name, arguments.rate, errors(name, learner), f"{minutes:.1f} minutes", flush=True)
        return
    for seed in arguments.seeds:
        for name in arguments.names or LEARNERS:
            stored(name, seed)


if __name__ == "__main__":
    main()
