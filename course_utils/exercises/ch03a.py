"""Chapter 03a: the inner step, the meta-objective, Reptile's outer step.

All on the smallest model there is, y = θ x with one number θ, so that what is right is known in
closed form: L(θ) = mean (θ x − y)², L′(θ) = 2 mean x (θ x − y), L″ = 2 mean x².
"""

import torch
from torch import Tensor

from course_utils.exercises.exercise import Exercise, Mistake, compare
from course_utils.tasks import Tasks

FIRST_ORDER = (
    "You detached the inner gradient: this is first-order MAML. Ask autograd.grad for"
    " create_graph=True."
)


def slope(theta: float, x: Tensor, y: Tensor) -> float:
    """L′(θ)."""
    return float(2 * (x * (theta * x - y)).mean())


def loss(theta: float, x: Tensor, y: Tensor) -> float:
    """L(θ)."""
    return float((theta * x - y).pow(2).mean())


def derivative(got: object, theta: Tensor) -> Tensor:
    """∂got/∂θ; Mistake where the result no longer hangs on the θ that was given."""
    if not (isinstance(got, Tensor) and got.requires_grad):
        raise Mistake(
            "The number is right, but the result no longer hangs on θ (it was detached), so the"
            " outer loop would have nothing to differentiate."
        )
    (slope,) = torch.autograd.grad(got.sum(), theta, allow_unused=True)
    if slope is None:
        raise Mistake(
            "The number is right, but it hangs on a copy of θ, so the outer loop would have nothing"
            " to differentiate: compute with the θ that was given, without detach or a new tensor."
        )
    return slope


def unchanged(theta: Tensor, start: float) -> None:
    """Mistake where θ is no longer the number it was."""
    if not torch.equal(theta.detach(), torch.tensor(start)):
        raise Mistake(
            "θ itself was changed. All tasks and the outer loop still need it: make a new tensor,"
            " θ minus lr times the gradient."
        )


def judge_inner_step(answer) -> None:
    judge_one_step(answer, torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 1.0, 4.0]), 0.5, 0.05)
    judge_one_step(answer, torch.tensor([2.0, -1.0]), torch.tensor([1.0, 3.0]), 2.0, 0.1)


def judge_one_step(answer, x: Tensor, y: Tensor, start: float, lr: float) -> None:
    case = f"theta = {start}, x = {x.tolist()}, y = {y.tolist()}, lr = {lr}"
    theta = torch.tensor(start, requires_grad=True)
    got = answer(theta, x, y, lr)
    unchanged(theta, start)
    g = slope(start, x, y)
    compare(got, start - lr * g, "θ after one step", {
        "You walked uphill: the step goes against the gradient, so subtract it.": start + lr * g,
        "You took the sum of the squared errors where their mean is meant.":
            start - len(x) * lr * g,
        "The rate lr is not used: multiply the gradient by it.": start - g,
        "You returned the gradient, not the adapted θ.": g,
        "You returned the step alone: θ − step is wanted.": lr * g,
        "You returned the step alone: θ + step is wanted.": -lr * g,
        "You squared the mean of the errors: take the mean of the squared errors.":
            start - lr * 2 * float(x.mean() * (start * x - y).mean()),
        "This is half the step: the derivative of (θ x − y)² has a factor of 2.":
            start - lr * g / 2,
        "The derivative of (θ x − y)² by θ is 2 x (θ x − y): the factor x is missing.":
            start - lr * 2 * float((start * x - y).mean()),
        "This is θ as it came: the step is missing.": start,
    }, case)  # fmt: skip
    curvature = float(2 * x.pow(2).mean())
    what = "The number is right, but its derivative by θ"
    compare(derivative(got, theta), 1 - lr * curvature, what, {
        FIRST_ORDER: 1.0,
        "θ was detached, by .data or .detach(), before the step was subtracted from it.":
            -lr * curvature,
    }, case)  # fmt: skip


def judge_meta_loss(answer) -> None:
    tasks = Tasks(
        torch.tensor([[[1.0], [2.0]], [[1.0], [3.0]], [[2.0], [0.5]]]),
        torch.tensor([[[2.0], [3.0]], [[-1.0], [-2.0]], [[0.0], [1.0]]]),
        torch.tensor([[[1.5], [-0.5]], [[2.0], [1.0]], [[-1.0], [2.5]]]),
        torch.tensor([[[3.0], [1.0]], [[-2.0], [0.5]], [[1.0], [-1.0]]]),
    )
    judge_one_batch(answer, tasks, 0.4, 0.1)
    judge_one_batch(answer, Tasks(*(field[:2] for field in tasks[:4])), -0.5, 0.05)


