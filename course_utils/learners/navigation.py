"""Two who need no meta-learning to find a goal: one is told it, one knows what a reward means."""

import torch
from torch import Tensor

from course_utils.learners.base import MetaLearner
from course_utils.tasks.environments import Policy
from course_utils.tasks.navigation import SPEED, NavigationEnvironments


class ToldGoal(MetaLearner):
    """Is told the goal and goes there as fast as can be: the exact ceiling, `best_return`."""

    def adapt(self, environments: NavigationEnvironments) -> Policy:
        return towards(environments.goal)

    def forward(self, environments: NavigationEnvironments) -> Tensor:
        raise TypeError("ToldGoal has nothing to meta-learn: play it, don't train it")


class Trilateration(MetaLearner):
    """Makes one step in each of three episodes, and reckons from the rewards where the goal is.

    It knows what no other learner here does: that a reward is minus the distance to the goal.
    """

    def adapt(self, environments: NavigationEnvironments) -> Policy:
        positions, rewards = [], []
        for action in environments.goal.new_tensor([[1, 0], [0, 1], [-1, 0]]):
            action = action.expand_as(environments.reset())
            position, reward, _ = environments.step(action)
            positions.append(position[:, 0])  # the robots all do the same: one will do
            rewards.append(reward[:, 0])
        positions, rewards = torch.stack(positions, 1), torch.stack(rewards, 1)  # (T, 3, 2), (T, 3)
        return towards(locate(positions, rewards))

    def forward(self, environments: NavigationEnvironments) -> Tensor:
        raise TypeError("Trilateration has nothing to meta-learn: play it, don't train it")


def towards(goal: Tensor) -> Policy:
    """Full speed towards goals (T, 2) in both directions, and no farther."""

    def policy(observation: Tensor, memory: None) -> tuple[Tensor, None]:
        return ((goal.unsqueeze(1) - observation) / SPEED).clamp(-1, 1), memory

    return policy


def locate(positions: Tensor, rewards: Tensor) -> Tensor:
    """Where the goal is, from three or more positions (T, n, 2) and rewards (T, n): (T, 2).

    r² = |p − g|² is not linear in g, but |p|² − r² = 2 p·g − |g|² is, in g and the number |g|².
    """
    x = torch.cat([2 * positions, -torch.ones_like(positions[..., :1])], 2)  # (T, n, 3)
    y = positions.square().sum(2) - rewards.square()  # (T, n)
    return torch.linalg.lstsq(x.double(), y.double().unsqueeze(2)).solution[:, :2, 0].to(rewards)
