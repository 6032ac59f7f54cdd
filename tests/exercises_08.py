"""Answers to chapter 08's exercises: right ones, and planted mistakes with their diagnoses."""

import torch


def attention(scale, sign=1.0, weigh=lambda alike: alike):
    def attention_step(x, y, query, lr):
        return sign * scale(lr, len(y)) * (weigh(x @ query) * y).sum()

    return attention_step


def by_gradient(x, y, query, lr):
    w = torch.zeros(x.shape[1], requires_grad=True)
    (gradient,) = torch.autograd.grad((x @ w - y).pow(2).mean(), w)
    return (-lr * gradient) @ query


def by_loop(x, y, query, lr):
    w = torch.zeros_like(query)
    for key, value in zip(x, y, strict=True):
        w = w + lr * 2 / len(y) * value * key
    return w @ query


def least_squares(x, y, query, lr):
    return torch.linalg.lstsq(x, y.unsqueeze(1)).solution.squeeze(1) @ query


def centred(t):
    return t - t.mean(0)


def cka_with(prepare, power=2):
    def cka(a, b):
        a, b = prepare(a), prepare(b)
        return (b.T @ a).norm() ** power / ((a.T @ a).norm() * (b.T @ b).norm())

    return cka


def by_kernels(a, b):
    """The same through the n × n kernels."""
    n = len(a)
    h = torch.eye(n, dtype=a.dtype) - 1 / n
    k, m = h @ a @ a.T @ h, h @ b @ b.T @ h
    return (k * m).sum() / (k.norm() * m.norm())


CASES = {
    "8.1": {
        "signature": "x, y, query, lr",
        "right": [attention(lambda lr, s: lr * 2 / s), by_gradient, by_loop],
        "wrong": {
            "The sign is wrong": attention(lambda lr, s: lr * 2 / s, -1.0),
            "The factor 2 is missing": attention(lambda lr, s: lr / s),
            "Divide by the number of examples": attention(lambda lr, s: 2 * lr),
            "The factor 2/S is missing": attention(lambda lr, s: lr),
            "The rate is missing": attention(lambda lr, s: 2 / s),
            "This is softmax attention": attention(lambda lr, s: 1, 1.0, lambda a: a.softmax(0)),
            "where the steps would lead": least_squares,
        },
    },
    "8.2": {
        "signature": "losses, total, world",
        "right": [
            lambda losses, total, world: world * losses.sum() / total,
            lambda losses, total, world: losses.mean() * (len(losses) / total) * world,
        ],
        "wrong": {
            "right only where all shares are equal": lambda losses, total, world: losses.mean(),
            "averaged over processes": lambda losses, total, world: losses.sum() / total,
            "The sum grows with the batch": lambda losses, total, world: losses.sum(),
            "tasks in the whole batch": lambda losses, total, world: world * losses.sum(),
            "should be a single number": lambda losses, total, world: losses,
        },
    },
    "8.3": {
        "signature": "a, b",
        "right": [cka_with(centred), by_kernels],
        "wrong": {
            "The columns are not centred": cka_with(lambda t: t),
            "You have centred the rows": cka_with(lambda t: t - t.mean(1, keepdim=True)),
            "above the line is squared": cka_with(centred, 1),
            "each column has its own": cka_with(lambda t: t - t.mean()),
        },
    },
}
