"""What a player's choices cost beside the optimum's, belief by belief."""

from typing import NamedTuple

import torch
from torch import Tensor

from course_utils.learners.bandits import updated
from course_utils.learners.base import MetaLearner
from course_utils.learners.planning import BayesOptimalBandit, code_of, counts_of
from course_utils.tasks.bandits import BanditEnvironments
from course_utils.tasks.environments import DICE

EQUAL = 1e-9  # arms whose values differ by less are equally good


class Audit(NamedTuple):
    """One episode of T bandits, pull by pull."""

    belief: Tensor  # (T, n, k, 2) successes and failures of each arm, before the pull
    arm: Tensor  # (T, n) which one was pulled
    paid: Tensor  # (T, n)
    cost: Tensor  # (T, n) Q of the best arm minus Q of the arm pulled, 0 or more

    @property
    def agrees(self) -> Tensor:
        """Whether no arm would have been better than the one pulled: (T, n)."""
        return self.cost < EQUAL


class Choices(NamedTuple):
    """What was done with B different beliefs; those are one that differ in the order of arms."""

    belief: Tensor  # (B, k, 2)
    arm: Tensor  # (B, 2) successes and failures of the arm that was pulled
    better: Tensor  # (B, 2) those of the best arm
    visits: Tensor  # (B,) how often this was pulled with this belief
    cost: Tensor  # (B,) of each time


def audit(
    player: MetaLearner,
    optimal: BayesOptimalBandit,
    environments: BanditEnvironments,
    seed: int = 0,
) -> Audit:
    """Let `player` play one episode of each bandit, and judge all its choices by the optimum's Q.

    The costs of an episode, averaged over bandits, are what the player falls short of the optimum,
    the luck of the coins left out. `seed` fixes the dice of a player that throws any.
    """
    policy, steps = player.adapt(environments), []
    belief, memory, done = None, None, False
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(DICE + seed)
        observation = environments.reset()
        while not done:
            belief = updated(belief, observation)
            arm, memory = policy(observation, memory)
            observation, reward, done = environments.step(arm)
            q = optimal.values(belief)  # (T, k)
            cost = q.amax(1) - q.gather(1, arm.unsqueeze(1)).squeeze(1)
            steps.append((belief, arm, reward, cost))
    return Audit(*(torch.stack(part, 1) for part in zip(*steps, strict=True)))


def choices(audited: Audit, optimal: BayesOptimalBandit) -> Choices:
    """The audit sorted by what was believed and pulled, the costliest in all first."""
    belief = audited.belief.flatten(0, 1).long()  # (N, k, 2)
    codes = code_of(belief)  # (N, k)
    pulled = codes.gather(1, audited.arm.view(-1, 1))
    rows = torch.cat([codes.sort(1).values, pulled], 1)
    rows, which, visits = rows.unique(dim=0, return_inverse=True, return_counts=True)
    cost = torch.zeros(len(rows), dtype=torch.double).index_add_(0, which, audited.cost.flatten())
    order = cost.argsort(descending=True)
    rows, visits, cost = rows[order], visits[order], (cost / visits)[order]
    best = torch.cat([optimal.choose(b[None].float(), 0) for b in counts_of(rows[:, :-1])])
    better = rows[:, :-1].gather(1, best.unsqueeze(1)).squeeze(1)
    return Choices(counts_of(rows[:, :-1]), counts_of(rows[:, -1]), counts_of(better), visits, cost)
