"""The two verbs: a learner adapts to a support set and so becomes a function that predicts."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

from course_utils.losses import default_loss
from course_utils.tasks.base import Tasks

Predictor = Callable[[Tensor], Tensor]  # (T, Q, *x) -> (T, Q, *y), or logits (T, Q, classes)


class MetaLearner(nn.Module, ABC):
    """Adapts to T support sets at once; what it has meta-learned are its parameters.

    A constructor argument is kept as an attribute of its own name, so that `checkpoints` can
    write down how a learner was built.
    """

    @abstractmethod
    def adapt(self, support_x: Tensor, support_y: Tensor) -> Predictor:
        """Learn from (T, S, *x) and (T, S, *y); return the predictor that results."""

    def forward(self, tasks: Tasks) -> Tensor:
        """The meta-objective (T,): the loss on the query set after adapting to the support set."""
        predict = self.adapt(tasks.support_x, tasks.support_y)
        return default_loss(predict(tasks.query_x), tasks.query_y)

    def outer_step(self, tasks: Tasks, optimizer: torch.optim.Optimizer) -> Tensor:
        """One step of the outer loop: follow the gradient of the mean of `forward`."""
        optimizer.zero_grad()
        losses = self(tasks)
        losses.mean().backward()
        optimizer.step()
        return losses.detach()


def clipped_step(learner: MetaLearner, tasks, optimizer: torch.optim.Optimizer) -> Tensor:
    """`outer_step` with a gradient no longer than 1, as noisy returns need it."""
    optimizer.zero_grad()
    losses = learner(tasks)
    losses.mean().backward()
    torch.nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
    optimizer.step()
    return losses.detach()
