"""Chapter 03a: the inner step, the meta-objective, Reptile's outer step.

All on the smallest model there is, y = θ x with one number θ, so that what is right is known in
closed form: L(θ) = mean (θ x − y)², L′(θ) = 2 mean x (θ x − y), L″ = 2 mean x².
"""

import torch
from torch import Tensor

from course_utils.exercises.exercise import Exercise, Mistake, compare
from course_utils.tasks import Tasks


def slope(theta: float, x: Tensor, y: Tensor) -> float:
    """L′(θ)."""
    return float(2 * (x * (theta * x - y)).mean())


def loss(theta: float, x: Tensor, y: Tensor) -> float:
    """L(θ)."""
    return float((theta * x - y).pow(2).mean())


def judge_inner_step(answer) -> None:
    x, y, start, lr = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 1.0, 4.0]), 0.5, 0.05
    theta = torch.tensor(start, requires_grad=True)
    got = answer(theta, x, y, lr)
    if theta.item() != start:
        raise Mistake(
            "θ itself was changed. The outer loop still needs it: make a new tensor,"
            " θ minus lr times the gradient, and return that."
        )
    g = slope(start, x, y)
    compare(got, start - lr * g, "θ after one step", {
        "You walked uphill: the step goes against the gradient, so subtract it.": start + lr * g,
        "You took the sum of the squared errors where their mean is meant.": start - 3 * lr * g,
        "The rate lr is not used: multiply the gradient by it.": start - g,
        "You returned the gradient, not the adapted θ.": g,
        "This is θ as it came: the step is missing.": start,
    })  # fmt: skip
    if not (isinstance(got, Tensor) and got.requires_grad):
        raise Mistake(
            "The number is right, but the result no longer hangs on θ (it was detached), so the"
            " outer loop would have nothing to differentiate."
        )
    (derivative,) = torch.autograd.grad(got, theta)
    curvature = float(2 * x.pow(2).mean())
    compare(derivative, 1 - lr * curvature, "The number is right, but its derivative by θ", {
        "You detached the inner gradient: this is first-order MAML. Ask autograd.grad for"
        " create_graph=True.": 1.0,
    })  # fmt: skip


def judge_meta_loss(answer) -> None:
    sx, sy = (
        torch.tensor([[[1.0], [2.0]], [[1.0], [3.0]], [[2.0], [0.5]]]),
        torch.tensor([[[2.0], [3.0]], [[-1.0], [-2.0]], [[0.0], [1.0]]]),
    )
    qx, qy = torch.tensor([[[1.5]], [[2.0]], [[-1.0]]]), torch.tensor([[[2.5]], [[-2.0]], [[1.0]]])
    tasks, start, lr = Tasks(sx, sy, qx, qy), 0.4, 0.1
    theta = torch.tensor(start, requires_grad=True)
    got = answer(theta, tasks, lr)
    rows = list(zip(sx, sy, qx, qy, strict=True))
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
        "This is one task's loss alone: average over all of them.": after[0],
        "This is the last task's loss alone: average over all of them.": after[-1],
        "Each task went on from the θ of the one before: all start at the same θ.": mean(carried),
    })  # fmt: skip
    if not (isinstance(got, Tensor) and got.requires_grad):
        raise Mistake("The number is right, but it does not hang on θ: nothing to differentiate.")
    (derivative,) = torch.autograd.grad(got, theta)
    shrink = [1 - lr * float(2 * x.pow(2).mean()) for x, *_ in rows]
    slopes = [slope(t, x, y) for t, (_, _, x, y) in zip(adapted, rows, strict=True)]
    exact = mean([s * k for s, k in zip(slopes, shrink, strict=True)])
    compare(derivative, exact, "The number is right, but the meta-gradient", {
        "You detached the inner gradient: this is first-order MAML. Ask autograd.grad for"
        " create_graph=True.": mean(slopes),
    })  # fmt: skip


def judge_reptile(answer) -> None:
    theta, lr = torch.tensor([1.0, -2.0]), 0.25
    adapted = torch.tensor([[2.0, 0.0], [4.0, -1.0], [3.0, -5.0]])  # (T, 2)
    got = answer(theta.clone(), adapted.clone(), lr)
    if isinstance(got, Tensor) and got.shape != theta.shape:
        raise Mistake(
            f"The new θ should have θ's shape (2,), got {tuple(got.shape)}: average over the"
            " tasks, the first axis."
        )
    if got is None:
        raise Mistake("Your function returned None: does it end with `return`?")
    towards = adapted.mean(0) - theta
    for i in range(2):
        t, step = float(theta[i]), float(towards[i])
        compare(got[i], t + lr * step, f"Number {i} of the new θ", {
            "You moved away from the adapted weights: the step is +(θ_i − θ).": t - lr * step,
            "You added the tasks up where their mean is meant.": t + 3 * lr * step,
            "This is the mean of the adapted weights: go only the share outer_lr of the way.":
                t + step,
            "You used the last task alone.": t + lr * float(adapted[-1, i] - theta[i]),
            "This is θ as it came: the step is missing.": t,
        })  # fmt: skip


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
