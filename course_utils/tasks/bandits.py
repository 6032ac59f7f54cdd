"""Slot machines: each task is a row of arms that pay with probabilities nobody tells."""

import torch
from torch import Tensor

from course_utils.tasks.base import TaskSet, check_counts, check_range
from course_utils.tasks.environments import Environments


class BanditEnvironments(Environments):
    """T bandits of k arms, each to be pulled `pulls` times; arm a pays 1 with probability p[t, a].

    `p` has shape (T, k). An observation (T, k + 1) is the arm just pulled as a one-hot row, and
    what it paid; zeros at the start. All that the arms will pay is drawn here and now: the j-th
    pull of an arm pays the same whoever pulls it, in every episode, so that players are compared
    in pairs. Raises ValueError for probabilities outside [0, 1] and for no pulls.
    """

    def __init__(self, p: Tensor, pulls: int, generator: torch.Generator | None = None):
        if p.ndim != 2 or not ((p >= 0) & (p <= 1)).all():
            raise ValueError(
                f"p must be probabilities between 0 and 1 of shape (T, arms), got shape"
                f" {tuple(p.shape)} and values from {p.min():g} to {p.max():g}"
            )
        check_counts(pulls=pulls)
        if pulls == 0:
            raise ValueError("pulls must be 1 or more, got 0")
        self.p, self.pulls, self.arms = p, pulls, p.shape[1]
        chance = torch.rand(*p.shape, pulls, generator=generator, device=p.device)
        self.pays = (chance < p.unsqueeze(2)).to(p.dtype)  # (T, k, pulls)
        self.reset()

    def __len__(self) -> int:
        return len(self.p)

    def to(self, device: torch.device | str) -> "BanditEnvironments":
        """The same bandits on `device`, at the beginning of an episode."""
        self.p, self.pays = self.p.to(device), self.pays.to(device)
        self.reset()
        return self

    def reset(self) -> Tensor:
        self.pulled = torch.zeros(self.p.shape, dtype=torch.long, device=self.p.device)  # (T, k)
        self.left = self.pulls
        return self.p.new_zeros(len(self), self.arms + 1)

    def step(self, action: Tensor) -> tuple[Tensor, Tensor, bool]:
        """Pull arm `action` (T,) of each bandit.

        Raises ValueError for an arm that is not there, RuntimeError after the last pull.
        """
        if self.left == 0:
            raise RuntimeError(f"all {self.pulls} pulls are made: call reset() for a new episode")
        if action.shape != (len(self),) or not ((action >= 0) & (action < self.arms)).all():
            raise ValueError(
                f"an action must be whole numbers 0 .. {self.arms - 1} of shape ({len(self)},): one"
                f" arm for each bandit; got {action}"
            )
        arm = action.unsqueeze(1)  # (T, 1)
        turn = self.pulled.gather(1, arm)  # which pull of this arm it is
        reward = self.pays.gather(1, arm.unsqueeze(2).expand(-1, 1, self.pulls)).squeeze(1)
        reward = reward.gather(1, turn)  # (T, 1)
        self.pulled.scatter_add_(1, arm, torch.ones_like(arm))
        self.left -= 1
        seen = torch.zeros_like(self.p).scatter_(1, arm, 1)  # (T, k)
        return torch.cat([seen, reward], 1), reward.squeeze(1), self.left == 0


class Bandits(TaskSet):
    """Bernoulli bandits whose arms' probabilities are drawn uniformly from the range `p`.

    `sample` gives `BanditEnvironments`. The setting of Duan et al. 2016, section 3.1.
    """

    def __init__(self, arms: int = 5, pulls: int = 10, p: tuple[float, float] = (0.0, 1.0)):
        check_counts(arms=arms, pulls=pulls)
        check_range("p", p)
        if arms < 1 or pulls < 1:
            raise ValueError(f"a bandit needs an arm and a pull, got {arms} arms, {pulls} pulls")
        if p[0] < 0 or p[1] > 1:
            raise ValueError(f"p is a range of probabilities, between 0 and 1, got {p}")
        self.arms, self.pulls, self.p = arms, pulls, p

    def sample(
        self, num_tasks: int, generator: torch.Generator | None = None
    ) -> BanditEnvironments:
        check_counts(num_tasks=num_tasks)
        device = generator.device if generator else None
        low, high = self.p
        p = torch.rand(num_tasks, self.arms, generator=generator, device=device)
        return BanditEnvironments(low + (high - low) * p, self.pulls, generator)
