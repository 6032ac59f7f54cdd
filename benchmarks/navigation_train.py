"""Trains the learners of chapter 06b to find hidden goals, and stores them.

    uv run python benchmarks/navigation_train.py                # all learners, all seeds
    uv run python benchmarks/navigation_train.py maml --seeds 0 # one

Every learner gets the same number of updates of 20 arenas with 10 robots each and the same
optimizer, Adam: first with one gradient step in the inner loop, then with three. That takes about
half a minute each; a run that was stopped goes on where it stood. Then the lengths of the steps at
test time are chosen on validation goals, with the same number of tries for each learner.
Seed 0 is shipped; the others wait in `runs/` for `navigation_table.py`.
"""

import argparse
import itertools
from pathlib import Path

import torch

from course_utils import checkpoints
from course_utils.learners import ContextPolicy, JointPolicy, MAMLPolicy
from course_utils.networks import MLP
from course_utils.run import VALIDATION_SEED
from course_utils.tasks.environments import play
from course_utils.tasks.navigation import Navigation, NavigationEnvironments
from course_utils.training import train

RUNS = Path(__file__).parents[1] / "runs" / "navigation"
COMMAND = "uv run python benchmarks/navigation_train.py"
SEEDS = (0, 1, 2)
STEPS = 3
PHASES = ((1, 0.003, 100), (3, 0.002, 40), (3, 0.001, 60))  # inner steps, Adam's rate, updates
LEARNERS = {
    "maml": lambda: MAMLPolicy(MLP(2, 64, 64, 2), inner_lr=0.05),
    "context": lambda: ContextPolicy(MLP(2 + 5, 64, 64, 2), context=5, inner_lr=5.0),
    "joint": lambda: JointPolicy(MLP(2, 64, 64, 2)),
}
LENGTHS = {  # the first step in terms of `inner_lr`, and `later`
    "maml": ((0.7, 1.0, 1.4), (0.35, 0.5, 0.7)),
    "context": ((0.7, 1.0, 1.4), (0.35, 0.5, 0.7)),
    "joint": ((3.0, 10.0, 30.0), (0.5, 0.7, 1.0)),  # best at an edge with shorter ones
}


def returns(learner, arenas: NavigationEnvironments, seed: int = 0) -> torch.Tensor:
    """The mean return of each goal after 0 .. 3 steps: (4, T)."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        path = learner.trajectory(arenas, STEPS)
        return torch.stack([play(policy, arenas, seed).mean(1) for policy in path])


def trained(name: str, seed: int):
    """The learner after all its updates."""
    torch.manual_seed(seed)
    learner = LEARNERS[name]()
    for phase, (learner.inner_steps, rate, updates) in enumerate(PHASES):
        history = train(
            learner,
            Navigation(robots=10),
            updates=updates,
            tasks_per_update=20,
            optimizer=torch.optim.Adam(learner.parameters(), rate),
            checkpoint=RUNS / f"training_{name}_{seed}_{phase}.safetensors",
            seed=10 * seed + phase,
            device="cpu",
            progress=False,
        )
        last = -sum(history.losses[-20:]) / 20
        print(f"{name} {seed}: {updates} updates at {rate}, return {last:.2f}", flush=True)
    return learner


def tuned(name: str, learner) -> dict:
    """Set the lengths of the steps whose returns after 1, 2, 3 steps add up best; all tried."""
    arenas = Navigation().sample(40, torch.Generator().manual_seed(VALIDATION_SEED))
    start, tried = learner.inner_lr, {}
    for factor, later in itertools.product(*LENGTHS[name]):
        learner.inner_lr, learner.later = start * factor, later
        mean = returns(learner, arenas).mean(1)  # (4,)
        tried[learner.inner_lr, later] = mean
        print(f"   step {start * factor:g}, then {later:g} of it:", *(f"{r:.2f}" for r in mean))
    learner.inner_lr, learner.later = max(tried, key=lambda lengths: tried[lengths][1:].sum())
    return tried


def path_of(name: str, seed: int) -> tuple[str, Path | None]:
    """Name and folder under which a trained learner is stored; None: where checkpoints ship."""
    return (f"{name}_navigation", None) if seed == 0 else (f"{name}_navigation_{seed}", RUNS)


def stored(name: str, seed: int):
    """The trained learner, from its checkpoint if there is one."""
    file, folder = path_of(name, seed)
    try:
        return checkpoints.load(file, folder)
    except FileNotFoundError:
        learner = trained(name, seed)
    tuned(name, learner)
    arenas = Navigation().sample(100, torch.Generator().manual_seed(VALIDATION_SEED + 1))
    mean = returns(learner, arenas).mean(1).tolist()
    phases = [f"{n} updates with {k} inner steps at rate {rate}" for k, rate, n in PHASES]
    trained_on = f"Navigation(robots=10), {' and '.join(phases)}, 20 arenas each, Adam, seed {seed}"
    card = {
        "what": f"{type(learner).__name__}: finds hidden goals on the plane",
        "trained on": trained_on,
        "score": {f"return after {k} steps, 100 goals": f"{r:.2f}" for k, r in enumerate(mean)},
        "version": "0.1.0",
        "command": f"{COMMAND} {name} --seeds {seed}",
    }
    checkpoints.save(learner.eval(), file, card, folder)
    print(file, card["score"], flush=True)
    return learner


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*LEARNERS, []], help="all if left out")
    parser.add_argument("--seeds", type=int, nargs="*", default=SEEDS)
    arguments = parser.parse_args()
    for seed in arguments.seeds:
        for name in arguments.names or LEARNERS:
            stored(name, seed)


if __name__ == "__main__":
    main()
