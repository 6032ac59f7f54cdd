"""One outer step of MAML: this course against learn2learn and JAX, interleaved in one run.

    uv run python benchmarks/meta_step.py
    uv run --group peers python benchmarks/meta_step.py     # with JAX beside

Two workloads. Sinusoid: 25 tasks, 10 shots, 10 queries, 5 inner steps, second order, MLP
1-40-40-1, Adam. Convolution: 16 tasks, 5-way 1-shot, 15 queries a class, 1 inner step, four
strided convolutions of 64 filters on 28×28, Adam. Times are medians; trust the ratios.
"""

import argparse
import copy
import platform
import statistics
import time

import torch
import torch.nn.functional as F

from course_utils.learners import MAML
from course_utils.networks import MLP, Conv4
from course_utils.tasks import Sinusoids, Tasks
from course_utils.training import compiled_step

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def sinusoid_tasks() -> Tasks:
    return Sinusoids(shots=10, queries=10).sample(25).to(DEVICE)


def image_tasks() -> Tasks:
    labels = torch.arange(5).expand(16, 5)
    return Tasks(
        torch.randn(16, 5, 1, 28, 28),
        labels,
        torch.randn(16, 75, 1, 28, 28),
        labels.repeat_interleave(15, 1),
    ).to(DEVICE)


def ours(network, inner_lr: float, steps: int, compiled: bool = False):
    learner = MAML(network, inner_lr, steps).to(DEVICE)
    optimizer = torch.optim.Adam(learner.parameters(), fused=True)
    step = compiled_step(learner) if compiled else learner.outer_step
    return lambda tasks: step(tasks, optimizer)


def learn2learns(network, inner_lr: float, steps: int):
    """The loop of learn2learn's own examples."""
    from gym_notices.notices import notices

    notices.clear()
    import learn2learn

    maml = learn2learn.algorithms.MAML(network, lr=inner_lr).to(DEVICE)
    optimizer = torch.optim.Adam(maml.parameters())

    def step(tasks):
        loss = F.cross_entropy if not tasks.query_y.is_floating_point() else F.mse_loss
        optimizer.zero_grad()
        total = 0
        for support_x, support_y, query_x, query_y in zip(*tasks[:4], strict=True):
            clone = maml.clone()
            for _ in range(steps):
                clone.adapt(loss(clone(support_x), support_y))
            total = total + loss(clone(query_x), query_y)
        (total / len(tasks)).backward()
        optimizer.step()

    return step


def jaxs(network, inner_lr: float, steps: int):
    """The sinusoid step in JAX: jit over vmap over grad, Adam written out."""
    import jax
    import jax.numpy as jnp

    def to_jax(tensor):
        return jnp.asarray(tensor.detach().cpu().numpy())

    weights = [(to_jax(m.weight), to_jax(m.bias)) for m in network if hasattr(m, "weight")]

    def loss(weights, x, y):
        for w, b in weights[:-1]:
            x = jax.nn.relu(x @ w.T + b)
        w, b = weights[-1]
        return jnp.mean((x @ w.T + b - y) ** 2)

    def adapted_loss(weights, support_x, support_y, query_x, query_y):
        for _ in range(steps):
            gradient = jax.grad(loss)(weights, support_x, support_y)
            weights = jax.tree.map(lambda p, g: p - inner_lr * g, weights, gradient)
        return loss(weights, query_x, query_y)

    def objective(weights, tasks):
        return jax.vmap(adapted_loss, (None, 0, 0, 0, 0))(weights, *tasks).mean()

    @jax.jit
    def adam(weights, m, v, t, tasks):
        g = jax.grad(objective)(weights, tasks)
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        rate = 1e-3 * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        new = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) + 1e-8), weights, m, v)
        return new, m, v, t + 1

    zeros = jax.tree.map(jnp.zeros_like, weights)
    state = [(weights, zeros, zeros, 1.0)]

    def step(tasks):
        state[0] = adam(*state[0], tasks)
        jax.block_until_ready(state[0])

    step.prepare = lambda tasks: tuple(to_jax(t) for t in tasks[:4])  # not part of the step
    return step


def interleaved(ways: dict, draw, rounds: int, repeats: int) -> dict[str, float]:
    """Median milliseconds a step, every way in turn on the same tasks, round after round."""

    def prepared(step, tasks):
        return step.prepare(tasks) if hasattr(step, "prepare") else tasks

    for step in ways.values():
        step(prepared(step, draw()))
        step(prepared(step, draw()))
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        batches = [draw() for _ in range(repeats)]
        for name, step in ways.items():
            given = [prepared(step, tasks) for tasks in batches]
            started = time.perf_counter()
            for tasks in given:
                step(tasks)
            if DEVICE.type == "cuda":
                torch.cuda.synchronize()
            times[name].append((time.perf_counter() - started) / repeats * 1e3)
    return {name: statistics.median(values) for name, values in times.items()}


def report(title: str, times: dict[str, float]) -> None:
    print(f"\n{title}\n{'':26}{'ms a step':>10}{'learn2learn / this':>20}")
    for name, ms in times.items():
        print(f"{name:26}{ms:10.2f}{times['learn2learn'] / ms:18.1f} ×")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    rounds = parser.parse_args().rounds
    name = torch.cuda.get_device_name() if DEVICE.type == "cuda" else platform.machine()
    print(f"{name}, {torch.get_num_threads()} threads, torch {torch.__version__}")

    network = MLP(1, 40, 40, 1)
    ways = {
        "learn2learn": learn2learns(copy.deepcopy(network), 0.01, 5),
        "this course": ours(copy.deepcopy(network), 0.01, 5),
        "this course, compiled": ours(copy.deepcopy(network), 0.01, 5, compiled=True),
    }
    try:
        ways["JAX, jit"] = jaxs(network, 0.01, 5)
    except ModuleNotFoundError:
        print("JAX is not installed: uv run --group peers python benchmarks/meta_step.py")
    report("sinusoid", interleaved(ways, sinusoid_tasks, rounds, 5))

    network = Conv4(5)
    ways = {
        "learn2learn": learn2learns(copy.deepcopy(network), 0.1, 1),
        "this course": ours(copy.deepcopy(network), 0.1, 1),
    }
    report("convolution", interleaved(ways, image_tasks, max(3, rounds // 4), 1))


if __name__ == "__main__":
    main()
