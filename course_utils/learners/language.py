"""Language models that count letters in the support text, and mixtures of models."""

import math

import torch
from torch import Tensor

from course_utils.learners.base import MetaLearner, Predictor
from course_utils.losses import IGNORE
from course_utils.tasks.base import Tasks


class NGram(MetaLearner):
    """Counts which symbol follows which `order` − 1 others in the support text: nothing is trained.

    Interpolated Kneser–Ney smoothing (Kneser & Ney 1995; Chen & Goodman 1999, section 3): every
    count that is not nought gives up `discount`, and what is gained is dealt out by the model one
    order lower, which counts in how many surroundings a symbol was seen, not how often. Below the
    lowest order all `symbols` are equally likely. x and y are sequences (T, S, L); an empty support
    set leaves equal odds. ValueError for a discount outside 0 to 1 or an order below 1.
    """

    def __init__(self, symbols: int, order: int = 5, discount: float = 0.75):
        super().__init__()
        if order < 1 or not 0 < discount < 1:
            raise ValueError(
                f"order must be 1 or more and discount between 0 and 1, got {order} and {discount}"
            )
        if symbols**order >= 2**63:
            raise ValueError(
                f"an order of {order} is too high for {symbols} symbols: 64 bits hold it"
            )
        self.symbols, self.order, self.discount = symbols, order, discount

    def adapt(self, support_x: Tensor, support_y: Tensor) -> Predictor:
        tables = [self.count(x, y) for x, y in zip(support_x, support_y, strict=True)]

        def predict(query_x: Tensor) -> Tensor:  # (T, Q, L) -> log-probabilities (T, Q, L, symbols)
            both = zip(tables, query_x, strict=True)
            return torch.stack([self.probability(table, x).log() for table, x in both])

        return predict

    def forward(self, tasks: Tasks) -> Tensor:
        raise TypeError("NGram has nothing to meta-learn: test it, don't train it")

    def contexts(self, x: Tensor) -> Tensor:
        """Each position's last order − 1 symbols as one number, the latest its lowest digit.

        Before the beginning stands symbol 0.
        """
        past = torch.nn.functional.pad(x, (self.order - 1, 0))
        places = [past[:, self.order - 1 - i :][:, : x.shape[1]] for i in range(self.order - 1)]
        return sum((place * self.symbols**i for i, place in enumerate(places)), torch.zeros_like(x))

    def count(self, x: Tensor, y: Tensor) -> list[tuple[Tensor, Tensor]]:
        """For each order from 1 up: the contexts seen (C,), sorted, and counts (C, symbols)."""
        seen = y != IGNORE
        context, following, tables = self.contexts(x)[seen], y[seen], []
        for used in range(self.order - 1, -1, -1):  # symbols of context
            context = context % self.symbols**used
            contexts, row = context.unique(return_inverse=True)
            counts = torch.zeros(len(contexts), self.symbols, device=x.device)
            one = torch.ones(len(row), device=x.device)
            tables.append((contexts, counts.index_put_((row, following), one, accumulate=True)))
            grams = (context * self.symbols + following).unique()  # below, each counts once
            context, following = grams // self.symbols, grams % self.symbols
        return tables[::-1]

    def probability(self, tables: list[tuple[Tensor, Tensor]], x: Tensor) -> Tensor:
        """(n, L) -> (n, L, symbols)."""
        p = torch.full((*x.shape, self.symbols), 1 / self.symbols, device=x.device)
        keys = self.contexts(x)
        for used, (contexts, counts) in enumerate(tables):
            if not len(contexts):
                continue
            key = (keys % self.symbols**used).contiguous()
            row = torch.searchsorted(contexts, key).clamp(max=len(contexts) - 1)
            c = counts[row]  # (n, L, symbols)
            total, kinds = c.sum(-1, keepdim=True), (c > 0).sum(-1, keepdim=True)
            known = ((c - self.discount).clamp(min=0) + self.discount * kinds * p) / total
            p = torch.where((contexts[row] == key).unsqueeze(-1), known, p)
        return p


class Mixture(MetaLearner):
    """Two language models' probabilities, mixed: `weight` of the first, the rest of the second."""

    def __init__(self, first: MetaLearner, second: MetaLearner, weight: float = 0.5):
        super().__init__()
        if not 0 < weight < 1:
            raise ValueError(f"weight must be between 0 and 1, got {weight}")
        self.first, self.second, self.weight = first, second, weight

    def adapt(self, support_x: Tensor, support_y: Tensor) -> Predictor:
        pair = [learner.adapt(support_x, support_y) for learner in (self.first, self.second)]
        logs = math.log(self.weight), math.log1p(-self.weight)

        def predict(query_x: Tensor) -> Tensor:
            return torch.logaddexp(*(p(query_x) + w for p, w in zip(pair, logs, strict=True)))

        return predict


def write(
    predict: Predictor, beginning: Tensor, number: int, generator: torch.Generator | None = None
) -> Tensor:
    """Draw `number` symbols, each from what `predict` says of those before: (number,).

    `beginning` (l,) is what x begins with, START included; `predict` comes from one task.
    """
    x = beginning.view(1, 1, -1)
    for _ in range(number):
        with torch.no_grad():
            p = predict(x)[0, 0, -1].exp()  # (symbols,)
        x = torch.cat([x, torch.multinomial(p, 1, generator=generator).view(1, 1, 1)], 2)
    return x[0, 0, len(beginning) :]
