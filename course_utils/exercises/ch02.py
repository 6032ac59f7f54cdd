"""Chapter 02: one loop for both levels, a new last layer, the value of trying the unknown arm."""

import torch
from torch import Tensor

from course_utils.exercises.exercise import Exercise, Mistake, compare, numbers


def judge_fit(answer) -> None:
    for loss, slope, examples, start, lr, case in FITS:
        numbers = [float(e) if isinstance(e, float) else tuple(map(float, e)) for e in examples]
        theta = torch.tensor(start, requires_grad=True)
        got = answer(loss, theta, list(examples), lr)
        if not torch.equal(theta.detach(), torch.tensor(start)):
            raise Mistake("The θ that was given was changed: make a new tensor, θ − lr · gradient.")

        def walk(order, rate=lr, slope=slope, start=start):
            value = start
            for example in order:
                value -= rate * slope(value, example)
            return value

        def piling_up(order, rate=lr, slope=slope, start=start):
            value, gradient = start, 0.0
            for example in order:
                gradient += slope(value, example)
                value -= rate * gradient
            return value

        at_start = [slope(start, n) for n in numbers]
        mean = sum(at_start) / len(at_start)
        mistakes = {
            "You walked uphill: subtract the gradient.": walk(numbers, -lr),
            "The rate lr is not used: multiply the gradient by it.": walk(numbers, 1.0),
            "Only the first example was used: does `return` stand inside the loop?":
                walk(numbers[:1]),
            "Only the last example was used: each step must go on from where the one before ended.":
                walk(numbers[-1:]),
            "You took one step for all examples together: take one after another.":
                start - lr * mean,
            "All gradients were taken at the θ that was given: each step must go on from where the"
            " one before ended.": start - lr * sum(at_start),
            "The gradients pile up: before each backward() empty theta.grad, or use autograd.grad.":
                piling_up(numbers),
            "You went through the examples backwards.": walk(numbers[::-1]),
            "This is θ as it came.": start,
        }  # fmt: skip
        compare(got, walk(numbers), "θ after one pass", mistakes, case)


def point_loss(theta: Tensor, y: float) -> Tensor:
    return (theta - y) ** 2


def task_loss(theta: Tensor, task: tuple[float, float]) -> Tensor:
    """One inner step of size 0.1 on the support number, then the loss on the query number."""
    support, query = task
    (gradient,) = torch.autograd.grad((theta - support) ** 2, theta, create_graph=True)
    return (theta - 0.1 * gradient - query) ** 2


FITS = (  # loss, its slope, examples, where θ begins, rate, what to call it
    (point_loss, lambda t, y: 2 * (t - y), [1.5, 4.0, -2.0], 0.5, 0.2,
     "examples that are points: loss (θ − y)², θ = 0.5, lr = 0.2, y = 1.5, 4, −2"),
    (task_loss, lambda t, e: 1.6 * (0.8 * t + 0.2 * e[0] - e[1]), [(1.0, 2.0), (3.0, -1.0)],
     0.5, 0.3, "examples that are tasks (support, query): θ = 0.5, lr = 0.3, (1, 2), (3, −1)"),
)  # fmt: skip


def judge_head(answer) -> None:
    generator = torch.Generator().manual_seed(2)
    for size, width, ridge in ((6, 3, 0.4), (3, 5, 3.0)):
        f = torch.randn(size, width, generator=generator).double()
        y = torch.randn(size, generator=generator).double()
        got = answer(f.clone(), y.clone(), ridge)
        case = f"features of shape ({size}, {width}), targets ({size},), ridge = {ridge}"
        eye = torch.eye(width).double()

        def solved(ridge, f=f, y=y, eye=eye):
            return torch.linalg.solve(f.T @ f + ridge * eye, f.T @ y)

        right = solved(ridge)
        predicted = f @ right
        mistakes = {
            "This is plain least squares: the ridge is missing.": torch.linalg.pinv(f) @ y,
            "The ridge has the wrong sign: it is added to the diagonal.": solved(-ridge),
            "The ridge was divided by the number of examples: the sum of squares is meant, not"
            " their mean.": solved(ridge / size),
            "The ridge was multiplied by the number of examples: the sum of squares is meant, not"
            " their mean.": solved(ridge * size),
            "The ridge was squared: it stands on the diagonal as it is.": solved(ridge**2),
            "The ridge was added to every entry of FᵀF: it belongs on the diagonal only.":
                torch.linalg.pinv(f.T @ f + ridge) @ f.T @ y,
        }  # fmt: skip
        value = numbers(got, "The new layer's weights", f"a tensor of shape ({width},)")
        if value.shape == predicted.shape != right.shape:
            raise Mistake(
                f"There are {size} numbers, one for each example: these look like predictions, F w."
                f" Return the {width} weights w of the new layer."
            )
        if value.shape == (width, 1):
            got = value.squeeze(1)
        compare(got, right, "The new layer's weights", mistakes, case)


