"""Points of reference: the nearest known point, and networks trained on a task with Adam."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from course_utils.learners.base import MetaLearner, Predictor
from course_utils.learners.baselines import FromScratch
from course_utils.learners.gradient import Adapted, GradientBased
from course_utils.tasks.base import Tasks


class NearestPoint(MetaLearner):
    """Predicts the y of the support example whose x is nearest (Cover & Hart 1967); no training."""

    def adapt(self, support_x: Tensor, support_y: Tensor) -> Predictor:
        if support_x.shape[1] == 0:
            raise ValueError("NearestPoint needs at least one support example, got none")

        def predict(query_x: Tensor) -> Tensor:
            distance = torch.cdist(query_x.flatten(2), support_x.flatten(2))  # (T, Q, S)
            nearest = distance.argmin(2)  # (T, Q)
            task = torch.arange(len(nearest), device=nearest.device).unsqueeze(1)  # (T, 1)
            return support_y[task, nearest]  # (T, Q, *y)

        return predict


class WithAdam(GradientBased):
    """Trains on the support set with Adam in place of plain gradient descent (Kingma & Ba 2015).

    Adam treats each weight on its own, so one Adam over the stacked weights of T networks is one
    Adam for each. `weight_decay` is decoupled (Loshchilov & Hutter 2019). Starts from the weights
    of `network`; for learning one task well, not for meta-learning: it gives no meta-gradient.
    """

    first_order = True  # no graph of gradients is kept

    def __init__(
        self,
        network: nn.Module,
        inner_lr: float = 0.01,
        inner_steps: int = 100,
        weight_decay: float = 0.0,
    ):
        super().__init__(network, inner_lr, inner_steps)
        self.weight_decay = weight_decay

    def forward(self, tasks: Tasks) -> Tensor:
        raise TypeError(f"{type(self).__name__} has nothing to meta-learn: test it, don't train it")

    def trajectory(
        self, support_x: Tensor, support_y: Tensor, steps: int | None = None
    ) -> list[Adapted]:
        """The predictors after 0, 1, ..., `steps` steps of Adam."""
        return [
            Adapted(
                self.run, self.network, {n: w.detach().clone() for n, w in p.parameters.items()}
            )
            for p in self._checked_loop(support_x, support_y, steps)
        ]

    def _inner_loop(self, x: Tensor, y: Tensor, steps: int | None) -> Iterator[Adapted]:
        weights = {n: w.detach().clone().requires_grad_() for n, w in self.initial(len(x)).items()}
        optimizer = torch.optim.AdamW(
            weights.values(), lr=self.inner_lr, weight_decay=self.weight_decay, fused=True
        )
        predictor = Adapted(self.run, self.network, weights)  # weights change in place
        yield predictor
        for _ in range(self.inner_steps if steps is None else steps):
            if x.shape[1]:
                gradients = self._support_gradients(weights, x, y)
                for weight, gradient in zip(weights.values(), gradients, strict=True):
                    # fused Adam reads memory in order, and a gradient may lie transposed
                    weight.grad = gradient.detach().contiguous()
                optimizer.step()
            yield predictor


class FromScratchAdam(WithAdam):
    """WithAdam from a fresh random network for every task; `seed` fixes the random weights."""

    def __init__(
        self,
        network: nn.Module,
        inner_lr: float = 0.01,
        inner_steps: int = 100,
        weight_decay: float = 0.0,
        seed: int = 0,
    ):
        super().__init__(network, inner_lr, inner_steps, weight_decay)
        self.seed = seed

    initial = FromScratch.initial
