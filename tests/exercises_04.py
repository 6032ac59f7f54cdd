"""Answers to chapter 04's exercises: right ones, and planted mistakes with their diagnoses."""

import torch

from course_utils import formulas


def by_loop(theta, a, b, lr, steps):
    slope = 1.0
    for _ in range(steps):
        theta, slope = theta - lr * 2 * (theta - a), slope * (1 - 2 * lr)
    return slope * 2 * (theta - b)


def after(theta, a, b, lr, steps):
    return a + (1 - 2 * lr) ** steps * (theta - a)


def closed_form(theta, a, b, lr, steps):
    return torch.tensor((1 - 2 * lr) ** steps * 2 * (after(theta, a, b, lr, steps) - b))


def by_conjugate_gradient(product, g, strength):
    return formulas.conjugate_gradient(lambda v: v + product(v) / strength, g, len(g))


def by_columns(product, g, strength):
    eye = torch.eye(len(g))
    columns = [v + product(v) / strength for v in eye]
    return torch.linalg.solve(torch.stack(columns, 1), g)


def by_gradient_descent(product, g, strength):
    """Minimises ½ v·(I + H/λ) v − g·v."""
    v = torch.zeros_like(g)
    for _ in range(2000):
        v = v - 0.05 * (v + product(v) / strength - g)
    return v


def weighted(weight):
    def optimum(h, c, lr, steps):
        w = weight(h, (1 - lr * h) ** steps)
        return (w * c).sum() / w.sum()

    return optimum


def to_the_power_of_steps_and_one(h, c, lr, steps):
    w = h * (1 - lr * h) ** (steps + 1)
    return (w * c).sum() / w.sum()


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
            "not 1 + 2 lr": lambda *s: (1 + 2 * s[3]) ** s[4] * 2 * (after(*s) - s[2]),
            "not 1 − 2 lr · steps": lambda *s: (1 - 2 * s[3] * s[4]) * 2 * (after(*s) - s[2]),
            "not the loss itself": lambda *s: (1 - 2 * s[3]) ** s[4] * (after(*s) - s[2]) ** 2,
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
        "signature": "product, g, strength",
        "given": {"formulas": formulas},  # the notebook has imported it
        "right": [by_conjugate_gradient, by_columns, by_gradient_descent],
        "wrong": {
            "which is first order's": lambda product, g, strength: g,
            "upside down": lambda product, g, strength: by_columns(product, g, 1 / strength),
            "This solves (H + λI) v = g": lambda product, g, strength: (
                by_columns(product, g, strength) / strength
            ),
            "the inverse's series": lambda product, g, strength: g - product(g) / strength,
            "You multiplied by I + H/λ": lambda product, g, strength: g + product(g) / strength,
            "λ is missing": lambda product, g, strength: by_columns(product, g, 1.0),
            "should be a tensor of shape (3,)": lambda product, g, strength: g.sum(),
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
            "Yours is steps + 1": to_the_power_of_steps_and_one,
            "with no 2": lambda h, c, lr, steps: weighted(lambda h, m: h * m**2)(
                h, c, 2 * lr, steps
            ),
            "[-1.0, 2.0, 0.7]": lambda h, c, lr, steps: 5.0,
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
