"""Chapter 04: a meta-gradient by hand, the triangle inequality, prototypes as a layer, weights."""

import torch
from torch import Tensor

from course_utils.exercises.exercise import NO_RETURN, Exercise, Mistake, compare, numbers


def judge_scalar_meta_gradient(answer) -> None:
    for theta, a, b, lr, steps in ((2.0, -1.0, 0.5, 0.2, 3), (1.0, 3.0, 4.0, 0.1, 1)):
        got = answer(theta, a, b, lr, steps)
        factor = 1 - 2 * lr

        def after(k, start=theta, a=a, factor=factor):
            return a + factor**k * (start - a)

        slope, last = 2 * (after(steps) - b), factor**steps
        case = f"theta = {theta}, a = {a}, b = {b}, lr = {lr}, steps = {steps}"
        compare(got, last * slope, "The meta-gradient", {
            "This is the slope at θ_i, first-order MAML's: the chain rule multiplies it by"
            " (1 − 2 lr) for every step.": slope,
            "One factor (1 − 2 lr) is there, but each of the steps brings one.": factor * slope,
            "There is a factor (1 − 2 lr) too few: one for each step.": last / factor * slope,
            "There is a factor (1 − 2 lr) too many: one for each step.": last * factor * slope,
            "You walked uphill: a step subtracts the gradient.":
                (1 + 2 * lr) ** steps * 2 * (a + (1 + 2 * lr) ** steps * (theta - a) - b),
            "This is the slope at θ, before it adapted.": 2 * (theta - b),
            "The slope must be taken at θ_i: the factors are right, but θ has not adapted.":
                last * 2 * (theta - b),
            "After adapting the query loss is the judge, (θ_i − b)²; you used a.":
                last * 2 * (after(steps) - a),
            "You adapted on the query loss: the steps go towards a.":
                last * 2 * (b + last * (theta - b) - b),
            "This is half of it: the derivative of a square has a factor of 2.": last * slope / 2,
            "The factor is 1 − lr L″, and L″ is 2, not 1.":
                (1 - lr) ** steps * slope,
            "The sign is wrong: a gradient points uphill.": -last * slope,
            "The factors add up: they multiply, (1 − 2 lr) to the power of steps.":
                steps * factor * slope,
            "This is θ_i itself; its loss's derivative is wanted.": after(steps),
            "This is the query loss at θ_i; its derivative by θ is wanted.":
                (after(steps) - b) ** 2,
        }, case)  # fmt: skip


def judge_counterexample(answer) -> None:
    got = answer()
    try:
        points = torch.as_tensor(got, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        try:
            points = torch.stack([torch.as_tensor(p, dtype=torch.float64) for p in got])
        except (TypeError, ValueError, RuntimeError):
            raise Mistake(
                "Return three points, each with two numbers, as in [0, 0], [1, 0], [0, 1]."
            ) from None
    if points.shape != (3, 2) or not points.isfinite().all():
        raise Mistake(
            "Return three points, each with two finite numbers, as in [0, 0], [1, 0], [0, 1]; got"
            f" shape {tuple(points.shape)}."
        )
    x, y, z = points
    direct, first, second = ((a - b).pow(2).sum().item() for a, b in ((x, z), (x, y), (y, z)))
    sums = f"d(x, z) = {direct:g}, d(x, y) + d(y, z) = {first:g} + {second:g} = {first + second:g}"
    if direct > first + second + 1e-12:
        return
    if len(points.unique(dim=0)) < 3:
        raise Mistake(f"Two of your points are the same, so that nothing is a detour: {sums}.")
    orders = ((first, direct + second, "x, z, y"), (second, direct + first, "y, x, z"))
    if order := next((name for far, detour, name in orders if far > detour + 1e-12), None):
        raise Mistake(
            f"Your three points will do, but in another order: the one between the others should"
            f" come second, as in {order}. Now {sums}."
        )
    if abs(direct - first - second) <= 1e-9 * max(1.0, direct):
        raise Mistake(
            f"With a right angle at y both sides are equal (Pythagoras): {sums}. Open the angle."
        )
    raise Mistake(
        f"Here the detour is not shorter: {sums}. At y the angle is below 90°; what if y lay"
        " between x and z?"
    )


def judge_prototype_layer(answer) -> None:
    z = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 1.0], [-1.0, 2.0], [2.0, 2.0], [1.0, -1.0]])
    judge_one_layer(answer, z, torch.tensor([0, 1, 2, 1, 0, 0]), 3)
    judge_one_layer(answer, z.view(4, 3), torch.tensor([1, 0, 1, 1]), 2)


