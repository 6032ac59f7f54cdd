"""MAML that forgets its way and walks it again: memory for time."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from course_utils.learners.gradient import MAML, Adapted


class RecomputingMAML(MAML):
    """MAML with activation checkpointing: of each inner step only the weights are kept.

    On the way back a step's graph is built anew when it is needed (Chen et al. 2016): the same
    meta-gradient, memory for one step instead of all, and one more forward pass.
    """

    def _inner_loop(self, x: Tensor, y: Tensor, steps: int | None) -> Iterator[Adapted]:
        parameters = self.initial(len(x))
        names = tuple(parameters)

        def step(*values: Tensor) -> tuple[Tensor, ...]:
            now = dict(zip(names, values, strict=True))
            return tuple(self.update(now, self._support_gradients(now, x, y)).values())

        yield Adapted(self.run, self.network, parameters)
        for _ in range(self.inner_steps if steps is None else steps):
            if x.shape[1] and torch.is_grad_enabled():
                after = checkpoint(step, *parameters.values(), use_reentrant=False)
                parameters = dict(zip(names, after, strict=True))
            elif x.shape[1]:
                parameters = dict(zip(names, step(*parameters.values()), strict=True))
            yield Adapted(self.run, self.network, parameters)
