"""Players of Bernoulli bandits: all remember what each arm has paid, and differ in what they do.

Their memory is the belief (T, k, 2): successes and failures of each arm. With a uniform prior it is
all that the past says about the arms.
"""

import math
from abc import abstractmethod

import torch
from torch import Tensor, nn

from course_utils.learners.base import MetaLearner
from course_utils.tasks.bandits import BanditEnvironments
from course_utils.tasks.environments import Policy


class BanditPlayer(MetaLearner):
    """Chooses an arm by the belief and the number of pulls left.

    Adapting takes place in the memory while it plays, so `adapt` has nothing to do beforehand.
    """

    @abstractmethod
    def choose(self, belief: Tensor, left: int) -> Tensor:
        """The arms (T,) to pull after successes and failures (T, k, 2), with `left` pulls to go."""

    def adapt(self, environments: BanditEnvironments) -> Policy:
        def policy(observation: Tensor, memory: Tensor | None) -> tuple[Tensor, Tensor]:
            belief = updated(memory, observation)
            return self.choose(belief, pulls_left(belief, environments.pulls)), belief

        return policy

    def forward(self, environments: BanditEnvironments) -> Tensor:
        raise TypeError(f"{type(self).__name__} has nothing to meta-learn: play it, don't train it")


def updated(belief: Tensor | None, observation: Tensor) -> Tensor:
    """The belief (T, k, 2) with the last pull added: an arm, one-hot, and its pay (T, k + 1)."""
    arm, paid = observation[:, :-1], observation[:, -1:]
    news = torch.stack([arm * paid, arm * (1 - paid)], 2)
    return news if belief is None else belief + news


def pulls_left(belief: Tensor, pulls: int) -> int:
    """How many of the `pulls` are still to come; every bandit of the batch is at the same one."""
    return pulls - round(belief[0].sum().item()) if len(belief) else pulls


def posterior_mean(belief: Tensor) -> Tensor:
    """How likely each arm is to pay next, with a uniform prior: (T, k, 2) -> (T, k)."""
    s, f = belief.unbind(-1)
    return (s + 1) / (s + f + 2)


class RandomArm(BanditPlayer):
    """Pulls any arm, all equally likely: the floor."""

    def choose(self, belief: Tensor, left: int) -> Tensor:
        return torch.randint(belief.shape[1], belief.shape[:1], device=belief.device)


class Greedy(BanditPlayer):
    """Pulls the arm with the largest posterior mean (s + 1) / (s + f + 2): it never explores."""

    def choose(self, belief: Tensor, left: int) -> Tensor:
        return posterior_mean(belief).argmax(1)


class EpsilonGreedy(BanditPlayer):
    """Pulls any arm with probability `epsilon`, all equally likely; otherwise it is greedy.

    Raises ValueError unless `epsilon` is a probability.
    """

    def __init__(self, epsilon: float = 0.1):
        super().__init__()
        if not 0 <= epsilon <= 1:
            raise ValueError(f"epsilon must be a probability, between 0 and 1, got {epsilon}")
        self.epsilon = epsilon

    def choose(self, belief: Tensor, left: int) -> Tensor:
        explore = torch.rand(len(belief), device=belief.device) < self.epsilon
        anything = torch.randint(belief.shape[1], belief.shape[:1], device=belief.device)
        return torch.where(explore, anything, posterior_mean(belief).argmax(1))


class ThompsonSampling(BanditPlayer):
    """Draws what each arm may pay from its posterior Beta(1 + s, 1 + f), and pulls the best draw.

    Source: Thompson 1933.
    """

    def choose(self, belief: Tensor, left: int) -> Tensor:
        s, f = belief.unbind(2)  # (T, k)
        return torch.distributions.Beta(1 + s, 1 + f).sample().argmax(1)


class UCB1(BanditPlayer):
    """Pulls each arm once, then the one with the largest mean + √(`width` · ln n / n_a).

    n pulls were made, n_a of them of arm a. Source: Auer et al. 2002, figure 1, where `width` is 2.
    Every arm is credited beforehand with `prior` successes and as many failures: with 1 the mean is
    the posterior's for a uniform prior, and no arm has to be tried first.
    """

    def __init__(self, width: float = 2.0, prior: float = 0.0):
        super().__init__()
        for name, value in (("width", width), ("prior", prior)):
            if not value >= 0:
                raise ValueError(f"{name} must be 0 or more, got {value}")
        self.width, self.prior = width, prior

    def choose(self, belief: Tensor, left: int) -> Tensor:
        s, f = (belief + self.prior).unbind(2)  # (T, k)
        pulled = s + f
        log_n = pulled.sum(1, keepdim=True).clamp(min=1).log()  # (T, 1)
        index = s / pulled + (self.width * log_n / pulled).sqrt()
        return torch.where(pulled == 0, math.inf, index).argmax(1)


class LearnedIndex(BanditPlayer):
    """Learns over many episodes how to value an arm: by its record and the pulls that are left.

    `network` maps the three numbers (successes, failures, pulls left) to an index; the arm with the
    largest is pulled, as in UCB1, whose index is a formula. While training, arms are drawn with
    probabilities softmax(index), and the outer loop follows the policy gradient
    (Williams 1992): the episodes it learns from are its own. `scale` divides the three numbers.
    """

    def __init__(self, network: nn.Module, scale: float = 10.0):
        super().__init__()
        self.network, self.scale = network, scale

    def index(self, belief: Tensor, left: int) -> Tensor:
        """The index of each arm: (T, k, 2) -> (T, k)."""
        left = torch.full_like(belief[..., :1], left)
        return self.network(torch.cat([belief, left], 2) / self.scale).squeeze(2)

    def choose(self, belief: Tensor, left: int) -> Tensor:
        return self.index(belief, left).argmax(1)

    def forward(self, environments: BanditEnvironments) -> Tensor:
        """−Σ_t log π(a_t) · (what was still earned − its mean over the batch): (T,).

        Its gradient is an estimate of that of minus the expected return.
        """
        belief, rewards, log_p = None, [], []
        observation, done = environments.reset(), False
        while not done:
            belief = updated(belief, observation)
            choice = torch.distributions.Categorical(
                logits=self.index(belief, pulls_left(belief, environments.pulls))
            )
            action = choice.sample()
            observation, reward, done = environments.step(action)
            rewards.append(reward)
            log_p.append(choice.log_prob(action))
        earned = torch.stack(rewards, 1).flip(1).cumsum(1).flip(1)  # (T, n) from each pull on
        return -(torch.stack(log_p, 1) * (earned - earned.mean(0))).sum(1)