def judge_one_batch(answer, tasks: Tasks, start: float, lr: float) -> None:
    case = f"theta = {start}, lr = {lr}, " + ", ".join(
        f"{name} = {field.squeeze(-1).tolist()}"
        for name, field in zip(tasks._fields, tasks[:4], strict=False)
    )
    theta = torch.tensor(start, requires_grad=True)
    got = answer(theta, tasks, lr)
    unchanged(theta, start)
    rows = list(zip(*tasks[:4], strict=True))
    adapted = [start - lr * slope(start, x, y) for x, y, _, _ in rows]
    after = [loss(t, qx, qy) for t, (_, _, qx, qy) in zip(adapted, rows, strict=True)]
    carried, running = [], start
    for x, y, qx_i, qy_i in rows:
        running -= lr * slope(running, x, y)
        carried.append(loss(running, qx_i, qy_i))

    def mean(values):
        return sum(values) / len(values)

    support = [loss(t, x, y) for t, (x, y, _, _) in zip(adapted, rows, strict=True)]
    peeked = [loss(start - lr * slope(start, x, y), x, y) for _, _, x, y in rows]
    compare(got, mean(after), "The meta-objective", {
        "You measured on the support set: after adapting, the query set is the judge.":
            mean(support),
        "You measured θ before it adapted: use the adapted θ_i in the query loss.":
            mean([loss(start, x, y) for _, _, x, y in rows]),
        "You adapted on the query set, on which the task is judged.": mean(peeked),
        "You added the tasks up: take their mean.": sum(after),
        "You took the sum of the squared errors of a query set where their mean is meant.":
            mean([len(row[2]) * value for row, value in zip(rows, after, strict=True)]),
        "A task is support_x, support_y, query_x, query_y, in this order.":
            mean([loss(start - lr * slope(start, x, qx), y, qy) for x, y, qx, qy in rows]),
        "This is the first task's loss alone: average over all of them.": after[0],
        "This is the last task's loss alone: average over all of them.": after[-1],
        "Each task went on from the θ of the one before: all start at the same θ.": mean(carried),
        "You took one step for all tasks together: each needs a θ_i of its own.":
            mean([loss(mean(adapted), x, y) for _, _, x, y in rows]),
    }, case)  # fmt: skip
    shrink = [1 - lr * float(2 * x.pow(2).mean()) for x, *_ in rows]
    slopes = [slope(t, x, y) for t, (_, _, x, y) in zip(adapted, rows, strict=True)]
    exact = mean([s * k for s, k in zip(slopes, shrink, strict=True)])
    what = "The number is right, but the meta-gradient"
    compare(derivative(got, theta), exact, what, {FIRST_ORDER: mean(slopes)}, case)


def judge_reptile(answer) -> None:
    adapted = torch.tensor([[2.0, 0.0], [4.0, -1.0], [3.6, -8.0]])  # (T, 2)
    judge_one_move(answer, torch.tensor([1.0, -2.0]), adapted, 0.2)
    judge_one_move(answer, torch.tensor([0.5, 3.0]), adapted[:2], 0.9)


def judge_one_move(answer, theta: Tensor, adapted: Tensor, lr: float) -> None:
    got = answer(theta.clone(), adapted.clone(), lr)
    mean = adapted.mean(0)
    step = lr * (mean - theta)
    serial = theta
    for arrived in adapted:
        serial = serial + lr * (arrived - serial)
    rows = [[round(v, 1) for v in row] for row in adapted.tolist()]
    case = f"theta = {theta.tolist()}, outer_lr = {lr}, adapted = {rows}"
    compare(got, theta + step, "The new θ", {
        "You moved away from the adapted weights: the step is +(θ_i − θ).": theta - step,
        "You added the tasks up where their mean is meant.": theta + len(adapted) * step,
        "This is the mean of the adapted weights: go only the share outer_lr of the way.": mean,
        "The shares are exchanged: outer_lr is that of the adapted weights.":
            lr * theta + (1 - lr) * mean,
        "You returned the step alone: add it to θ.": step,
        "The step is outer_lr times the way to the mean, mean − θ, not times the mean itself.":
            theta + lr * mean,
        "Each weight has a mean of its own, over tasks: adapted.mean(0).":
            theta + lr * (adapted.mean() - theta),
        "You used the first task alone.": theta + lr * (adapted[0] - theta),
        "You used the last task alone.": theta + lr * (adapted[-1] - theta),
        "You moved after every task, from where the last one had led: that is Reptile one task at"
        " a time. Here all tasks started from θ: one step towards their mean.": serial,
        "This is θ as it came: the step is missing.": theta,
    }, case)  # fmt: skip


EXERCISES = {
    "3a.1": Exercise(
        "one inner step, differentiable through and through",
        judge_inner_step,
        (
            "The loss is ((theta * x - y) ** 2).mean(). torch.autograd.grad(loss, theta) gives a"
            " tuple with its gradient.",
            "For second derivatives the gradient must itself be differentiable: create_graph=True.",
            "loss = ((theta * x - y) ** 2).mean()\n"
            "(gradient,) = torch.autograd.grad(loss, theta, create_graph=True)\n"
            "return theta - lr * gradient",
        ),
    ),
    "3a.2": Exercise(
        "MAML's objective over a batch of tasks",
        judge_meta_loss,
        (
            "Loop over zip(*tasks[:4]): each round gives one task's support_x, support_y, query_x"
            " and query_y.",
            "Adapt θ on the support set with inner_step, then take the loss of the adapted θ on"
            " the query set. Collect the losses; return their mean.",
            "losses = []\n"
            "for support_x, support_y, query_x, query_y in zip(*tasks[:4]):\n"
            "    adapted = inner_step(theta, support_x, support_y, lr)\n"
            "    losses.append(((adapted * query_x - query_y) ** 2).mean())\n"
            "return torch.stack(losses).mean()",
        ),
    ),
    "3a.3": Exercise(
        "Reptile's outer step",
        judge_reptile,
        (
            "Reptile moves θ a little towards where the tasks' own training arrived.",
            "The direction is the mean over tasks of (adapted − theta), adapted.mean(0) - theta.",
            "return theta + outer_lr * (adapted.mean(0) - theta)",
        ),
    ),
}
