"""Steps a second in 2-D navigation: all arenas and robots move at once.

uv run python benchmarks/navigation_speed.py
"""

import time

import torch

from course_utils.learners import MAMLPolicy
from course_utils.learners.policy_gradient import act
from course_utils.networks import MLP
from course_utils.tasks.environments import play
from course_utils.tasks.navigation import Navigation


def speed(run, steps: int, repeats: int = 5) -> float:
    """Steps a second, the best of some runs."""
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return steps / min(seconds)


def main() -> None:
    learner = MAMLPolicy(MLP(2, 64, 64, 2))
    print(f"{torch.get_num_threads()} threads")
    for tasks, robots in ((20, 20), (500, 20)):
        arenas = Navigation(robots).sample(tasks)
        policy = learner.adapt(arenas, 0)
        for name, run in {
            "random velocities": lambda a=arenas: play(lambda o, m: (torch.randn_like(o), m), a),
            "the policy, weights of its own for each task": lambda a=arenas, p=policy: act(p, a),
        }.items():
            millions = speed(run, tasks * robots * arenas.horizon) / 1e6
            print(f"{tasks} tasks, {robots} robots each, {name}: {millions:.1f} million a second")


if __name__ == "__main__":
    main()
