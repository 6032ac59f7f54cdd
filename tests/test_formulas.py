"""Each formula of section 4 against something that does not know it."""

import numpy as np
import pytest
import torch
from scipy import integrate, optimize
from torch import nn
from torch.func import jacrev

from course_utils import formulas
from course_utils.learners import FOMAML, MAML, FineTune, Reptile
from course_utils.tasks import Tasks

LEARNERS = {"FineTune": FineTune, "MAML": MAML, "FOMAML": FOMAML, "Reptile": Reptile}


def near(got, expected, **how):
    torch.testing.assert_close(got, torch.as_tensor(expected, dtype=got.dtype), **how)


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def hessians(tasks, n=2, largest=2.0):
    """Symmetric positive definite matrices of different shapes: (tasks, n, n)."""
    turned = torch.linalg.qr(draw(tasks, n, n, seed=1)).Q
    sizes = torch.linspace(0.2, largest, tasks * n, dtype=torch.float64).view(tasks, n)
    return turned @ torch.diag_embed(sizes) @ turned.mT


def wavy(theta):  # curved differently everywhere
    return (theta[0] * theta[1]).sin() + theta.pow(4).sum() / 4 + theta[2] * theta[0] ** 2


def other(theta):
    return (theta - 1).pow(2).sum() + theta.prod()


THETA = torch.tensor([0.3, -0.7, 0.5], dtype=torch.float64)


# --- θ* = argmin Σ L_i(θ_i) ----------------------------------------------------------------------


def test_one_and_two_steps_by_hand():
    def loss(theta):
        return (theta - 3).pow(2).sum()

    start = torch.ones(1)
    near(formulas.adapt(start, loss, 0.1), [1.4])
    near(formulas.adapt(start, loss, 0.1, 2), [1.72])
    near(formulas.adapt(start, loss, 0.1, 0), [1.0])
    near(formulas.meta_objective(start, [(loss, loss), (loss, other)], 0.1, 0), 4.0 + 1.0)


@pytest.mark.parametrize("steps", [0, 1, 2, 5])
def test_meta_gradient_is_what_finite_differences_find(steps):
    def objective(theta):
        return formulas.meta_objective(theta, [(wavy, other)], 0.1, steps)

    product = formulas.meta_gradient(THETA, wavy, other, 0.1, steps)
    near(product, optimize.approx_fprime(THETA.numpy(), lambda t: objective(torch.tensor(t)).item(),
                                         1e-7), atol=1e-5, rtol=1e-5)  # fmt: skip
    near(formulas.finite_differences(objective, THETA), product, atol=1e-7, rtol=1e-7)
    theta = THETA.clone().requires_grad_()
    near(torch.autograd.grad(objective(theta), theta)[0], product)


def test_first_order_leaves_out_the_jacobian_of_the_steps():
    jacobian = jacrev(lambda theta: formulas.adapt(theta, wavy, 0.1, 3))(THETA)
    first = formulas.first_order_gradient(THETA, wavy, other, 0.1, 3)
    near(jacobian.mT @ first, formulas.meta_gradient(THETA, wavy, other, 0.1, 3))


def test_hessian_product():
    v = draw(3)
    near(formulas.hessian_product(wavy, THETA, v), jacrev(torch.func.grad(wavy))(THETA) @ v)


# --- quadratic tasks -----------------------------------------------------------------------------


def quadratic_tasks(hessian, optima):
    """Linear regression whose mean squared error is ½ (θ − c)ᵀ H (θ − c), for n = 2."""
    values, vectors = torch.linalg.eigh(hessian)
    x = torch.diag_embed(values.sqrt()) @ vectors.mT  # (T, 2, 2): xᵀx = H
    y = x @ optima.unsqueeze(-1)
    return Tasks(x, y, x, y)


def push_of(learner, tasks, theta, lr, steps):
    """The gradient that the course's class would follow at θ."""
    network = nn.Linear(2, 1, bias=False, dtype=torch.float64)
    network.weight.data = theta.view(1, 2).clone()
    made = LEARNERS[learner](network, lr, steps)
    made(tasks).mean().backward()
    return network.weight.grad.flatten()


