"""Answers to chapter 04's exercises: right ones, and planted mistakes with their diagnoses."""

import torch


def by_loop(theta, a, b, lr, steps):
    slope = 1.0
    for _ in range(steps):
        theta, slope = theta - lr * 2 * (theta - a), slope * (1 - 2 * lr)
    return slope * 2 * (theta - b)


def after(theta, a, b, lr, steps):
    return a + (1 - 2 * lr) ** steps * (theta - a)


def closed_form(theta, a, b, lr, steps):
    return torch.tensor((1 - 2 * lr) ** steps * 2 * (after(theta, a, b, lr, steps) - b))


def prototypes(z, y, ways):
    return torch.stack([z[y == k].mean(0) for k in range(ways)])


def layer(weight_of, bias_of):
    def prototype_layer(z, y, ways):
        c = prototypes(z, y, ways)
        return weight_of(c), bias_of(c)

    return prototype_layer


def square(c):
    return c.pow(2).sum(1)


def by_one_hot(z, y, ways):
    chosen = torch.nn.functional.one_hot(y, ways).to(z.dtype)  # (S, ways)
    c = (chosen.T @ z) / chosen.sum(0).unsqueeze(1)
    return 2 * c, -(c * c).sum(1)


def of_sums(z, y, ways):
    sums = torch.stack([z[y == k].sum(0) for k in range(ways)])
    return 2 * sums, -square(sums)


def weighted(weight):
    def optimum(h, c, lr, steps):
        w = weight(h, (1 - lr * h) ** steps)
        return (w * c).sum() / w.sum()

    return optimum


def by_stacking(h, c, lr, steps):
    """Least squares: √h m θ = √h m c, row for row."""
    rows = (h.sqrt() * (1 - lr * h) ** steps).unsqueeze(1)
    return torch.linalg.lstsq(rows, rows * c.unsqueeze(1)).solution.item()


CASES = {
    "4.1": {
        "signature": "theta, a, b, lr, steps",
        "right": [by_loop, closed_form],
        "wrong": {
            "first-order MAML's": lambda *s: 2 * (after(*s) - s[2]),
            "each of the steps brings one": lambda *s: (
                (1 - 2 * s[3]) * 2 * (after(*s) - s[2]) if s[4] > 1 else by_loop(*s)
            ),
            "before it adapted": lambda t, a, b, lr, k: 2 * (t - b),
            "θ has not adapted": lambda t, a, b, lr, k: (1 - 2 * lr) ** k * 2 * (t - b),
            "you used a": lambda *s: (1 - 2 * s[3]) ** s[4] * 2 * (after(*s) - s[1]),
            "adapted on the query loss": lambda t, a, b, lr, k: by_loop(t, b, b, lr, k),
            "factor of 2": lambda *s: by_loop(*s) / 2,
            "L″ is 2": lambda *s: (1 - s[3]) ** s[4] * 2 * (after(*s) - s[2]),
            "points uphill": lambda *s: -by_loop(*s),
            "walked uphill": lambda t, a, b, lr, k: by_loop(t, a, b, -lr, k),
            "too few": lambda *s: by_loop(*s) / (1 - 2 * s[3]),
            "too many": lambda *s: by_loop(*s) * (1 - 2 * s[3]),
            "they multiply": lambda *s: s[4] * (1 - 2 * s[3]) * 2 * (after(*s) - s[2]),
            "its derivative by θ": lambda *s: (after(*s) - s[2]) ** 2,
            "This is θ_i itself": after,
            "does it end with `return`": lambda *s: None,
        },
    },
    "4.2": {
        "signature": "",
        "right": [
            lambda: [[0, 0], [1, 0], [2, 0]],
            lambda: (torch.tensor([-1.0, 3.0]), torch.tensor([0.0, 3.5]), torch.tensor([2.0, 3])),
        ],
        "wrong": {
            "Pythagoras": lambda: [[1, 0], [0, 0], [0, 1]],
            "below 90°": lambda: [[0, 0], [0.5, 0.9], [1, 0]],
            "Two of your points are the same": lambda: [[0, 0], [0, 0], [1, 0]],
            "but in another order": lambda: [[0, 0], [2, 0], [1, 0]],
            "as in y, x, z": lambda: [[1, 0], [0, 0], [2, 0]],
            "got shape (2, 2)": lambda: [[0, 0], [1, 0]],
            "got shape (3,)": lambda: [0, 1, 2],
            "three points, each with two numbers": lambda: "0 1 2",
        },
    },
    "4.3": {
        "signature": "z, y, ways",
        "right": [layer(lambda c: 2 * c, lambda c: -square(c)), by_one_hot],
        "wrong": {
            "a temperature of 2": layer(lambda c: c, lambda c: -square(c) / 2),
            "twice the prototype": layer(lambda c: c, lambda c: -square(c)),
            "comes with a plus": layer(lambda c: -2 * c, lambda c: -square(c)),
            "not the sum": of_sums,
            "the logit is −‖c‖²": layer(lambda c: 2 * c, square),
            "must be squared": layer(lambda c: 2 * c, lambda c: -c.norm(dim=1)),
            "factor 2 is not in it": layer(lambda c: 2 * c, lambda c: -square(2 * c)),
            "The bias is missing": layer(lambda c: 2 * c, lambda c: 0 * square(c)),
            "no factor ½": layer(lambda c: 2 * c, lambda c: -square(c) / 2),
            "transposed": layer(lambda c: 2 * c.T, lambda c: -square(c)),
            "shape (3, 2) and the bias (3,)": layer(lambda c: 2 * c, lambda c: square(c).sum()),
            "each class has its own": lambda z, y, ways: (
                2 * z.mean(0).expand(ways, -1),
                -z.mean(0).pow(2).sum().expand(ways),
            ),
            "Return two tensors": lambda z, y, ways: 2 * prototypes(z, y, ways)[0, 0],
        },
    },
    "4.4": {
        "signature": "h, c, lr, steps",
        "right": [weighted(lambda h, m: h * m**2), by_stacking],
        "wrong": {
            "joint training's optimum": weighted(lambda h, m: h),
            "first order's optimum": weighted(lambda h, m: h * m),
            "Reptile's optimum": weighted(lambda h, m: 1 - m),
            "curvature itself is missing": weighted(lambda h, m: m**2),
            "plain mean": lambda h, c, lr, steps: c.mean(),
            "One step is counted": lambda h, c, lr, steps: weighted(lambda h, m: h * m**2)(
                h, c, lr, 1
            ),
            "Divide by the sum of the weights.": lambda h, c, lr, steps: (
                h * (1 - lr * h) ** (2 * steps) * c
            ).sum(),
            "not by the number of tasks": lambda h, c, lr, steps: (
                h * (1 - lr * h) ** (2 * steps) * c
            ).mean(),
            "h belongs in once": weighted(lambda h, m: (h * m) ** 2),
        },
    },
}
