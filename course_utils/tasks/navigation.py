"""A point robot that has to find a goal nobody tells it (Finn et al. 2017, section 5.3)."""

import torch
from torch import Tensor

from course_utils.tasks.base import TaskSet, check_counts
from course_utils.tasks.environments import Environments

ARENA = 0.5  # goals lie between -0.5 and 0.5, in either direction
SPEED = 0.1  # the farthest that a robot gets in a step, in either direction
NEAR = 0.01  # this close to the goal the robot has arrived


class NavigationEnvironments(Environments):
    """T arenas, each with one hidden goal (T, 2) and `robots` robots that look for it on their own.

    Robots start at the origin. An observation (T, E, 2) is where the E robots of each arena are. An
    action (T, E, 2) is a velocity in units of `SPEED`, cut off at −1 and 1; what it brings (T, E)
    is minus the distance to the goal after the step. A robot closer than `NEAR` has arrived: its
    episode is `over`, it stays and is paid nothing more. Raises ValueError for goals outside the
    arena, no robots or no steps, FloatingPointError where a reward is no finite number.
    """

    def __init__(self, goal: Tensor, robots: int = 20, horizon: int = 100):
        if goal.ndim != 2 or goal.shape[1] != 2 or not (goal.abs() <= ARENA).all():
            raise ValueError(
                f"goal must have shape (T, 2) and lie in the arena, between {-ARENA} and {ARENA} in"
                f" both directions; got shape {tuple(goal.shape)} and values {goal.tolist()[:3]}"
            )
        check_robots(robots, horizon)
        self.goal, self.robots, self.horizon = goal, robots, horizon
        self.reset()

    def __len__(self) -> int:
        return len(self.goal)

    def to(self, device: torch.device | str) -> "NavigationEnvironments":
        """The same arenas on `device`, before the first step."""
        return NavigationEnvironments(self.goal.to(device), self.robots, self.horizon)

    def reset(self) -> Tensor:
        self.position = self.goal.new_zeros(len(self), self.robots, 2)
        self.over = self.position[..., 0] > 0  # (T, E), all False
        self.left = self.horizon
        return self.position

    def step(self, action: Tensor) -> tuple[Tensor, Tensor, bool]:
        """Move all robots that are under way by `SPEED` · action, for one step.

        Raises ValueError for an action of another shape, RuntimeError after the last step.
        """
        if self.left == 0:
            raise RuntimeError(f"all {self.horizon} steps are made: call reset() for a new episode")
        if action.shape != self.position.shape:
            raise ValueError(
                f"an action must have shape {tuple(self.position.shape)}, two numbers for each"
                f" robot; got {tuple(action.shape)}"
            )
        under_way = (~self.over).to(action.dtype)  # (T, E)
        move = SPEED * action.clamp(-1, 1) * under_way.unsqueeze(2)
        self.position = self.position + move
        distance = torch.linalg.vector_norm(self.goal.unsqueeze(1) - self.position, dim=2)
        self.over = self.over | (distance < NEAR)
        self.left -= 1
        return self.position, -distance * under_way, self.left == 0


class Navigation(TaskSet):
    """Arenas whose goals are uniform in the square from −0.5 to 0.5.

    `sample` gives `NavigationEnvironments`. Source: Finn et al. 2017, section 5.3; the reward is
    that of their published program, the distance, where their text says its square.
    """

    def __init__(self, robots: int = 20, horizon: int = 100):
        check_robots(robots, horizon)
        self.robots, self.horizon = robots, horizon

    def sample(
        self, num_tasks: int, generator: torch.Generator | None = None
    ) -> NavigationEnvironments:
        check_counts(num_tasks=num_tasks)
        device = generator.device if generator else None
        share = torch.rand(num_tasks, 2, generator=generator, device=device)
        return NavigationEnvironments(ARENA * (2 * share - 1), self.robots, self.horizon)


def check_robots(robots: int, horizon: int) -> None:
    """Raise ValueError unless there is a robot, and a step for it to make."""
    check_counts(robots=robots, horizon=horizon)
    if robots == 0 or horizon == 0:
        raise ValueError(
            f"an episode needs a robot and a step, got {robots} robots and horizon {horizon}"
        )


def best_return(goal: Tensor, horizon: int = 100) -> Tensor:
    """The largest return that any policy can have with goals (T, 2) which it is told: (T,).

    At full speed in either direction no coordinate could be nearer to the goal's at any time.
    """
    steps = torch.arange(1, horizon + 1, device=goal.device).view(-1, 1, 1)
    left = (goal.abs() - SPEED * steps).clamp(min=0)  # (H, T, 2)
    return -torch.linalg.vector_norm(left, dim=2).sum(0)
