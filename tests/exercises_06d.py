"""Answers to chapter 06d's exercises: right ones, and planted mistakes with their diagnoses."""

import math

import torch


def smooth(counts, lower, discount):
    total = counts.sum()
    if total == 0:
        return lower
    kinds = (counts > 0).sum()
    return ((counts - discount).clamp(min=0) + discount * kinds * lower) / total


def smooth_by_loop(counts, lower, discount):
    if not counts.any():
        return lower
    kinds = sum(float(c > 0) for c in counts)
    p = [
        (max(c - discount, 0) + discount * kinds * low) / counts.sum()
        for c, low in zip(counts, lower, strict=True)
    ]
    return torch.stack(p)


def mix(log_p, log_q, weight):
    return torch.logaddexp(log_p + math.log(weight), log_q + math.log(1 - weight))


def mix_by_softmax(log_p, log_q, weight):
    both = torch.stack([log_p + math.log(weight), log_q + math.log1p(-weight)])
    return both.logsumexp(0)


CASES = {
    "6d.1": {
        "signature": "p",
        "right": [
            lambda p: -torch.log2(p).mean(),
            lambda p: -(p.log() / math.log(2)).sum() / len(p),
        ],
        "wrong": {
            "These are nats": lambda p: -p.log().mean(),
            "the wrong way round": lambda p: torch.log2(p).mean(),
            "added the letters up": lambda p: -torch.log2(p).sum(),
            "mean of the logarithms": lambda p: -torch.log2(p.mean()),
            "the mean probability": lambda p: p.mean(),
            "as an entropy does": lambda p: -(p * p.log2()).sum(),
            "costs −log₂ p, once": lambda p: -(p * p.log2()).mean(),
            "logarithm of a negative number": lambda p: torch.log2(-p).mean(),
            "Right so far": lambda p: -torch.log2(p).sum() / 4,
            "perplexity": lambda p: 2 ** (-torch.log2(p).mean()),
            "is a mean missing": lambda p: -torch.log2(p),
        },
    },
    "6d.2": {
        "signature": "counts, lower, discount",
        "right": [smooth, smooth_by_loop],
        "wrong": {
            "went below nought": lambda c, low, d: (c - d + d * 2 * low) / c.sum(),
            "not one": lambda c, low, d: ((c - d).clamp(min=0) + d * low) / c.sum(),
            "not from all four": lambda c, low, d: ((c - d).clamp(min=0) + d * 4 * low) / c.sum(),
            "is not dealt out: add": lambda c, low, d: (c - d).clamp(min=0) / c.sum(),
            "in equal parts": lambda c, low, d: ((c - d).clamp(min=0) + d * 2 / 4) / c.sum(),
            "counts still": lambda c, low, d: (c - d).clamp(min=0) + d * 2 * low,
            "plain shares": lambda c, low, d: c / c.sum(),
            "For a context never seen": lambda c, low, d: (
                ((c - d).clamp(min=0) + d * (c > 0).sum() * low) / c.sum()
            ),
        },
    },
    "6d.3": {
        "signature": "log_p, log_q, weight",
        "given": {"math": math},
        "right": [mix, mix_by_softmax],
        "wrong": {
            "mixed the logarithms": lambda p, q, w: w * p + (1 - w) * q,
            "weights are exchanged": lambda p, q, w: mix(p, q, 1 - w),
            "These are probabilities": lambda p, q, w: mix(p, q, w).exp(),
            "the same weight": lambda p, q, w: mix(p, q, 0.5),
            "multiplied": lambda p, q, w: p + q,
            "use torch's own": lambda p, q, w: math.log(w * p.exp() + (1 - w) * q.exp()),
            "got [-0.2231, -0.6931, -0.3567]": lambda p, q, w: torch.logaddexp(p, q),
            "never leaves the logarithms": lambda p, q, w: (w * p.exp() + (1 - w) * q.exp()).log(),
        },
    },
}
