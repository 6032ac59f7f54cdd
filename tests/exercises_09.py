"""Answers to chapter 09's exercises: right ones, and planted mistakes with their diagnoses."""

import math

import torch


def by_asking_alone(predict, queries):
    together = predict(queries)
    each = torch.cat([predict(q[None]) for q in queries])
    return not torch.allclose(each, together, atol=1e-4)


def by_changing_the_others(predict, queries):
    for i in range(len(queries)):
        changed = 5 * queries.flip(1) + 1
        changed[i] = queries[i]
        if (predict(changed)[i] - predict(queries)[i]).abs().max() > 1e-4:
            return True
        if not torch.allclose(predict(queries[i : i + 1])[0], predict(queries)[i], atol=1e-4):
            return True
    return False


def by_reordering(predict, queries):
    return not torch.allclose(predict(queries.flip(0)).flip(0), predict(queries), atol=1e-4)


def by_other_values(predict, queries):
    changed = torch.cat([queries[:1], 3 * queries[1:] + 1])
    return not torch.allclose(predict(changed)[0], predict(queries)[0], atol=1e-4)


def needed(factor=1.96, power=2, width=1.0, correction=1, round_=math.ceil, of=lambda s: s):
    return lambda scores, half: round_(
        (factor * of(scores.std(correction=correction).item()) / (half * width)) ** power
    )


def step(clip, sign=-1, create_graph=True):
    def clipped_step(theta, loss, lr, limit):
        (g,) = torch.autograd.grad(loss(theta), theta, create_graph=create_graph)
        return theta + sign * lr * clip(g, lr, limit)

    return clipped_step


def scaled(g, lr, limit):
    return g * (limit / g.norm()).clamp(max=1)


def by_branch(theta, loss, lr, limit):
    (g,) = torch.autograd.grad(loss(theta), theta, create_graph=True)
    length = (g**2).sum().sqrt()
    return theta - lr * (g * limit / length if length > limit else g)


def in_place(theta, loss, lr, limit):
    (g,) = torch.autograd.grad(loss(theta), theta)
    with torch.no_grad():
        theta -= lr * g * min(1.0, limit / float(g.norm()))
    return theta


CASES = {
    "9.1": {
        "signature": "predict, queries",
        "right": [by_asking_alone, by_changing_the_others],
        "wrong": {
            "treats each query by itself, a leak was reported": lambda predict, queries: True,
            "subtracts the mean of all queries, no leak": by_reordering,
            "only the second output": lambda predict, queries: by_asking_alone(
                lambda x: predict(x)[:, :1], queries
            ),
            "last digits differ": lambda predict, queries: (
                not torch.equal(torch.cat([predict(x[None]) for x in queries]), predict(queries))
            ),
            "divides by the number of queries, no leak": by_other_values,
            "True or False is wanted": lambda predict, queries: predict(queries),
        },
    },
    "9.2": {
        "signature": "scores, half",
        "right": [
            needed(),
            lambda scores, half: int((1.96**2 * scores.var() / half**2).ceil()),
        ],
        "wrong": {
            "with one task fewer": needed(round_=int),
            "A whole number is wanted": needed(round_=float),
            "Square it": needed(power=1),
            "1.96 is missing": needed(factor=1.0),
            "do not halve it again": needed(width=0.5),
            "not all of it": needed(width=2.0),
            "variance where the scatter": needed(of=lambda s: s**2),
            "divide by n − 1": needed(correction=0),
        },
    },
    "9.3": {
        "signature": "theta, loss, lr, limit",
        "right": [step(scaled), by_branch],
        "wrong": {
            "clipped each entry": step(lambda g, lr, limit: g.clamp(-limit, limit)),
            "was not clipped": step(lambda g, lr, limit: g),
            "scaled a gradient up": step(lambda g, lr, limit: g * limit / g.norm()),
            "clipped the step": step(lambda g, lr, limit: scaled(lr * g, lr, limit) / lr),
            "uphill": step(scaled, sign=1),
            "sum of sizes": step(lambda g, lr, limit: g * min(1.0, limit / g.abs().sum())),
            "squared length": step(lambda g, lr, limit: g * min(1.0, limit / (g**2).sum())),
            "not thrown away": step(lambda g, lr, limit: g * (g.norm() <= limit)),
            "first-order MAML": step(scaled, create_graph=False),
            "detached the length": step(
                lambda g, lr, limit: g * (limit / g.norm().detach()).clamp(max=1)
            ),
            "itself was changed": in_place,
        },
    },
}
