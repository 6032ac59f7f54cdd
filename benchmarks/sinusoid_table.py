"""The sinusoid experiment of Finn et al. 2017 (figure 3 and section 5.1), at the paper's length.

    uv run python benchmarks/sinusoid_table.py            # prints the table, writes the checkpoints

Trains MAML and the jointly trained baseline for 70,000 updates, then tests them with five shots
on 600 tasks. Noise 0.3 is run as well, beside the exact ceiling.
"""

import argparse
import platform
import time

import torch

from course_utils import checkpoints
from course_utils.learners import MAML, BayesOptimalSinusoid, FineTune
from course_utils.networks import MLP
from course_utils.tasks import Sinusoids
from course_utils.training import select, test, train

STEPS = (1, 5, 10)
PUBLISHED = {"MAML": (0.67, 0.38, 0.35), "joint training": (2.41, 2.23, 2.19)}
RATES = (0.0003, 0.001, 0.003, 0.01, 0.02, 0.05)
COMMAND = "uv run python benchmarks/sinusoid_table.py"


def trained(kind: type, inner_steps: int, noise: float, updates: int):
    """A learner trained on ten shots, as in the paper, and the minutes it took."""
    torch.manual_seed(0)
    learner = kind(MLP(1, 40, 40, 1), inner_lr=0.01, inner_steps=inner_steps)
    started = time.perf_counter()
    train(
        learner,
        Sinusoids(shots=10, queries=10, noise=noise),
        validation=Sinusoids(shots=5, queries=100, noise=noise),
        updates=updates,
        compile=True,
    )
    return learner, (time.perf_counter() - started) / 60


def at_steps(learner, task_set) -> list:
    """Results after 1, 5 and 10 inner steps, on the same 600 tasks."""
    network, rate = learner.network, learner.inner_lr
    return [test(MAML(network, rate, steps), task_set, seed=1) for steps in STEPS]


def fine_tuned(network, task_set) -> tuple[FineTune, list]:
    """The joint network with the rate that serves it best on validation tasks after 10 steps, and
    results after 1, 5 and 10 steps, each with the rate that is best for that many."""
    best = [select([FineTune(network, r, k) for r in RATES], task_set)[0] for k in STEPS]
    return best[-1], [test(learner, task_set, seed=1) for learner in best]


def row(name: str, results: list, published=None, minutes: float | None = None) -> str:
    cells = []
    for i, result in enumerate(results):
        before = f"{published[i]:.2f} | " if published else "     | "
        cells.append(before + str(result))
    took = "" if minutes is None else f"{minutes:.1f}"
    return f"{name:34} || " + " || ".join(f"{c:29}" for c in cells) + f" || {took}"


def store(learner, file: str, name: str, noise: float, updates: int, results: list) -> None:
    """Write the checkpoint and its card."""
    setting = f"Sinusoids(shots=10, queries=10, noise={noise}), {updates} updates of 25 tasks"
    card = {
        "what": name,
        "trained on": f"{setting}, Adam 0.001, seed 0",
        "score": {f"5 shots, {k} steps": str(r) for k, r in zip(STEPS, results, strict=True)},
        "version": "0.1.0",
        "command": f"{COMMAND} --write",
    }
    checkpoints.save(learner, file, card)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--updates", type=int, default=70_000)
    parser.add_argument("--write", action="store_true", help="store the learners as checkpoints")
    arguments = parser.parse_args()
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine()
    print(f"{arguments.updates} updates, one seed, 600 test tasks, 5 shots, on {device}; {COMMAND}")
    for noise in (0.0, 0.3):
        table(noise, arguments.updates, arguments.write)


def table(noise: float, updates: int, write: bool) -> None:
    """Train, test and print the rows for one level of noise."""
    task_set = Sinusoids(shots=5, queries=100, noise=noise)
    suffix = "_noisy" if noise else ""
    print(
        f"\nnoise {noise}: mean squared error [95 % interval] after " + ", ".join(map(str, STEPS))
    )
    print(
        f"{'':34} || "
        + " || ".join(f"{f'published | ours, {k} steps':29}" for k in STEPS)
        + " || minutes"
    )
    for name, kind, steps, file in (
        ("MAML, trained with 1 step", MAML, 1, "maml_sinusoid_one_step"),
        ("MAML, trained with 5 steps", MAML, 5, "maml_sinusoid"),
        ("joint training + fine-tuning", FineTune, 1, "joint_sinusoid"),
    ):
        learner, minutes = trained(kind, steps, noise, updates)
        if kind is FineTune:
            learner, results = fine_tuned(learner.network, task_set)
        else:
            results = at_steps(learner, task_set)
        published = None if noise else PUBLISHED["MAML" if kind is MAML else "joint training"]
        print(row(name, results, published, minutes), flush=True)
        if write:
            store(learner, file + suffix, name, noise, updates, results)
    optimum = test(BayesOptimalSinusoid(task_set), task_set, seed=1)
    print(row("Bayes optimum", [optimum] * len(STEPS)))


if __name__ == "__main__":
    main()
