"""The job in JAX: grad within vmap within grad, compiled by jit."""

import jax
import jax.numpy as jnp

from course_utils.tools.job import Job

jax.config.update("jax_enable_x64", True)  # or it makes every float64 a float32


def run(weights, x):
    """The network with these weights: (n, 1) -> (n, 1)."""
    for w, b in zip(weights[:-2:2], weights[1:-2:2], strict=True):
        x = jax.nn.relu(x @ w.T + b)
    return x @ weights[-2].T + weights[-1]


def loss(weights, x, y):
    """Mean squared error of one task."""
    return jnp.mean((run(weights, x) - y) ** 2)


def start(job: Job):
    """A step of MAML; Adam is written out, since JAX has no optimisers of its own."""

    def adapted_loss(weights, sx, sy, qx, qy):
        for _ in range(job.steps):
            gradients = jax.grad(loss)(weights, sx, sy)
            if job.first_order:
                gradients = jax.lax.stop_gradient(gradients)
            weights = jax.tree.map(lambda w, g: w - job.inner_lr * g, weights, gradients)
        return loss(weights, qx, qy)

    def objective(weights, tasks):
        losses = jax.vmap(adapted_loss, in_axes=(None, 0, 0, 0, 0))(weights, *tasks)
        return losses.mean(), losses

    @jax.jit
    def update(theta, m, v, t, tasks):
        (_, losses), g = jax.value_and_grad(objective, has_aux=True)(theta, tasks)
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g**2, v, g)
        rate = job.outer_lr / (1 - 0.9**t)
        scale = jax.tree.map(lambda v: jnp.sqrt(v / (1 - 0.999**t)) + 1e-8, v)
        theta = jax.tree.map(lambda w, m, s: w - rate * m / s, theta, m, scale)
        return (theta, m, v, t + 1), losses, g

    theta = [jnp.asarray(w) for w in job.weights]
    zeros = [jnp.zeros_like(w) for w in theta]
    state = [(theta, zeros, zeros, 1.0)]

    def step(tasks):
        state[0], losses, gradients = update(*state[0], tasks)
        return losses, gradients

    return step
