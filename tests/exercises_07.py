"""Answers to chapter 07's exercises: right ones, and planted mistakes with their diagnoses."""

import torch
from torch.func import grad, vmap

vmap(grad(torch.sin))(torch.zeros(1))  # torch.func loads its parts here, not in every check


def loss(theta, x, y):
    return ((theta * x - y) ** 2).mean()


def mapped(one, in_dims=(None, 0, 0, 0, 0)):
    return lambda theta, tasks, lr: vmap(lambda *a: one(*a, lr), in_dims=in_dims)(theta, *tasks)


def one_task(theta, sx, sy, qx, qy, lr):
    return loss(theta - lr * grad(loss)(theta, sx, sy), qx, qy)


def by_loop(theta, tasks, lr):
    losses = []
    for sx, sy, qx, qy in zip(*tasks, strict=True):
        (g,) = torch.autograd.grad(loss(theta, sx, sy), theta, create_graph=True)
        losses.append(loss(theta - lr * g, qx, qy))
    return torch.stack(losses)


def one_step_for_all(theta, tasks, lr):
    sx, sy, qx, qy = tasks
    adapted = theta - lr * grad(loss)(theta, sx, sy)
    return vmap(loss, in_dims=(None, 0, 0))(adapted, qx, qy)


def summed(theta, sx, sy, qx, qy, lr):
    def total(theta, x, y):
        return ((theta * x - y) ** 2).sum()

    return total(theta - lr * grad(total)(theta, sx, sy), qx, qy)


def adam(epsilon_before, correct=(True, True), start=1, sign=-1, updates=None):
    def answer(theta, gradients, lr, epsilon):
        m, v = torch.zeros_like(theta), torch.zeros_like(theta)
        for t, g in enumerate(gradients[:updates], start=start):
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
            first = m / (1 - 0.9**t) if correct[0] else m
            second = v / (1 - 0.999**t) if correct[1] else v
            scale = (second / v).sqrt() if epsilon_before else 1.0
            extra = epsilon * scale
            theta = theta + sign * lr * first / (second.sqrt() + extra)
        return theta

    return answer


def keras(theta, gradients, lr, epsilon):
    m = v = 0.0
    for t in range(1, len(gradients) + 1):
        g = gradients[t - 1]
        m, v = m + (g - m) * 0.1, v + (g * g - v) * 0.001
        theta = theta - m * (lr * (1 - 0.999**t) ** 0.5 / (1 - 0.9**t)) / (v.sqrt() + epsilon)
    return theta


def in_place(theta, gradients, lr, epsilon):
    theta -= lr * gradients.sum(0)
    return theta


def interval(width, middle=lambda a, b: a - b):
    def answer(mean_a, half_a, mean_b, half_b):
        m, w = middle(mean_a, mean_b), width(half_a, half_b)
        return torch.tensor([m - w, m + w])

    return answer


def root(a, b):
    return (a**2 + b**2) ** 0.5


CASES = {
    "7.1": {
        "signature": "theta, tasks, lr",
        "right": [mapped(one_task), by_loop],
        "wrong": {
            "measured on the support set": mapped(
                lambda t, sx, sy, qx, qy, lr: one_task(t, sx, sy, sx, sy, lr)
            ),
            "before it adapted": mapped(lambda t, sx, sy, qx, qy, lr: loss(t, qx, qy)),
            "adapted on the query set": mapped(
                lambda t, sx, sy, qx, qy, lr: one_task(t, qx, qy, qx, qy, lr)
            ),
            "uphill": mapped(lambda t, sx, sy, qx, qy, lr: one_task(t, sx, sy, qx, qy, -lr)),
            "one step for all tasks together": one_step_for_all,
            "rate lr is not used": mapped(
                lambda t, sx, sy, qx, qy, lr: one_task(t, sx, sy, qx, qy, 1.0)
            ),
            "sum of the squared errors": mapped(summed),
            "a single number": lambda theta, tasks, lr: by_loop(theta, tasks, lr).mean(),
            "first-order MAML": mapped(
                lambda t, sx, sy, qx, qy, lr: loss(t - lr * grad(loss)(t, sx, sy).detach(), qx, qy)
            ),
            "was detached": lambda theta, tasks, lr: by_loop(theta, tasks, lr).detach(),
        },
    },
    "7.2": {
        "signature": "theta, gradients, lr, epsilon",
        "right": [adam(True), keras],
        "wrong": {
            "PyTorch's Adam": adam(False),
            "m is not corrected": adam(True, (False, True)),
            "v is not corrected": adam(True, (True, False)),
            "Neither m nor v": adam(True, (False, False)),
            "uphill": adam(True, sign=1),
            "begins with 1": adam(True, start=2),
            "Only one update": adam(True, updates=1),
            "plain gradient descent": lambda theta, g, lr, epsilon: theta - lr * g.sum(0),
            "running means": lambda theta, g, lr, epsilon: (
                theta - lr * (g / (g.abs() + epsilon)).sum(0)
            ),
            "changed the `theta`": in_place,
        },
    },
    "7.3": {
        "signature": "mean_a, half_a, mean_b, half_b",
        "right": [
            interval(root),
            lambda a, p, b, q: (a - b - root(p, q), a - b + root(p, q)),
        ],
        "wrong": {
            "added the half widths": interval(lambda p, q: p + q),
            "root is missing": interval(lambda p, q: p**2 + q**2),
            "b − a": interval(root, lambda a, b: b - a),
            "already contain that factor": interval(lambda p, q: 1.96 * root(p, q)),
            "do not cancel": interval(lambda p, q: abs(p - q)),
            "larger half width alone": interval(max),
            "in full": interval(lambda p, q: root(p, q) / 2),
            "ends are exchanged": lambda *a: interval(root)(*a).flip(0),
        },
    },
}
