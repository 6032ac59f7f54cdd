"""Players of Bernoulli bandits: all remember what each arm has paid, and differ in what they do.

Their memory is the belief (T, k, 2): successes and failures of each arm. With a uniform prior it is
all that the past says about the arms.
"""

import math
from abc import abstractmethod

import torch
from torch import Tensor, nn

from course_utils.learners.base import MetaLearner
from course_utils.tasks.bandits import BanditEnvironments, Bandits
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


class BayesOptimalBandit(BanditPlayer):
    """The best that any player can do on `task_set`, whose arms are uniform on (0, 1).

    Backward induction over beliefs (Bellman 1956): V = 0 after the last pull, and before it

        V = max_a Q_a,   Q_a = m_a · (1 + V if a pays) + (1 − m_a) · (V if it does not),

    with m_a the posterior mean of arm a. Beliefs that differ only in the order of their arms are
    one. Raises ValueError for another prior, or for too many beliefs to list.
    """

    most = 50_000_000  # beliefs, before symmetry: minutes, and gigabytes

    def __init__(self, task_set: Bandits):
        super().__init__()
        self.task_set = task_set
        k, n = task_set.arms, task_set.pulls
        if task_set.p != (0.0, 1.0):
            raise ValueError(f"the optimum is known for p = (0.0, 1.0) only, got {task_set.p}")
        if (beliefs := math.comb(n + 2 * k, 2 * k)) > self.most:
            raise ValueError(f"{k} arms and {n} pulls have {beliefs:,} beliefs, too many to list")
        self.codes = [torch.zeros(1, k, dtype=torch.long)]  # after m pulls: (beliefs, k)
        for _ in range(n):
            here = self.codes[-1]
            after = [self._key(one_more(here, a, paid)) for a in range(k) for paid in (0, 1)]
            self.codes.append(self._codes(torch.cat(after).unique()))
        self.q, value = [], torch.zeros(len(self.codes[n]), dtype=torch.double)
        for m in reversed(range(n)):
            self.q.insert(0, self._one_pull(m, value))
            value = self.q[0].amax(1)
        self.value = value.item()  # the expected return of an episode

    def values(self, belief: Tensor) -> Tensor:
        """Q (T, k): the return still to come if an arm is pulled and then all is done right.

        Every belief of the batch must have the same number of pulls, fewer than the bandit has.
        """
        m = round(belief[0].sum().item())
        if not 0 <= m < len(self.q):
            raise ValueError(f"after {m} of {len(self.q)} pulls there is nothing left to choose")
        codes, order = code_of(belief.cpu().long()).sort(1)  # (T, k) each
        q = self.q[m][self._row(m, codes)]
        return torch.empty_like(q).scatter_(1, order, q).to(belief.device)

    def choose(self, belief: Tensor, left: int) -> Tensor:
        return self.values(belief).argmax(1)

    def _one_pull(self, m: int, later: Tensor) -> Tensor:
        """Q of every belief after m pulls (beliefs, k), given the values after m + 1."""
        codes = self.codes[m]
        mean = posterior_mean(counts_of(codes).double())  # (beliefs, k)
        columns = []
        for a in range(codes.shape[1]):
            not_paid, paid = (later[self._row(m + 1, one_more(codes, a, pay))] for pay in (0, 1))
            columns.append(mean[:, a] * (1 + paid) + (1 - mean[:, a]) * not_paid)
        return torch.stack(columns, 1)

    # --- where a belief stands in the lists: its arms' codes, sorted, read as one number

    def _key(self, codes: Tensor) -> Tensor:  # (n, k) -> (n,)
        key = torch.zeros_like(codes[:, 0])
        for column in codes.sort(1).values.T:
            key = key * self._base() + column
        return key

    def _codes(self, key: Tensor) -> Tensor:  # (n,) -> (n, k)
        powers = self._base() ** torch.arange(self.task_set.arms).flip(0)
        return key.unsqueeze(1) // powers % self._base()

    def _row(self, m: int, codes: Tensor) -> Tensor:
        return torch.searchsorted(self._key(self.codes[m]), self._key(codes))

    def _base(self) -> int:
        return (self.task_set.pulls + 1) * (self.task_set.pulls + 2) // 2


def code_of(counts: Tensor) -> Tensor:
    """Successes and failures (..., 2) as one number: (0, 0) is 0, (0, 1) is 1, (1, 0) is 2 ..."""
    pulled = counts.sum(-1)
    return pulled * (pulled + 1) // 2 + counts[..., 0]


def counts_of(code: Tensor) -> Tensor:
    """The successes and failures (..., 2) that have this code."""
    pulled = ((8 * code + 1).double().sqrt().long() - 1) // 2
    s = code - pulled * (pulled + 1) // 2
    return torch.stack([s, pulled - s], -1)


def one_more(codes: Tensor, arm: int, paid: int) -> Tensor:
    """Codes (n, k) with one more pull of `arm`."""
    codes = codes.clone()
    codes[:, arm] += counts_of(codes[:, arm]).sum(1) + 1 + paid
    return codes


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