def judge_one_layer(answer, z: Tensor, y: Tensor, ways: int) -> None:
    got, dims = answer(z.clone(), y.clone(), ways), z.shape[1]
    if not isinstance(got, (tuple, list)) or len(got) != 2:
        raise Mistake(NO_RETURN if got is None else "Return two tensors: weight, bias.")
    weight, bias = (numbers(part, "Each of weight and bias", "a tensor").float() for part in got)
    c = torch.stack([z[y == k].mean(0) for k in range(ways)])  # (ways, D)
    if weight.shape == (dims, ways):
        raise Mistake("The weight is transposed: a row for each class, (ways, D).")
    if weight.shape != (ways, dims) or bias.shape != (ways,):
        raise Mistake(
            f"For {ways} classes and {dims} dimensions the weight should have shape"
            f" ({ways}, {dims}) and the bias ({ways},), got {tuple(weight.shape)} and"
            f" {tuple(bias.shape)}."
        )
    case = f"z = {z.tolist()}, y = {y.tolist()}, ways = {ways}"
    square, sums = c.pow(2).sum(1), torch.stack([z[y == k].sum(0) for k in range(ways)])
    if torch.allclose(weight, c, atol=1e-4) and torch.allclose(bias, -square / 2, atol=1e-4):
        raise Mistake(
            "This finds the same class, but softmax is less sure: weight and bias are half of what"
            " they should be, which is a temperature of 2."
        )
    compare(weight, 2 * c, "The weight", {
        "The square has the mixed term 2 c·z: the weight is twice the prototype.": c,
        "The sign is wrong: logits are minus the distance, so 2 c·z comes with a plus.": -2 * c,
        "A prototype is the mean of its class, not the sum.": 2 * sums,
        "This is the mean of all examples: each class has its own.":
            2 * z.mean(0).expand(ways, dims),
    }, case)  # fmt: skip
    compare(bias, -square, "The bias", {
        "The sign is wrong: the logit is −‖c‖² + 2 c·z.": square,
        "The norm must be squared.": -c.norm(dim=1),
        "Take the prototype itself: the bias is −‖c‖², and the weight's factor 2 is not in it.":
            -4 * square,
        "The bias is missing: −‖c‖² differs from class to class, so softmax sees it.": 0 * square,
        "This is half the bias: add the squares up, with no factor ½ and no mean.": -square / 2,
    }, case)  # fmt: skip


def judge_maml_optimum(answer) -> None:
    h, c = torch.tensor([2.0, 0.5, 1.0]), torch.tensor([-1.0, 2.0, 0.7])
    for lr, steps in ((0.3, 3), (0.4, 1)):
        got = answer(h.clone(), c.clone(), lr, steps)
        m = (1 - lr * h) ** steps

        def mean(w):
            return float((w * c).sum() / w.sum())

        case = f"h = {h.tolist()}, c = {c.tolist()}, lr = {lr}, steps = {steps}"
        compare(got, mean(h * m**2), "MAML's optimum", {
            "This is joint training's optimum: its weights are h.": mean(h),
            "This is first order's optimum: MAML has the factor (1 − lr h)^k twice.": mean(h * m),
            "This is Reptile's optimum: its weights are 1 − (1 − lr h)^k.": mean(1 - m),
            "The curvature itself is missing in the weight: h (1 − lr h)^2k.": mean(m**2),
            "This is the plain mean of the optima: weigh them.": float(c.mean()),
            "One step is counted where there are more: the factor has the power 2 · steps.":
                mean(h * (1 - lr * h) ** 2),
            "Divide by the sum of the weights.": float((h * m**2 * c).sum()),
            "Divide by the sum of the weights, not by the number of tasks.":
                float((h * m**2 * c).mean()),
            "These weights are the square of what they should be: h belongs in once.":
                mean((h * m) ** 2),
        }, case)  # fmt: skip


EXERCISES = {
    "4.1": Exercise(
        "a meta-gradient through any number of steps",
        judge_scalar_meta_gradient,
        (
            "One step is θ − lr · 2 (θ − a). It multiplies the distance to a by 1 − 2 lr.",
            "Loop to find θ_i. The slope there is 2 (θ_i − b); each step multiplies it by"
            " 1 − 2 lr on the way back.",
            "for _ in range(steps):\n"
            "    theta = theta - lr * 2 * (theta - a)\n"
            "return (1 - 2 * lr) ** steps * 2 * (theta - b)",
        ),
    ),
    "4.2": Exercise(
        "the squared distance is no metric: two short ways can be less than the long one",
        judge_counterexample,
        (
            "Squaring makes long ways much longer and short ways shorter. Cut one way into two.",
            "Three points on a line, the second halfway: half the way, squared, is a quarter.",
            "return [0, 0], [1, 0], [2, 0]",
        ),
    ),
    "4.3": Exercise(
        "a linear layer that the support set wrote down",
        judge_prototype_layer,
        (
            "The prototype of class k is z[y == k].mean(0).",
            "−‖z − c‖² = 2 c·z − ‖c‖² − ‖z‖². The last term is the same for all classes.",
            "c = torch.stack([z[y == k].mean(0) for k in range(ways)])  # (ways, D)\n"
            "return 2 * c, -c.pow(2).sum(1)",
        ),
    ),
    "4.4": Exercise(
        "MAML's optimum as a weighted mean",
        judge_maml_optimum,
        (
            "Along a line M H M is a number: h times the square of m = (1 − lr h)^steps.",
            "The optimum is the weighted mean of c: (w * c).sum() / w.sum().",
            "w = h * (1 - lr * h) ** (2 * steps)\nreturn (w * c).sum() / w.sum()",
        ),
    ),
}
