"""Players of Bernoulli bandits that reason backwards from the last pull, and what is possible."""

import math
from functools import lru_cache

import torch
from torch import Tensor

from course_utils.learners.bandits import BanditPlayer, posterior_mean
from course_utils.tasks.bandits import BanditEnvironments, Bandits


def check_uniform(task_set: Bandits) -> None:
    """Raise ValueError unless the arms' probabilities are uniform on (0, 1)."""
    if task_set.p != (0.0, 1.0):
        raise ValueError(f"the optimum is known for p = (0.0, 1.0) only, got {task_set.p}")


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
        check_uniform(task_set)
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


class GittinsIndex(BanditPlayer):
    """Pulls the arm with the largest Gittins index for the pulls that are left.

    The index is the best pay per pull that an arm offers to one who may stop at any time, but must
    after `left` pulls: max over stopping rules of E[paid] / E[pulls]. It looks at one arm only, and
    so can be listed for any number of arms. Best of all where an endless future is discounted
    (Gittins 1979); with an end in sight only nearly so (Niño-Mora 2011). Raises ValueError for
    arms that are not uniform on (0, 1).
    """

    def __init__(self, task_set: Bandits):
        super().__init__()
        check_uniform(task_set)
        self.task_set = task_set
        self.table = gittins_table(task_set.pulls)

    def index(self, belief: Tensor, left: int) -> Tensor:
        """The index of each arm: (T, k, 2) -> (T, k)."""
        s, f = belief.long().cpu().unbind(2)
        return self.table[left][s + f, s].to(belief.device)

    def choose(self, belief: Tensor, left: int) -> Tensor:
        return self.index(belief, left).argmax(1)


@lru_cache(maxsize=4)
def gittins_table(pulls: int, prices: int = 501) -> list[Tensor]:
    """Item `left`: the index (m, s) of an arm that paid s times in m pulls, m + left ≤ `pulls`.

    A pull costs a price λ. Then an arm with l pulls to go is worth W = max(0, U), U the worth of
    one pull and all that may follow; the index is the λ for which U = 0. U is found backwards for
    `prices` of them at once, between two of which a line is drawn.
    """
    price = torch.linspace(0, 1, prices, dtype=torch.double).view(-1, 1, 1)
    worth = torch.zeros(prices, pulls + 1, pulls + 1, dtype=torch.double)  # with none to go
    table = [torch.zeros(pulls + 1, pulls + 1)]
    for left in range(1, pulls + 1):
        most = pulls - left + 1  # m < most
        mean = chance(most)  # (m, s)
        after = mean * worth[:, 1:, 1:] + (1 - mean) * worth[:, 1:, :-1]
        once = mean - price + after  # U: (prices, m, s), falling in the price
        low = (once > 0).sum(0, keepdim=True).sub(1).clamp(0, prices - 2)  # the last that it earns
        above, below = once.gather(0, low), once.gather(0, low + 1)
        table.append(((low + above / (above - below)) / (prices - 1))[0].float())
        worth = once.clamp(min=0)
    return table


def chance(most: int) -> Tensor:
    """How likely an arm is to pay that paid s times in m pulls: (most, most), over m and s."""
    m = torch.arange(most, dtype=torch.double).unsqueeze(1)
    s = torch.arange(most, dtype=torch.double)
    return (s + 1) / (m + 2)


def clairvoyant(environments: BanditEnvironments) -> Tensor:
    """Returns (T,), of bandits uniform on (0, 1), whose mean no player's mean can exceed.

    Its planner knows how every coin will fall, but is paid only the posterior mean of the arm it
    pulls. For players without such knowledge that makes no difference on average, and of what is
    left to choose, how often to pull each arm, it takes the best: an upper bound where the optimum
    is too large to list. Source: Min, Maglaras and Moallemi 2019 (IRS.V-Zero).
    """
    paid = environments.pays.double().cumsum(2)  # (T, k, n) after 1, 2, ... pulls of an arm
    paid = torch.nn.functional.pad(paid, (1, -1))  # after 0, 1, ...
    mean = (paid + 1) / (torch.arange(environments.pulls, device=paid.device) + 2)
    total = torch.nn.functional.pad(mean.cumsum(2), (1, 0))  # (T, k, n + 1) for 0, 1, ... pulls
    best = total[:, 0]
    for arm in total.unbind(1)[1:]:  # best[j] with one arm more, of whose pulls there are 0 .. j
        best = torch.stack(
            [(best[:, : j + 1] + arm[:, : j + 1].flip(1)).amax(1) for j in range(arm.shape[1])], 1
        )
    return best[:, -1]