@pytest.mark.parametrize("learner", LEARNERS)
@pytest.mark.parametrize(("lr", "steps"), [(0.3, 1), (0.2, 4), (0.0, 3)])
def test_weights_are_those_of_the_courses_learners(learner, lr, steps):
    hessian, optima, theta = hessians(3), draw(3, 2), draw(2, seed=5)
    weights = formulas.task_weight(hessian, lr, steps, learner)
    push = (weights @ (theta - optima).unsqueeze(-1)).mean(0).squeeze(-1)
    near(push, push_of(learner, quadratic_tasks(hessian, optima), theta, lr, steps))


@pytest.mark.parametrize("learner", LEARNERS)
def test_at_the_weighted_mean_the_pushes_cancel(learner):
    hessian, optima = hessians(3), draw(3, 2)
    weights = formulas.task_weight(hessian, 0.3, 2, learner)
    theta = formulas.weighted_mean(weights, optima)
    tasks = quadratic_tasks(hessian, optima)
    near(push_of(learner, tasks, theta, 0.3, 2), [0.0, 0.0], atol=1e-12, rtol=0)


def test_an_unknown_learner_is_named():
    with pytest.raises(ValueError, match="one of FineTune, MAML, FOMAML, Reptile, got 'maml'"):
        formulas.task_weight(torch.eye(2), 0.1, 1, "maml")


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_linear_maml_optimum_against_a_general_optimizer(steps):
    tasks = Tasks(
        draw(6, 4, 3), draw(6, 4, 1, seed=1), draw(6, 5, 3, seed=2), draw(6, 5, 1, seed=3)
    )
    network = nn.Linear(3, 1, bias=False, dtype=torch.float64)
    learner = MAML(network, 0.1, steps)

    def objective(theta):
        network.weight.data = torch.tensor(theta).view(1, 3)
        return learner(tasks).mean().item()

    found = optimize.minimize(objective, np.zeros(3), method="BFGS", options={"gtol": 1e-7}).x
    near(formulas.linear_maml_optimum(tasks, 0.1, steps), found, atol=1e-5, rtol=1e-5)


# --- implicit MAML -------------------------------------------------------------------------------


def test_conjugate_gradient_solves():
    a = hessians(1, 6)[0]
    b = draw(6)
    near(formulas.conjugate_gradient(lambda v: a @ v, b, 6), np.linalg.solve(a, b))
    near(formulas.conjugate_gradient(lambda v: a @ v, 0 * b, 6), 0 * b)
    rough = formulas.conjugate_gradient(lambda v: a @ v, b, 2)
    assert not torch.allclose(rough, torch.linalg.solve(a, b))


def test_proximal_finds_the_minimum():
    found = optimize.minimize(
        lambda p: (wavy(torch.tensor(p)) + 2 * (torch.tensor(p) - THETA).pow(2).sum()).item(),
        THETA.numpy(), tol=1e-12,
    ).x  # fmt: skip
    near(formulas.proximal(THETA, wavy, 4.0, 0.1, 300), found, atol=1e-6, rtol=1e-6)


def test_implicit_gradient_is_the_unrolled_one_at_the_minimum():
    phi = formulas.proximal(THETA, wavy, 4.0, 0.1, 300)
    implicit = formulas.implicit_gradient(phi, wavy, other, 4.0, 10)
    unrolled = formulas.finite_differences(
        lambda theta: other(formulas.proximal(theta, wavy, 4.0, 0.1, 300)), THETA
    )
    near(implicit, unrolled, atol=1e-6, rtol=1e-6)


# --- d(x_i, x_j) ---------------------------------------------------------------------------------


def test_squared_distance():
    a, b = draw(4, 3), draw(5, 3, seed=1)
    near(formulas.squared_distance(a, b), torch.cdist(a, b) ** 2)
    near(formulas.squared_distance(a, b), formulas.squared_distance(b, a).T)


CONVEX = {  # φ, and the divergence as books write it
    "squared": (lambda x: x @ x, lambda x, y: ((x - y) ** 2).sum()),
    "Kullback-Leibler": (
        lambda x: (x * x.log()).sum(), lambda x, y: (x * (x / y).log() - x + y).sum(),
    ),
    "Itakura-Saito": (lambda x: -x.log().sum(), lambda x, y: (x / y - (x / y).log() - 1).sum()),
}  # fmt: skip


