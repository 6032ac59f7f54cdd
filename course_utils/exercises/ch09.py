"""Chapter 09: a leak detector, the number of test tasks, and an inner step that is clipped."""

import math

import torch
from torch import Tensor

from course_utils.exercises.ch03a import FIRST_ORDER, derivative
from course_utils.exercises.exercise import Exercise, Mistake, compare


def by_itself(x: Tensor) -> Tensor:
    """Each query on its own: (n, d) -> (n, 2)."""
    return torch.stack([x.sum(1), x.prod(1)], 1)


def centred(x: Tensor) -> Tensor:
    """Minus the mean of all queries."""
    return by_itself(x - x.mean(0))


def scaled(x: Tensor) -> Tensor:
    """Divided by the spread of all queries, as batch normalisation does."""
    return by_itself(x / (x.std(0, correction=0) + 1e-5))


def second_column(x: Tensor) -> Tensor:
    """Only the second output looks at the others."""
    return torch.stack([x.sum(1), x.prod(1) + x.sum()], 1)


def neighbour(x: Tensor) -> Tensor:
    """Looks at the query before."""
    return by_itself(x + 0.5 * x.roll(1, 0))


def rounding(x: Tensor) -> Tensor:
    """Each query on its own, but with the last digits that a batched product may change."""
    return by_itself(x) + 1e-7 * len(x) * x.mean()


def count(x: Tensor) -> Tensor:
    """Divided by the number of queries."""
    return by_itself(x) / len(x)


PREDICTORS = (  # what it is, the function, whether it leaks
    ("a predictor that treats each query by itself", by_itself, False),
    ("a predictor that subtracts the mean of all queries", centred, True),
    ("a predictor that divides by the spread of all queries", scaled, True),
    ("a predictor of which only the second output looks at the others", second_column, True),
    ("a predictor in which each query looks at the one before it", neighbour, True),
    ("a predictor without a leak whose last digits differ (rounding: allow for 1e-4)", rounding,
     False),
    ("a predictor that divides by the number of queries", count, True),
)  # fmt: skip


def judge_leaks(answer) -> None:
    queries = torch.tensor([[0.5, -1.0], [2.0, 1.0], [-1.5, 0.3], [1.0, 2.0]])
    for what, predict, leaky in PREDICTORS:
        got = answer(predict, queries.clone())
        if isinstance(got, Tensor) and got.numel() == 1:
            got = got.item()
        if not isinstance(got, (bool, int)):
            raise Mistake(f"True or False is wanted, got {got!r} for {what}.")
        if bool(got) != leaky:
            said = "no leak was found" if leaky else "a leak was reported where there is none"
            raise Mistake(f"For {what}, {said}.")


def judge_tasks_needed(answer) -> None:
    generator = torch.Generator().manual_seed(0)
    for n, half in ((50, 0.02), (200, 0.013)):
        scores = 0.6 + 0.15 * torch.randn(n, generator=generator)
        s, narrow = scores.std().item(), scores.std(correction=0).item()
        exact = (1.96 * s / half) ** 2
        got = answer(scores.clone(), half)
        case = f"{n} scores with mean {scores.mean():.3f} and scatter {s:.4f}, half = {half}"
        if not isinstance(got, int) and float(got) != int(got):
            compare(got, float(math.ceil(exact)), "The number of tasks", {
                "A whole number is wanted: round up.": exact,
                "Square it: the half width falls with the root of n.": exact**0.5,
                "The factor 1.96 is missing.": exact / 1.96**2,
            }, case)  # fmt: skip
        compare(float(got), float(math.ceil(exact)), "The number of tasks", {
            "Round up: with one task fewer the interval is too wide.": float(int(exact)),
            "Square it: the half width falls with the root of n.": float(math.ceil(exact**0.5)),
            "The factor 1.96 is missing.": float(math.ceil((s / half) ** 2)),
            "`half` is half of the width: do not halve it again.":
                float(math.ceil((2 * 1.96 * s / half) ** 2)),
            "`half` is half of the width, not all of it.":
                float(math.ceil((1.96 * s / half / 2) ** 2)),
            "This uses the variance where the scatter (its root) belongs.":
                float(math.ceil((1.96 * s**2 / half) ** 2)),
            "The scatter is estimated from the scores: divide by n − 1, as `std()` does.":
                float(math.ceil((1.96 * narrow / half) ** 2)),
        }, case)  # fmt: skip


