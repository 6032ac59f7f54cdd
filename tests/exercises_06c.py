"""Answers to chapter 06c's exercises: right ones, and planted mistakes with their diagnoses."""

import torch


def gap(scores, labels):
    return scores[labels == 1][:, None] - scores[labels == 0][None, :]


def won(scores, labels, tie=0.5):
    g = gap(scores, labels)
    return (g > 0).float() + tie * (g == 0)


def auroc_by_loop(scores, labels):
    total, pairs = 0.0, 0
    for s, y in zip(scores.tolist(), labels.tolist(), strict=True):
        for t, z in zip(scores.tolist(), labels.tolist(), strict=True):
            if y == 1 and z == 0:
                total += 1.0 if s > t else 0.5 if s == t else 0.0
                pairs += 1
    return total / pairs


def inner(kernel, noise):
    return kernel + noise * torch.eye(len(kernel))


CASES = {
    "6c.1": {
        "signature": "a, b",
        "right": [
            lambda a, b: (a * b).sum() / (a.sum() + b.sum() - (a * b).sum()),
            lambda a, b: torch.minimum(a, b).sum() / torch.maximum(a, b).sum(),
        ],
        "wrong": {
            "divided by all bits": lambda a, b: (a * b).mean(),
            "This is the distance": lambda a, b: (a != b).sum() / ((a + b) > 0).sum(),
            "bits in either: it": lambda a, b: (a + b - a * b).sum(),
            "is a mean missing": lambda a, b: a * b / (a + b - a * b),
            "counted the shared bits twice": lambda a, b: (a * b).sum() / (a.sum() + b.sum()),
            "Dice's coefficient": lambda a, b: 2 * (a * b).sum() / (a.sum() + b.sum()),
            "the cosine": lambda a, b: (a * b).sum() / (a.norm() * b.norm()),
            "both are 0": lambda a, b: (a == b).float().mean(),
            "the number of shared bits": lambda a, b: (a * b).sum(),
            "the bits of a": lambda a, b: (a * b).sum() / a.sum(),
        },
    },
    "6c.2": {
        "signature": "scores, labels",
        "right": [lambda s, y: won(s, y).mean(), auroc_by_loop],
        "wrong": {
            "A tie counts half: two": lambda s, y: won(s, y, 1.0).mean(),
            "your ties count nothing": lambda s, y: won(s, y, 0.0).mean(),
            "wrong way round": lambda s, y: won(-s, y).mean(),
            "added the pairs up": lambda s, y: won(s, y).sum(),
            "turn it into such by .float()": lambda s, y: (gap(s, y) > 0).mean(),
            "The axes don't fit": lambda s, y: (s[y == 1] > s[y == 0]).float().mean(),
            "divided by all pairs": lambda s, y: won(s, y).sum() / len(s) ** 2,
            "the accuracy": lambda s, y: ((s > 0.5) == (y == 1)).float().mean(),
        },
    },
    "6c.3": {
        "signature": "K, k, y, noise",
        "right": [
            lambda K, k, y, noise: k @ torch.linalg.solve(inner(K, noise), y),
            lambda K, k, y, noise: (k @ torch.linalg.inv(inner(K, noise))) @ y,
        ],
        "wrong": {
            "The noise is missing": lambda K, k, y, noise: k @ torch.linalg.solve(K, y),
            "to every element": lambda K, k, y, noise: k @ torch.linalg.solve(K + noise, y),
            "The inverse is missing": lambda K, k, y, noise: k @ y,
            "is a transpose missing": lambda K, k, y, noise: (
                k.T @ torch.linalg.solve(inner(K, noise), y)
            ),
            "an axis of length 1": lambda K, k, y, noise: (
                k @ torch.linalg.solve(inner(K, noise), y[:, None])
            ),
            "should be [0.2608, 0.4024], got [7.1000, 6.1000]": lambda K, k, y, noise: (
                k @ (1 / inner(K, noise) @ y)
            ),
            "its inverse is meant": lambda K, k, y, noise: k @ inner(K, noise) @ y,
            "squared the noise": lambda K, k, y, noise: (
                k @ torch.linalg.solve(inner(K, noise**2), y)
            ),
        },
    },
}