def best_return(s: int, f: int, left: int, known: float, prior: int = 1) -> float:
    """The optimum with one unknown arm and one that pays with probability `known`."""
    if left == 0:
        return 0.0
    mean = (s + prior) / max(s + f + 2 * prior, 1)

    def after(s, f):
        return best_return(s, f, left - 1, known, prior=prior)

    unknown = mean * (1 + after(s + 1, f)) + (1 - mean) * after(s, f + 1)
    return max(unknown, known + after(s, f))


def told(s: int, f: int, left: int, known: float) -> float:
    """As `best_return`, for one who sees the pay before choosing: max within the expectation."""
    if left == 0:
        return 0.0
    mean, stay = (s + 1) / (s + f + 2), known + told(s, f, left - 1, known)
    paid = max(1 + told(s + 1, f, left - 1, known), stay)
    return mean * paid + (1 - mean) * max(told(s, f + 1, left - 1, known), stay)


def always_unknown(s: int, f: int, left: int, known: float) -> float:
    return left * (s + 1) / (s + f + 2)


def known_once(s: int, f: int, left: int, known: float) -> float:
    """As `best_return`, but after a pull of the known arm nothing more is earned."""
    if left == 0:
        return 0.0
    mean = (s + 1) / (s + f + 2)
    paid, unpaid = known_once(s + 1, f, left - 1, known), known_once(s, f + 1, left - 1, known)
    return max(mean * (1 + paid) + (1 - mean) * unpaid, known)


PAYS = "A pull that pays adds 1 to what follows."


def judge_value(answer) -> None:
    for s, f, left, known in ((2, 1, 3, 0.55), (0, 0, 2, 0.6), (1, 0, 6, 0.7), (1, 3, 7, 0.45)):
        case = f"s = {s}, f = {f}, left = {left}, known = {known}"
        compare(answer(s, f, left, known), best_return(s, f, left, known), "The value", {
            "The larger of the two must be taken of the expectations: you choose before you know if"
            " the arm pays.": told(s, f, left, known),
            "The prior is missing: the unknown arm pays with probability (s + 1) / (s + f + 2).":
                best_return(s, f, left, known, prior=0),
            "You pull one and the same arm to the end: the larger of the two values is to be taken"
            " anew at every pull. Or does the known arm add nothing? Each of its pulls adds"
            " `known`.": always_unknown(s, f, left, known),
            f"{PAYS} If it does with you, the known arm is pulled to the end: the larger of the two"
            " values is to be taken anew at every pull.": left * known,
            f"{PAYS} Here no pull adds anything.": 0.0,
            "The known arm is counted once: its pull adds `known` to what follows, which is the"
            " value of the same belief with one pull fewer.": known_once(s, f, left, known),
        }, case)  # fmt: skip


def gittins_index(s: int, f: int, left: int, worth=best_return) -> float:
    """The largest price of the known arm at which it is still worth while to try the unknown."""
    low, high = 0.0, 1.0
    while high - low > 1e-7:
        middle = (low + high) / 2
        low, high = (middle, high) if worth(s, f, left, middle) > left * middle else (low, middle)
    return low


