"""A learned optimiser: the update rule itself is a small network, trained by training others."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from course_utils.learners.base import MetaLearner
from course_utils.learners.baselines import FromScratch
from course_utils.learners.gradient import Adapted, GradientBased
from course_utils.losses import default_loss
from course_utils.networks import MLP
from course_utils.tasks.base import Tasks

MOMENTUM, SPREAD = 0.9, 0.95  # how slowly the running means of g and g² forget
SIZE = 0.01  # of an untrained rule's steps, about


class LearnedOptimizer(GradientBased):
    """Trains a fresh `network` on each task by an update rule that was meta-learned.

    The rule is one small network for all weights alike: it sees a weight's gradient and its
    running mean, both divided by the root of the running mean square as in Adam, and the logarithm
    of that root, and says how far the weight moves (Andrychowicz et al. 2016; Metz et al. 2020).
    Gradients count as constants in the outer loop. `seed` fixes the fresh weights at test time.
    """

    first_order = True
    initial = FromScratch.initial
    outer_step = MetaLearner.outer_step  # `forward` draws networks: once a batch, on one thread

    def __init__(self, network: nn.Module, inner_steps: int = 20, hidden: int = 16, seed: int = 0):
        super().__init__(network, inner_lr=SIZE, inner_steps=inner_steps)
        self.hidden, self.seed = hidden, seed
        self.network.requires_grad_(False)  # a mould: its own weights are never used
        self.rule = MLP(3, hidden, hidden, 2)

    def adaptable(self) -> dict[str, nn.Parameter]:
        """All weights of the mould: its freezing is against the outer loop alone."""
        return dict(self.network.named_parameters())

    def move(self, g: Tensor, m: Tensor, v: Tensor, step: int) -> Tensor:
        """How far each weight moves, given its gradient and the running means of g and g²."""
        root = (v / (1 - SPREAD**step)).sqrt() + 1e-8
        seen = torch.stack([g / root, m / (1 - MOMENTUM**step) / root, root.log() / 10], -1)
        way, size = self.rule(seen).unbind(-1)
        return SIZE * way * size.exp()

    def _inner_loop(self, x: Tensor, y: Tensor, steps: int | None) -> Iterator[Adapted]:
        weights = self.initial(len(x))
        m = {name: torch.zeros_like(w) for name, w in weights.items()}
        v = {name: torch.zeros_like(w) for name, w in weights.items()}
        yield Adapted(self.run, self.network, weights)
        for step in range(1, (self.inner_steps if steps is None else steps) + 1):
            if x.shape[1]:
                gradients = self._support_gradients(weights, x, y)
                moved = {}
                for (name, w), g in zip(weights.items(), gradients, strict=True):
                    g = g.detach()
                    m[name] = MOMENTUM * m[name] + (1 - MOMENTUM) * g
                    v[name] = SPREAD * v[name] + (1 - SPREAD) * g**2
                    moved[name] = w + self.move(g, m[name], v[name], step)
                weights = moved
            yield Adapted(self.run, self.network, weights)

    def forward(self, tasks: Tasks) -> Tensor:
        """The query loss, averaged over all steps of the way (Andrychowicz et al. 2016, eq. 3)."""
        kept = self.seed
        if self.training:
            self.seed = int(torch.randint(2**31, ()))  # other networks in every batch
        try:
            way = self.trajectory(tasks.support_x, tasks.support_y)[1:]
        finally:
            self.seed = kept
        losses = [default_loss(predict(tasks.query_x), tasks.query_y) for predict in way]
        return torch.stack(losses).mean(0)
