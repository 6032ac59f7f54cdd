"""MAML without the path: the meta-gradient from the end point alone."""

import torch
from torch import Tensor, nn

from course_utils.learners.gradient import GradientBased
from course_utils.learners.per_task import Parameters
from course_utils.losses import default_loss
from course_utils.tasks.base import Tasks


class ImplicitMAML(GradientBased):
    """Adapts with a pull back to θ, and differentiates the end of the way only.

    The inner loop walks towards the minimum φ of L_i(φ) + λ/2 ‖φ − θ‖². There the meta-gradient is
    (I + H/λ)⁻¹ ∇L(φ), which conjugate gradient finds in `iterations` products with the Hessian H:
    memory does not grow with the number of inner steps (Rajeswaran et al. 2019, algorithm 2).
    `strength` is λ. Right as far as the inner loop has arrived.
    """

    first_order = True  # no graph of the inner loop is kept

    def __init__(
        self,
        network: nn.Module,
        inner_lr: float = 0.01,
        inner_steps: int = 10,
        strength: float = 1.0,
        iterations: int = 5,
    ):
        super().__init__(network, inner_lr, inner_steps)
        self.strength, self.iterations = strength, iterations

    def update(self, parameters: Parameters, gradients: tuple[Tensor, ...]) -> Parameters:
        """θ_i ← θ_i − α (∇L_i(θ_i) + λ (θ_i − θ))."""
        start = self.adaptable()
        return {
            name: (p - self.inner_lr * (g + self.strength * (p - start[name]))).detach()
            for (name, p), g in zip(parameters.items(), gradients, strict=True)
        }

    def _support_gradients(self, parameters: Parameters, x: Tensor, y: Tensor) -> tuple:
        with torch.no_grad():  # which makes the base class take gradients without a graph
            return super()._support_gradients(parameters, x, y)

    def forward(self, tasks: Tasks) -> Tensor:
        """The query losses (T,); their gradient with respect to θ is the implicit one."""
        arrived = self.adapt(tasks.support_x, tasks.support_y).parameters
        phi = {name: p.detach().requires_grad_() for name, p in arrived.items()}
        losses = default_loss(self.run(self.network, phi, tasks.query_x), tasks.query_y)  # (T,)
        ahead = torch.autograd.grad(losses.sum(), tuple(phi.values()), retain_graph=True)
        support = default_loss(self.run(self.network, phi, tasks.support_x), tasks.support_y)
        slopes = torch.autograd.grad(support.sum(), tuple(phi.values()), create_graph=True)

        def product(vectors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            """(I + H/λ) v, for each task."""
            curved = torch.autograd.grad(slopes, tuple(phi.values()), vectors, retain_graph=True)
            return tuple(v + c / self.strength for v, c in zip(vectors, curved, strict=True))

        solved = conjugate_gradients(product, ahead, self.iterations)
        theta = self.initial(len(tasks))
        along = sum((t * s).flatten(1).sum(1) for t, s in zip(theta.values(), solved, strict=True))
        return losses.detach() + along - along.detach()


def conjugate_gradients(product, b: tuple[Tensor, ...], iterations: int) -> tuple[Tensor, ...]:
    """x with A x = b for T positive definite A at once; each tensor of b is (T, *shape).

    `formulas.conjugate_gradient` for many tasks; `product` maps v to A v, both of b's shapes.
    A task whose A turns out not to be positive definite keeps the x found so far (Steihaug 1983).
    """

    def dot(u, v):  # (T,)
        return sum((a * c).flatten(1).sum(1) for a, c in zip(u, v, strict=True))

    def add(u, size, v):
        return tuple(a + size.view(-1, *[1] * (c.ndim - 1)) * c for a, c in zip(u, v, strict=True))

    x = tuple(torch.zeros_like(t) for t in b)
    residual = direction = b
    size = dot(b, b)
    for _ in range(iterations):
        along = product(direction)
        curvature = dot(direction, along)
        length = torch.where(curvature > 0, size / curvature, 0)
        x, residual = add(x, length, direction), add(residual, -length, along)
        size, before = dot(residual, residual), size
        onward = torch.where((curvature > 0) & (before > 0), size / before, 0)
        direction = add(residual, onward, direction)
    return x