def judge_clipped_step(answer) -> None:
    scale = torch.tensor([1.0, 4.0])

    def loss(theta):
        return (scale * theta**2).sum() / 2

    start = torch.tensor([3.0, 1.0])
    g, lr = scale * start, 0.5  # (3, 4), of length 5
    for limit in (2.0, 10.0):
        theta = start.clone().requires_grad_()
        got = answer(theta, loss, lr, limit)
        case = f"theta = [3, 1], loss = (θ₁² + 4 θ₂²) / 2, lr = {lr}, limit = {limit:g}"
        shorter = min(1.0, limit / 5)
        compare(got, start - lr * shorter * g, "θ after the step", {
            "You clipped each entry: scale the whole gradient, so that its direction stays.":
                start - lr * g.clamp(-limit, limit),
            "The gradient was not clipped: its length is 5, and the limit 2.": start - lr * g,
            "You scaled a gradient up that is shorter than the limit: leave it as it is.":
                start - lr * g * limit / 5,
            "You clipped the step, lr · g: it is g that is not to be longer than the limit.":
                start - g * min(lr, limit / 5),
            "You walked uphill: subtract the step.": start + lr * shorter * g,
            "The length is the root of the sum of squares, not the sum of sizes.":
                start - lr * g * min(1.0, limit / g.abs().sum()),
            "You divided by the squared length.": start - lr * g * min(1.0, limit / 25),
            "A gradient that is too long is scaled down, not thrown away.":
                start - lr * g * (limit >= 5),
        }, case)  # fmt: skip
        if not torch.equal(theta.detach(), start):
            raise Mistake("θ itself was changed: make a new tensor, θ minus lr times the gradient.")
        free = start.clone().requires_grad_()
        (slope,) = torch.autograd.grad(loss(free), free, create_graph=True)
        length = slope.norm()
        kept = slope * limit / length if length > limit else slope
        exact = torch.autograd.grad((free - lr * kept).sum(), free)[0]
        what = "The step is right, but the derivative of its sum by θ"
        frozen = 1 - lr * shorter * scale
        compare(derivative(got, theta), exact, what, {
            FIRST_ORDER: torch.ones(2),
            "You detached the length: it depends on θ as well.": frozen,
        }, case)  # fmt: skip


EXERCISES = {
    "9.1": Exercise(
        "a detector that finds every leak it was tried on, and raises no false alarm",
        judge_leaks,
        (
            "Ask for one query alone and for the same query in company. Do the answers differ?",
            "Do so for every query, compare all outputs, and allow for rounding with"
            " `torch.allclose(a, b, atol=1e-4)`.",
            """together = predict(queries)
for i in range(len(queries)):
    alone = predict(queries[i : i + 1])
    if not torch.allclose(alone, together[i : i + 1], atol=1e-4):
        return True
return False""",
        ),
    ),
    "9.2": Exercise(
        "the number of tasks for an interval of that width",
        judge_tasks_needed,
        (
            "The half width is 1.96 s / √n. Solve for n.",
            "n ≥ (1.96 s / half)², rounded up to a whole number: `math.ceil`.",
            """import math
return math.ceil((1.96 * scores.std().item() / half) ** 2)""",
        ),
    ),
    "9.3": Exercise(
        "a clipped inner step, differentiable throughout",
        judge_clipped_step,
        (
            "`torch.autograd.grad(..., create_graph=True)`; the length is `g.norm()`.",
            "Multiply g by limit / length, but by no more than 1.",
            """(g,) = torch.autograd.grad(loss(theta), theta, create_graph=True)
length = g.norm()
if length > limit:
    g = g * limit / length
return theta - lr * g""",
        ),
    ),
}
