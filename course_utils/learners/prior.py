"""Logistic regression with a meta-learned prior: drawn to what other tasks wanted, not to 0."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from course_utils.learners.base import MetaLearner, Predictor
from course_utils.learners.metric import one_hot


class PriorLogistic(MetaLearner):
    """Logistic regression whose weights are held near `strength` · w̄ instead of near 0.

    Minimises C · Σ log(1 + exp(−y f(x))) + ½ ‖w − strength · w̄‖² over w and b, f(x) = w · x + b,
    y = −1 or 1: the most probable weights under a Gaussian prior around w̄. Until `learn` has seen
    other tasks w̄ is 0, and this is scikit-learn's LogisticRegression(C). Only the first
    `inputs` numbers of x are seen. Solved by `steps` of Newton's method, with an unknown for each
    support example.

    Source: the prior's mean, for ridge regression, Denevi et al. 2018; Newton's method as an inner
    loop, Bertinetto et al. 2019 (LR-D2).
    """

    def __init__(self, inputs: int, C: float = 0.1, strength: float = 1.0, steps: int = 8):
        super().__init__()
        self.inputs, self.C, self.strength, self.steps = inputs, C, strength, steps
        self.mean = nn.Parameter(torch.zeros(inputs))  # w̄

    def learn(self, tasks: Iterable[tuple[Tensor, Tensor]], ridge: float = 300.0) -> None:
        """Set w̄ to the mean, over tasks, of the weights that ridge regression finds for them.

        Each task is a pair x (n, inputs), y (n,) of 0 and 1, with all the examples there are.
        """
        found = []
        for x, y in tasks:
            x, y = x[:, : self.inputs], 2 * y.to(x.dtype) - 1
            x = x - x.mean(0)
            gram = x @ x.mT + ridge * torch.eye(len(x), dtype=x.dtype)  # (n, n)
            found.append(x.mT @ torch.linalg.solve(gram, y - y.mean()))  # (inputs,)
        self.mean.data = torch.stack(found).mean(0)

    def adapt(self, support_x: Tensor, support_y: Tensor) -> Predictor:
        """From (T, S, inputs) with labels 0 and 1; logits (T, Q, 2), whose difference is f(x)."""
        support_x = support_x[..., : self.inputs]
        hot = one_hot(support_y)
        if hot.shape[2] != 2:
            raise ValueError(f"PriorLogistic tells two classes apart, got {hot.shape[2]}")
        label = hot[..., 1].to(support_x.dtype)  # (T, S)
        prior = self.strength * self.mean
        known = support_x @ prior  # (T, S): what the prior alone says
        alpha, b = newton(support_x @ support_x.mT, known, label, self.C, self.steps)
        weights = prior + (alpha.unsqueeze(1) @ support_x).squeeze(1)  # (T, inputs)

        def predict(query_x: Tensor) -> Tensor:
            x = query_x[..., : self.inputs]
            f = (x @ weights.unsqueeze(2)).squeeze(2) + b  # (T, Q)
            return torch.stack([-f, f], 2) / 2

        return predict


def newton(
    gram: Tensor, known: Tensor, label: Tensor, C: float, steps: int
) -> tuple[Tensor, Tensor]:
    """α (T, S) and b (T, 1) that make f = `known` + gram α + b the best fit to `label` (T, S).

    Each step is a ridge regression on where the tangent would have f to be, weighted by p (1 − p).
    """
    alpha, b = torch.zeros_like(label), label.new_zeros(len(label), 1)
    edge = torch.ones_like(label).unsqueeze(2)  # (T, S, 1): Σ α = 0, since b is free
    for _ in range(steps):
        f = known + (gram @ alpha.unsqueeze(2)).squeeze(2) + b
        p = f.sigmoid()
        slope = (p * (1 - p)).clamp(min=1e-6)
        wanted = f + (label - p) / slope - known  # (T, S)
        inner = gram + torch.diag_embed(1 / (C * slope))
        system = torch.cat(
            [
                torch.cat([inner, edge], 2),
                torch.cat([edge.mT, edge.new_zeros(len(b), 1, 1)], 2),
            ],
            1,
        )  # (T, S + 1, S + 1)
        right = torch.cat([wanted, label.new_zeros(len(b), 1)], 1)
        alpha, b = torch.linalg.solve(system, right).split([label.shape[1], 1], 1)
    return alpha, b