@pytest.mark.parametrize("name", CONVEX)
def test_bregman_divergences_and_their_best_representative(name):
    phi, written = CONVEX[name]
    x = draw(7, 2).exp()
    near(formulas.bregman(phi, x[0], x[1]), written(x[0], x[1]))
    near(formulas.bregman(phi, x[0], x[0]), 0.0)

    def total(log_y):
        y = torch.tensor(np.exp(log_y))
        return sum(formulas.bregman(phi, row, y).item() for row in x)

    best = np.exp(optimize.minimize(total, np.zeros(2), tol=1e-10).x)
    near(x.mean(0), best, atol=1e-4, rtol=1e-4)


def test_prototypes_are_a_linear_classifier():
    z, prototypes = draw(8, 5), draw(3, 5, seed=1)
    weight, bias = formulas.linear_form(prototypes)
    logits = nn.functional.linear(z, weight, bias)
    near(logits.softmax(1), formulas.class_probabilities(z, prototypes), atol=1e-12, rtol=0)
    near(formulas.class_probabilities(z, prototypes, 4.0),
         formulas.class_probabilities(z / 2, prototypes / 2))  # fmt: skip
    near(formulas.class_probabilities(z, prototypes, 1e9), np.full((8, 3), 1 / 3))
    nearest = torch.cdist(z, prototypes).argmin(1)
    assert torch.equal(formulas.class_probabilities(z, prototypes, 0.1).argmax(1), nearest)


# --- a Bayesian reading --------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [1, 3, 20])
def test_stopping_early_is_a_gaussian_prior(steps):
    hessian, optimum, theta = hessians(1, 3)[0], draw(3), draw(3, seed=1)
    prior = formulas.early_stopping_prior(hessian, 0.3, steps)

    def loss(phi):
        return (phi - optimum) @ hessian @ (phi - optimum) / 2

    def penalised(phi):
        phi = torch.tensor(phi)
        return (loss(phi) + (phi - theta) @ torch.linalg.solve(prior, phi - theta) / 2).item()

    stopped = formulas.adapt(theta, loss, 0.3, steps)
    near(formulas.map_estimate(hessian, optimum, theta, prior), stopped, atol=1e-9, rtol=1e-9)
    found = optimize.minimize(penalised, theta.numpy(), tol=1e-12).x
    near(stopped, found, atol=1e-5, rtol=1e-5)


def test_along_flat_directions_the_prior_is_as_wide_as_the_way_walked():
    flat = torch.diag(torch.tensor([0.0, 1e-13, 1.0], dtype=torch.float64))
    near(formulas.early_stopping_prior(flat, 0.1, 5).diagonal()[:2], [0.5, 0.5])
    with pytest.raises(ValueError, match="below 1 / 2"):
        formulas.early_stopping_prior(2 * torch.eye(2), 0.5, 1)


def test_log_evidence_by_integrating_over_the_weight():
    x, y = draw(3, 1), draw(3, seed=1)
    theta, variance, noise = 0.4, 0.8, 0.5

    def joint(w):
        error = y - x[:, 0] * w
        likelihood = torch.exp(-error.pow(2).sum() / (2 * noise**2)) / (2 * np.pi * noise**2) ** 1.5
        return (
            likelihood.item()
            * np.exp(-((w - theta) ** 2) / (2 * variance))
            / np.sqrt(2 * np.pi * variance)
        )

    by_hand = np.log(integrate.quad(joint, -8, 8)[0])
    got = formulas.log_evidence(
        torch.tensor([theta]).double(), x, y, torch.tensor([[variance]]).double(), noise
    )
    near(got, by_hand, atol=1e-8, rtol=1e-8)


def test_the_evidence_is_what_first_order_climbs():
    """On a linear task, with the prior of k steps, ∇θ −log p(y | θ) is ∇L(θ_k)."""
    x, y, theta, noise = draw(6, 2), draw(6, seed=1), draw(2, seed=2), 1.5
    hessian = x.T @ x / noise**2
    prior = formulas.early_stopping_prior(hessian, 0.1, 4)

    def loss(phi):
        return (x @ phi - y).pow(2).sum() / (2 * noise**2)

    evidence = torch.func.grad(lambda t: -formulas.log_evidence(t, x, y, prior, noise))(theta)
    near(evidence, formulas.first_order_gradient(theta, loss, loss, 0.1, 4))
