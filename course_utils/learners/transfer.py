"""Transfer learning: a body is trained once, and a new task is given a new last layer."""

import torch
from torch import Tensor, nn

from course_utils.learners.base import MetaLearner, Predictor
from course_utils.losses import default_loss
from course_utils.tasks.base import Tasks


class FrozenFeatures(MetaLearner):
    """Keeps all layers of `network` but the last, which is solved for on the support set.

    Ridge regression: min ‖F w − y‖² + `ridge` ‖w‖², where a row of F holds the features of a
    support example and a 1 (Hoerl & Kennard 1970). For targets (T, S, 1) that are real numbers.
    """

    def __init__(self, network: nn.Sequential, ridge: float = 1.0):
        super().__init__()
        if not ridge > 0:
            raise ValueError(f"ridge must be above 0, got {ridge}")
        self.network, self.ridge = network, ridge

    def features(self, x: Tensor) -> Tensor:
        """What the last layer is given, and a 1 for its bias: (T, n, *x) -> (T, n, d + 1)."""
        *body, _ = self.network
        inside = x.flatten(0, 1)
        for layer in body:
            inside = layer(inside)
        inside = inside.unflatten(0, x.shape[:2])  # (T, n, d)
        return torch.cat([inside, torch.ones_like(inside[..., :1])], 2)

    def adapt(self, support_x: Tensor, support_y: Tensor) -> Predictor:
        f = self.features(support_x)  # (T, S, d + 1)
        gram = f @ f.mT + self.ridge * torch.eye(f.shape[1], device=f.device)  # (T, S, S)
        weight = f.mT @ torch.linalg.solve(gram, support_y)  # (T, d + 1, 1)
        return lambda query_x: self.features(query_x) @ weight

    def forward(self, tasks: Tasks) -> Tensor:
        raise TypeError(
            "FrozenFeatures has nothing to meta-learn: train its network by other means"
        )


class MultiHead(FrozenFeatures):
    """Pretrained with one body and a last layer for each training task (Caruana 1997).

    Training tasks are told apart by their `unit`, 0 .. `heads` − 1: deal them from a `Recording`.
    A new task is given a new last layer, as by `FrozenFeatures`.
    """

    def __init__(self, network: nn.Sequential, heads: int, ridge: float = 1.0):
        super().__init__(network, ridge)
        self.heads = heads
        width = network[-1].in_features + 1
        self.head = nn.Parameter(torch.randn(heads, width, 1) / width**0.5)

    def forward(self, tasks: Tasks) -> Tensor:
        """The loss of each task's own head on support and query together: (T,)."""
        if tasks.unit is None or tasks.unit.max() >= self.heads:
            raise ValueError(
                f"each task's unit must say which of the {self.heads} heads is its own"
            )
        x = torch.cat([tasks.support_x, tasks.query_x], 1)  # (T, S + Q, *x)
        y = torch.cat([tasks.support_y, tasks.query_y], 1)
        return default_loss(self.features(x) @ self.head[tasks.unit], y)
