"""Section 4's formulas, each a function of a few lines.

θ is a vector (n,), a loss is a function of it that returns a number, a task a pair of such losses:
(support, query).
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.func import grad

from course_utils.tasks.base import Tasks

Loss = Callable[[Tensor], Tensor]  # θ (n,) -> ()

# --- θ* = argmin Σ L_i(θ_i) ----------------------------------------------------------------------


def adapt(theta: Tensor, loss: Loss, lr: float, steps: int = 1) -> Tensor:
    """θ_i = U(θ): `steps` gradient steps on `loss`, (n,) -> (n,) (Finn et al. 2017, sec. 2.2)."""
    for _ in range(steps):
        theta = theta - lr * grad(loss)(theta)
    return theta


def meta_objective(
    theta: Tensor, tasks: Sequence[tuple[Loss, Loss]], lr: float, steps: int = 1
) -> Tensor:
    """Σ L_i(U_i(θ)), adapted on support and judged on query losses (Finn et al. 2017, sec. 2.2)."""
    return torch.stack([query(adapt(theta, support, lr, steps)) for support, query in tasks]).sum()


def meta_gradient(theta: Tensor, support: Loss, query: Loss, lr: float, steps: int = 1) -> Tensor:
    """(I − αH₀) ⋯ (I − αH_{k−1}) ∇L(θ_k), the latest factor first: (n,) (Nichol et al. 2018, 5.1).

    H_j is the Hessian of the support loss after j of the `steps` steps; no Hessian is ever formed.
    """
    path = [theta]
    for _ in range(steps):
        path.append(adapt(path[-1], support, lr))
    v = grad(query)(path.pop())
    for point in reversed(path):
        v = v - lr * hessian_product(support, point, v)
    return v


def first_order_gradient(
    theta: Tensor, support: Loss, query: Loss, lr: float, steps: int = 1
) -> Tensor:
    """∇L(θ_k), with every factor (I − αH) left out: (n,) (Finn et al. 2017, sec. 5.2)."""
    return grad(query)(adapt(theta, support, lr, steps))


def hessian_product(loss: Loss, theta: Tensor, v: Tensor) -> Tensor:
    """H v, the gradient of ⟨∇L(θ), v⟩ with v held fixed: (n,) (Pearlmutter 1994)."""
    return grad(lambda theta: grad(loss)(theta) @ v)(theta)


def finite_differences(function: Loss, theta: Tensor, width: float = 1e-5) -> Tensor:
    """The gradient by central differences, one coordinate at a time: (n,). Use float64."""
    basis = width * torch.eye(len(theta), dtype=theta.dtype)
    return torch.stack([(function(theta + e) - function(theta - e)) / (2 * width) for e in basis])


# --- the same on quadratic tasks, L_i(θ) = ½ (θ − c_i)ᵀ H_i (θ − c_i), query = support -----------


def task_weight(hessian: Tensor, lr: float, steps: int, learner: str) -> Tensor:
    """W such that W (θ − c) is the push of one task: (..., n, n) -> (..., n, n).

    With M = (I − αH)^k: joint training H, MAML M H M, first order H M, Reptile I − M. `learner` is
    a class's name: FineTune, MAML, FOMAML or Reptile. Source: the chain rule; Reptile's is θ − θ_i.
    """
    identity = torch.eye(hessian.shape[-1], dtype=hessian.dtype)
    m = torch.linalg.matrix_power(identity - lr * hessian, steps)
    weights = {
        "FineTune": hessian,
        "MAML": m @ hessian @ m,
        "FOMAML": hessian @ m,
        "Reptile": identity - m,
    }
    if learner not in weights:
        raise ValueError(f"learner must be one of {', '.join(weights)}, got {learner!r}")
    return weights[learner]


def weighted_mean(weights: Tensor, optima: Tensor) -> Tensor:
    """(Σ W_i)⁻¹ Σ W_i c_i, where the pushes cancel: (T, n, n), (T, n) -> (n,)."""
    return torch.linalg.solve(weights.sum(0), (weights @ optima.unsqueeze(-1)).sum(0)).squeeze(-1)


def linear_maml_optimum(tasks: Tasks, lr: float, steps: int = 1) -> Tensor:
    """MAML's θ* for y = x θ and the mean squared error, by least squares: (d,).

    `tasks` has x (T, n, d) and y (T, n, 1). A gradient step is affine in θ, θ_i = P_i θ + s_i, so
    the query targets are linear in θ: X_i P_i θ = y_i − X_i s_i.
    """
    x, y, query_x, query_y = tasks[:4]
    hessian = 2 * x.mT @ x / x.shape[1]  # (T, d, d)
    slope = torch.eye(x.shape[2], dtype=x.dtype).expand_as(hessian)  # P
    shift = torch.zeros_like(x.mT @ y)  # s (T, d, 1)
    for _ in range(steps):
        slope = slope - lr * hessian @ slope
        shift = shift - lr * (hessian @ shift - 2 * x.mT @ y / x.shape[1])
    rows, targets = query_x @ slope, query_y - query_x @ shift
    return torch.linalg.lstsq(rows.flatten(0, 1), targets.flatten(0, 1)).solution.squeeze(-1)


# --- implicit MAML -------------------------------------------------------------------------------


def proximal(theta: Tensor, loss: Loss, strength: float, lr: float, steps: int) -> Tensor:
    """`steps` steps from θ on L(φ) + λ/2 ‖φ − θ‖²: (n,) (Rajeswaran et al. 2019, sec. 2.2)."""
    phi = theta
    for _ in range(steps):
        phi = phi - lr * (grad(loss)(phi) + strength * (phi - theta))
    return phi


def implicit_gradient(
    phi: Tensor, support: Loss, query: Loss, strength: float, iterations: int
) -> Tensor:
    """(I + H/λ)⁻¹ ∇L(φ) at the minimum φ of the proximal problem, H the support loss's Hessian.

    By conjugate gradient: (n,) (Rajeswaran et al. 2019, lemma 1).
    """
    return conjugate_gradient(
        lambda v: v + hessian_product(support, phi, v) / strength, grad(query)(phi), iterations
    )


def conjugate_gradient(
    product: Callable[[Tensor], Tensor], b: Tensor, iterations: int, tolerance: float = 1e-12
) -> Tensor:
    """x with A x = b for a positive definite A given by v ↦ A v: (n,) (Hestenes & Stiefel 1952)."""
    x, residual = torch.zeros_like(b), b
    direction, size = residual, residual @ residual
    for _ in range(iterations):
        if size <= tolerance**2 * (b @ b):
            break
        along = product(direction)
        length = size / (direction @ along)
        x, residual = x + length * direction, residual - length * along
        size, before = residual @ residual, size
        direction = residual + (size / before) * direction
    return x


# --- d(x_i, x_j) = ‖f(x_i) − f(x_j)‖² ------------------------------------------------------------


def squared_distance(a: Tensor, b: Tensor) -> Tensor:
    """‖a_i − b_j‖² of embeddings: (n, D), (m, D) -> (n, m)."""
    return (a.unsqueeze(1) - b).pow(2).sum(-1)


def bregman(phi: Loss, x: Tensor, y: Tensor) -> Tensor:
    """d_φ(x, y) = φ(x) − φ(y) − ⟨∇φ(y), x − y⟩ for a convex φ (Banerjee et al. 2005, def. 1).

    x and y are vectors (D,): the gap at x between φ and its tangent at y, a number.
    """
    return phi(x) - phi(y) - grad(phi)(y) @ (x - y)


def linear_form(prototypes: Tensor) -> tuple[Tensor, Tensor]:
    """Weights 2c (N, D) and biases −‖c‖² (N,) whose logits classify as −‖z − c‖² does.

    The term −‖z‖² is the same for all classes and falls out (Snell et al. 2017, sec. 2.4).
    """
    return 2 * prototypes, -prototypes.pow(2).sum(1)


def class_probabilities(z: Tensor, prototypes: Tensor, temperature: float = 1.0) -> Tensor:
    """softmax(−‖z − c‖² / temperature): (Q, D), (N, D) -> (Q, N) (Snell et al. 2017, eq. 2)."""
    return (-squared_distance(z, prototypes) / temperature).softmax(-1)


# --- a Bayesian reading, on quadratic losses -----------------------------------------------------


def early_stopping_prior(hessian: Tensor, lr: float, steps: int) -> Tensor:
    """Q = H⁻¹ ((I − αH)⁻ᵏ − I), the prior covariance that k steps amount to: (n, n) -> (n, n).

    Stopping after k steps from θ is the MAP estimate under N(θ, Q) (Santos 1996; Grant et al.
    2018). H may be singular: along its flat directions Q is k α. Raises ValueError where
    a step overshoots (α times an eigenvalue of H is 1 or more).
    """
    curvature, directions = torch.linalg.eigh(hessian)
    if curvature[-1] * lr >= 1:
        raise ValueError(f"lr must be below 1 / {curvature[-1]:.3g}, H's largest eigenvalue")
    log_growth = -steps * torch.log1p(-lr * curvature)  # log (1 − αh)⁻ᵏ
    flat = curvature.abs() < 1e-9 * curvature[-1]
    variance = torch.where(flat, steps * lr, torch.expm1(log_growth) / curvature)
    return directions @ torch.diag(variance) @ directions.mT


def map_estimate(hessian: Tensor, optimum: Tensor, theta: Tensor, covariance: Tensor) -> Tensor:
    """argmin ½ (φ − c)ᵀ H (φ − c) + ½ (φ − θ)ᵀ Q⁻¹ (φ − θ): the MAP under the prior N(θ, Q)."""
    identity = torch.eye(len(theta), dtype=theta.dtype)
    gain = torch.linalg.solve(identity + covariance @ hessian, covariance @ hessian)
    return theta + gain @ (optimum - theta)


def log_evidence(theta: Tensor, x: Tensor, y: Tensor, covariance: Tensor, noise: float) -> Tensor:
    """log p(y | θ) of y = x w + noise with w ~ N(θ, Q) integrated out: x (S, n), y (S,) -> ().

    y is normal with mean x θ and covariance x Q xᵀ + σ² I (Bishop 2006, eq. 2.115).
    """
    spread = x @ covariance @ x.mT + noise**2 * torch.eye(len(y), dtype=y.dtype)
    return torch.distributions.MultivariateNormal(x @ theta, spread).log_prob(y)