def judge_index(answer) -> None:
    for s, f, left in ((0, 0, 1), (0, 0, 4), (2, 1, 5), (1, 3, 5)):
        got = answer(s, f, left, best_return)
        right = gittins_index(s, f, left)
        case = f"s = {s}, f = {f}, left = {left}"
        fair = torch.as_tensor(got)
        fewer, more = gittins_index(s, f, left - 1), gittins_index(s, f, left + 1)
        if fair.numel() == 1 and fair.is_floating_point():
            off, *neighbours = (abs(fair.item() - index) for index in (right, fewer, more))
            if off < 2e-4:
                continue
            if off < 0.02 and min(neighbours) > 2e-4:
                raise Mistake(
                    f"Close, but 0.0001 is asked for: halve more often. Got {fair.item():.4f} for"
                    f" {right:.4f}.\nTried with {case}."
                )
        compare(got, right, "The index", {
            "This is the mean payment (s + 1) / (s + f + 2): it leaves out that a good arm can be"
            " kept and a bad one left.": (s + 1) / (s + f + 2),
            "This is what can be earned in all, not a probability: look for the `known` at which"
            " best_return is just left · known.": best_return(s, f, left, right),
            "This is the index with one pull fewer.": fewer,
            "This is the index with one pull more.": more,
            "This is one end of the search: halve the interval again and again, and keep the half"
            " in which best_return stops being more than left · known.": 1.0,
        }, case)  # fmt: skip


EXERCISES = {
    "2.1": Exercise(
        "one loop, whose examples may be points or tasks",
        judge_fit,
        (
            "For each example: loss(theta, example) is a number that depends on theta;"
            " torch.autograd.grad of it by theta gives a tuple with the gradient.",
            "Each step makes a new theta, theta − lr · gradient, from which the next example goes"
            " on. Return the last.",
            "for example in examples:\n"
            "    (gradient,) = torch.autograd.grad(loss(theta, example), theta)\n"
            "    theta = theta - lr * gradient\n"
            "return theta",
        ),
        seconds=60.0,  # torch.optim, if it is used, takes its time to load
    ),
    "2.2": Exercise(
        "a new last layer on frozen features",
        judge_head,
        (
            "Set the derivative of ‖F w − y‖² + ridge ‖w‖² by w to nought:"
            " (FᵀF + ridge · I) w = Fᵀy.",
            "torch.linalg.solve(A, b) solves A w = b; torch.eye(n) is I.",
            "eye = torch.eye(features.shape[1], dtype=features.dtype)\n"
            "return torch.linalg.solve(features.T @ features + ridge * eye, features.T @ y)",
        ),
    ),
    "2.3": Exercise(
        "what it is worth to be able to try",
        judge_value,
        (
            "With nothing left the value is 0. Otherwise work out two numbers, one for each arm,"
            " each with the value of what comes after, and return the larger.",
            "Unknown arm: mean · (1 + value after a success) + (1 − mean) · value after a failure."
            " Known arm: known + value of the same belief with one pull fewer.",
            "if left == 0:\n"
            "    return 0\n"
            "mean = (s + 1) / (s + f + 2)\n"
            "paid = best_return(s + 1, f, left - 1, known)\n"
            "unpaid = best_return(s, f + 1, left - 1, known)\n"
            "stay = known + best_return(s, f, left - 1, known)\n"
            "return max(mean * (1 + paid) + (1 - mean) * unpaid, stay)",
        ),
    ),
    "2.4": Exercise(
        "the price at which an arm is not worth trying any more",
        judge_index,
        (
            "If the known arm is the better one, it is pulled to the end: best_return is then"
            " left · known. If trying is worth while, it is more.",
            "The higher `known`, the less is trying worth. So halve the interval from 0 to 1: if"
            " best_return(s, f, left, middle) is more than left · middle, the index is higher.",
            "low, high = 0.0, 1.0\n"
            "for _ in range(20):\n"
            "    middle = (low + high) / 2\n"
            "    if best_return(s, f, left, middle) > left * middle + 1e-9:\n"
            "        low = middle\n"
            "    else:\n"
            "        high = middle\n"
            "return low",
        ),
    ),
}
