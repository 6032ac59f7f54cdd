"""Chapter 07: query losses by grad and vmap, Keras' Adam, and the interval of a difference."""

import torch
from torch import Tensor

from course_utils.exercises.ch03a import FIRST_ORDER, derivative
from course_utils.exercises.exercise import Exercise, Mistake, compare


def losses(theta: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Mean of (θ x − y)² of each task: θ (T,) or (), x and y (T, n) -> (T,)."""
    return ((theta[..., None] * x - y) ** 2).mean(1)


def slopes(theta: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The derivatives of `losses` by θ: (T,)."""
    return (2 * x * (theta[..., None] * x - y)).mean(1)


def judge_query_losses(answer) -> None:
    sx = torch.tensor([[1.0, 2.0], [1.0, 3.0], [2.0, 0.5]])
    sy = torch.tensor([[2.0, 3.0], [-1.0, -2.0], [0.0, 1.0]])
    qx = torch.tensor([[1.5, 1.0], [2.0, -1.0], [-1.0, 0.5]])
    qy = torch.tensor([[3.0, 0.0], [-2.0, 1.0], [1.0, 2.0]])
    judge_one_batch(answer, 0.4, 0.1, sx, sy, qx, qy)
    judge_one_batch(answer, -0.7, 0.05, qx[:2], qy[:2], sx[:2], sy[:2])


def judge_one_batch(answer, start: float, lr: float, sx, sy, qx, qy) -> None:
    theta = torch.tensor(start, requires_grad=True)
    start = torch.tensor(start)
    got = answer(theta, (sx, sy, qx, qy), lr)
    adapted = start - lr * slopes(start, sx, sy)
    uphill = start + lr * slopes(start, sx, sy)
    together = start - lr * slopes(start, sx, sy).mean()
    right = losses(adapted, qx, qy)
    case = (
        f"theta = {start:g}, lr = {lr}, support x = {sx.tolist()}, support y = {sy.tolist()},"
        f" query x = {qx.tolist()}, query y = {qy.tolist()}"
    )
    if isinstance(got, Tensor) and got.ndim == 0:
        raise Mistake(
            "You returned a single number: the losses of all tasks are wanted, one for each, and"
            " no mean over them."
        )
    compare(got, right, "The query losses", {
        "You measured on the support set: after adapting, the query set is the judge.":
            losses(adapted, sx, sy),
        "You measured θ before it adapted.": losses(start, qx, qy),
        "You adapted on the query set, on which the task is judged.":
            losses(start - lr * slopes(start, qx, qy), qx, qy),
        "You walked uphill: subtract the gradient.": losses(uphill, qx, qy),
        "You took one step for all tasks together: each adapts to its own support set.":
            losses(together, qx, qy),
        "The rate lr is not used: multiply the gradient by it.":
            losses(start - slopes(start, sx, sy), qx, qy),
        "You took the sum of the squared errors where their mean is meant.":
            2 * losses(start - 2 * lr * slopes(start, sx, sy), qx, qy),
    }, case)  # fmt: skip
    shrink = 1 - lr * (2 * sx**2).mean(1)
    exact = (slopes(adapted, qx, qy) * shrink).sum()
    what = "The losses are right, but the derivative of their sum by θ"
    mistakes = {FIRST_ORDER: slopes(adapted, qx, qy).sum()}
    compare(derivative(got, theta), exact, what, mistakes, case)


def adam(theta, gradients, lr, epsilon, *, inside=True, correct_m=True, correct_v=True, shift=0):
    """Adam over k gradients; `inside` adds ε before v is corrected, as Keras does."""
    m, v = torch.zeros_like(theta), torch.zeros_like(theta)
    for t, g in enumerate(gradients, start=1 + shift):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        m_scale = 1 - 0.9**t if correct_m and t else 1.0
        v_scale = (1 - 0.999**t) ** 0.5 if correct_v and t else 1.0
        divisor = (v.sqrt() + epsilon) / v_scale if inside else v.sqrt() / v_scale + epsilon
        theta = theta - lr * m / m_scale / divisor
    return theta


def judge_keras_adam(answer) -> None:
    gradients = torch.tensor([[0.2, -0.01, 1e-4], [0.1, 0.03, 3e-4], [-0.4, 0.02, 2e-4]])
    judge_one_run(answer, torch.tensor([0.5, -1.0, 2.0]), gradients, 0.1, 1e-3)
    judge_one_run(answer, torch.tensor([1.0, 0.3]), gradients[:2, 1:], 0.2, 1e-4)


def judge_one_run(answer, start: Tensor, gradients: Tensor, lr: float, epsilon: float) -> None:
    given = start.clone()
    got = answer(given, gradients.clone(), lr, epsilon)
    if not torch.equal(given, start):
        raise Mistake("You changed the `theta` that was given: make a new tensor in each update.")
    how = (start, gradients, lr, epsilon)
    sgd = start - lr * gradients.sum(0)
    mean_square = gradients.pow(2)
    rows = [[round(v, 5) for v in row] for row in gradients.tolist()]
    case = f"theta = {start.tolist()}, gradients = {rows}, lr = {lr}, epsilon = {epsilon}"
    compare(got, adam(*how), "θ after the updates", {
        "This is PyTorch's Adam: ε is added after v was corrected. Keras adds it before.":
            adam(*how, inside=False),
        "m is not corrected for its start at nought: divide it by 1 − β₁ᵗ.":
            adam(*how, correct_m=False),
        "v is not corrected for its start at nought: multiply by √(1 − β₂ᵗ).":
            adam(*how, correct_v=False),
        "Neither m nor v is corrected for its start at nought.":
            adam(*how, correct_m=False, correct_v=False),
        "You walked uphill: subtract the step.": 2 * start - adam(*how),
        "The count t begins with 1, not with 2.": adam(*how, shift=1),
        "Only one update was made: go through all gradients.":
            adam(start, gradients[:1], lr, epsilon),
        "This is plain gradient descent: Adam divides by √v.": sgd,
        "You used the gradients' own sizes: m and v are running means.":
            start - lr * (gradients / (mean_square.sqrt() + epsilon)).sum(0),
    }, case)  # fmt: skip


def judge_interval(answer) -> None:
    first, second = (50.0, 0.8), (48.0, 1.5)
    for a, b in ((first, second), (second, first)):
        got = answer(*a, *b)
        if isinstance(got, (tuple, list)) and len(got) == 2:
            got = torch.tensor([float(v) for v in got])
        d, half = a[0] - b[0], (a[1] ** 2 + b[1] ** 2) ** 0.5
        case = f"mean_a = {a[0]}, half_a = {a[1]}, mean_b = {b[0]}, half_b = {b[1]}"

        def ends(middle, width):
            return torch.tensor([middle - width, middle + width])

        compare(got, ends(d, half), "The interval", {
            "You added the half widths. Independent errors add in squares: √(half_a² + half_b²).":
                ends(d, a[1] + b[1]),
            "The root is missing: √(half_a² + half_b²).": ends(d, a[1] ** 2 + b[1] ** 2),
            "This is the interval of b − a.": ends(-d, half),
            "You multiplied by 1.96, but the half widths already contain that factor.":
                ends(d, 1.96 * half),
            "You subtracted one half width from the other: errors do not cancel.":
                ends(d, abs(a[1] - b[1])),
            "You took the larger half width alone: both means are uncertain.":
                ends(d, max(a[1], b[1])),
            "The half width is to be added and subtracted in full.": ends(d, half / 2),
            "The ends are exchanged: the lower one comes first.": ends(d, half).flip(0),
        }, case)  # fmt: skip


EXERCISES = {
    "7.1": Exercise(
        "the query losses of all tasks, without a loop",
        judge_query_losses,
        (
            "Write a function for one task first: loss, gradient by `torch.func.grad`, step, loss.",
            "Then `torch.func.vmap(one_task, in_dims=(None, 0, 0, 0, 0))(theta, *tasks)`: θ is"
            " shared, the rest runs along the first axis.",
            """def loss(theta, x, y):
    return ((theta * x - y) ** 2).mean()

def one_task(theta, sx, sy, qx, qy):
    adapted = theta - lr * torch.func.grad(loss)(theta, sx, sy)
    return loss(adapted, qx, qy)

return torch.func.vmap(one_task, in_dims=(None, 0, 0, 0, 0))(theta, *tasks)""",
        ),
        seconds=60,
    ),
    "7.2": Exercise(
        "Adam as Keras has it",
        judge_keras_adam,
        (
            "For each gradient g: m ← 0.9 m + 0.1 g, v ← 0.999 v + 0.001 g², then the step."
            " The count t begins with 1.",
            "The step is lr · m / (1 − 0.9ᵗ) · √(1 − 0.999ᵗ) / (√v + ε).",
            """m, v = torch.zeros_like(theta), torch.zeros_like(theta)
for t, g in enumerate(gradients, start=1):
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
    rate = lr * (1 - 0.999**t) ** 0.5 / (1 - 0.9**t)
    theta = theta - rate * m / (v.sqrt() + epsilon)
return theta""",
        ),
    ),
    "7.3": Exercise(
        "the interval of a difference",
        judge_interval,
        (
            "The variance of a difference of independent numbers is the sum of their variances.",
            "A half width is 1.96 standard errors, so half widths add as standard errors do: in"
            " squares.",
            """half = (half_a**2 + half_b**2) ** 0.5
difference = mean_a - mean_b
return torch.tensor([difference - half, difference + half])""",
        ),
    ),
}
