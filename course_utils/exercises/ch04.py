"""Chapter 04: a meta-gradient by hand, the triangle inequality, implicit MAML, weights."""

import torch

from course_utils.exercises.exercise import Exercise, Mistake, compare


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
            "The factor is 1 − 2 lr, not 1 + 2 lr: a step subtracts the gradient.":
                (1 + 2 * lr) ** steps * slope,
            "The sign is wrong: a gradient points uphill.": -last * slope,
            "The factors add up: they multiply, (1 − 2 lr) to the power of steps.":
                steps * factor * slope,
            "All steps make the factor (1 − 2 lr) to the power of steps, not 1 − 2 lr · steps.":
                (1 - 2 * lr * steps) * slope,
            "The factors multiply the slope of the query loss, 2 (θ_i − b), not the loss itself.":
                last * (after(steps) - b) ** 2,
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


def judge_implicit(answer) -> None:
    for n, strength, seed in ((3, 0.5, 0), (6, 2.0, 1)):
        generator = torch.Generator().manual_seed(seed)
        root = torch.randn(n, n, generator=generator).double()
        h, g = root @ root.T / n, torch.randn(n, generator=generator).double()
        eye = torch.eye(n).double()

        def product(v, h=h):
            return h @ torch.as_tensor(v, dtype=h.dtype)

        got = answer(product, g.clone(), strength)
        case = f"{n} weights, strength = {strength}"
        compare(got, torch.linalg.solve(eye + h / strength, g), "The meta-gradient", {
            "This is the query gradient as it came, which is first order's: H is not used.": g,
            "λ is upside down: the system is (I + H/λ) v = g.":
                torch.linalg.solve(eye + strength * h, g),
            "This solves (H + λI) v = g. I + H/λ is that matrix divided by λ, and its v is λ times"
            " as long.": torch.linalg.solve(h + strength * eye, g),
            "This is the start of the inverse's series, g − H g / λ: all of it is wanted.":
                g - h @ g / strength,
            "You multiplied by I + H/λ: its inverse is wanted.": g + h @ g / strength,
            "λ is missing: this solves (I + H) v = g.": torch.linalg.solve(eye + h, g),
        }, case)  # fmt: skip


def judge_maml_optimum(answer) -> None:
    h, c = torch.tensor([[2.0, 0.5, 1.0], [-1.0, 2.0, 0.7]], dtype=torch.float64)
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
            "The power is 2 · steps: each step's factor comes twice. Yours is steps + 1.":
                mean(h * (1 - lr * h) ** (steps + 1)),
            "The slope of ½ h (θ − c)² is h (θ − c), so a step's factor is 1 − lr h, with no 2.":
                mean(h * (1 - 2 * lr * h) ** (2 * steps)),
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
        "a meta-gradient that never saw the inner loop's path",
        judge_implicit,
        (
            "There is no matrix, but what it makes of a vector: (I + H/λ) v is v + product(v) / λ.",
            "formulas.conjugate_gradient(system, g, iterations) solves system(v) = g, and needs at"
            " most as many iterations as g has numbers. Or the columns of H one by one: product of"
            " each row of torch.eye(len(g)).",
            "return formulas.conjugate_gradient(\n"
            "    lambda v: v + product(v) / strength, g, iterations=len(g)\n"
            ")",
        ),
        seconds=60.0,  # formulas loads torch.func, which takes its time
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
