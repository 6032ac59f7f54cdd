"""A batch of environments to act in: reinforcement learning's counterpart of `Tasks`."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

DICE = 3 * 2**30  # a player's dice must not be those that dealt the environments
Policy = Callable[[Tensor, Any], tuple[Tensor, Any]]  # observation, memory -> action, memory


class Environments(ABC):
    """T environments that are acted in at the same time, one action each.

    All T episodes last equally long. What a policy learns on its way it keeps in its memory, which
    is None when an episode begins.
    """

    @abstractmethod
    def __len__(self) -> int:
        """T, the number of environments."""

    def to(self, device: torch.device | str) -> "Environments":
        """The same environments on `device`, at the beginning of an episode."""
        return self

    @abstractmethod
    def reset(self) -> Tensor:
        """Begin an episode; the first observation (T, *o)."""

    @abstractmethod
    def step(self, action: Tensor) -> tuple[Tensor, Tensor, bool]:
        """Act (T, *a); the next observation (T, *o), the reward (T,), and if that was the end.

        Where E robots act in each environment on their own, rewards are (T, E).
        """


def play(policy: Policy, environments: Environments, seed: int = 0) -> Tensor:
    """The return of one episode, the sum of its rewards: (T,), or (T, E) as the rewards are.

    `seed` fixes the dice of a policy that throws any. Raises FloatingPointError for a reward that
    is no finite number.
    """
    total = 0.0
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(DICE + seed)
        observation, memory, done = environments.reset(), None, False
        while not done:
            action, memory = policy(observation, memory)
            observation, reward, done = environments.step(action)
            total = total + reward
    if not total.isfinite().all():
        raise FloatingPointError("an environment gave a reward that is no finite number")
    return total
