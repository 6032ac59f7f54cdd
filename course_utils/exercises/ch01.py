"""Chapter 01: the nearest point, dealing a task, and when meta-learning has paid for itself."""

import math

import numpy as np
import torch
from torch import Tensor

from course_utils.exercises.exercise import Exercise, Mistake, compare, numbers


def judge_nearest(answer) -> None:
    x, y = torch.tensor([-3.0, -1.0, 0.5, 2.0, 4.0]), torch.tensor([1.5, 0.25, -2.0, 3.0, 7.0])
    query = torch.tensor([-4.0, 0.2, 1.0, 3.5, -1.9, 9.0, 0.6])
    judge_one_nearest(answer, x, y, query)
    judge_one_nearest(answer, x.flip(0)[:3], y[:3], query[:4])  # not in the order of x


def judge_one_nearest(answer, x: Tensor, y: Tensor, query: Tensor) -> None:
    got = answer(x.clone(), y.clone(), query.clone())
    got = numbers(got, "The predictions", f"a tensor of shape {tuple(query.shape)}")
    if not got.ndim:
        raise Mistake(
            f"One prediction came back for {len(query)} query points: does `return` stand inside"
            " the loop?"
        )
    if got.shape == x.shape:
        raise Mistake(
            f"There are {len(x)} predictions, one for each support point: there should be one for"
            f" each of the {len(query)} query points. Take argmin along the other axis."
        )
    if got.shape != query.shape:
        raise Mistake(
            f"The predictions should have shape {tuple(query.shape)}, got {tuple(got.shape)}"
        )
    distance = (query.unsqueeze(1) - x).abs()  # (7, 5)
    nearest = distance.argmin(1)
    signed = (query.unsqueeze(1) - x).argmin(1), (x - query.unsqueeze(1)).argmin(1)
    mistakes = {
        "This is the place x of the nearest point, where its height y is wanted.": x[nearest],
        "This is the number of the nearest point: use it to look up y.": nearest.float(),
        "This is the distance to the nearest point: find its number by argmin, and look up y.":
            distance.min(1).values,
        "You joined the points by lines: the height of the nearest point itself is wanted.":
            torch.from_numpy(np.interp(query, x[x.argsort()], y[x.argsort()])).float(),
        "This is the height of the farthest point.": y[distance.argmax(1)],
        "You compared differences with their sign, so that far to one side counts as near: take"
        " their absolute value.": y[signed[0]],
        "You compared differences with their sign, so far on the other side counts as near: take"
        " their absolute value.": y[signed[1]],
    }  # fmt: skip
    for sentence, wrong in mistakes.items():
        if torch.allclose(got.float(), wrong) and not torch.equal(wrong, y[nearest]):
            raise Mistake(sentence)
    for at, value, right in zip(query.tolist(), got, y[nearest].tolist(), strict=True):
        compare(value, right, f"The prediction at x = {at:g}", {})


def judge_deal(answer) -> None:
    x = torch.linspace(-5, 5, 21)
    y = 10 * x + 1  # which y belongs to which x can be told from the number
    dealt = []
    for seed in range(3):
        torch.manual_seed(seed)
        got = answer(x.clone(), y.clone(), 6)
        if not isinstance(got, (tuple, list)) or len(got) != 4:
            raise Mistake("Return four tensors: support_x, support_y, query_x, query_y.")
        parts = [numbers(part, "Each of the four parts", "a tensor") for part in got]
        x_all, y_all = parts[0], parts[2]
        if x_all.shape == y_all.shape and torch.allclose(10 * x_all + 1, y_all, atol=1e-3):
            raise Mistake("The order is support x, support y, query x, query y.")
        dealt.append(check_one_deal(x, y, 6, *parts))
    draw = "draw them at random, by torch.randperm, and leave the seed alone."
    if all(torch.equal(d, x[:6]) for d in dealt):
        raise Mistake(f"The support set is always the left end, the points of smallest x: {draw}")
    if all(torch.equal(dealt[0], other) for other in dealt[1:]):
        raise Mistake(f"The same points are the support set every time: {draw}")
    if all(d[-1] - d[0] < 5.5 * (x[1] - x[0]) for d in dealt):
        raise Mistake(f"The support set is always a stretch of neighbours: {draw}")


def check_one_deal(
    x: Tensor, y: Tensor, shots: int, sx: Tensor, sy: Tensor, qx: Tensor, qy: Tensor
) -> Tensor:
    """The support x in rising order; Mistake if the deal breaks a rule."""
    for name, a, b in (("support", sx, sy), ("query", qx, qy)):
        if a.ndim != 1:
            raise Mistake(f"The {name} x should have shape (n,), got {tuple(a.shape)}.")
        if a.shape != b.shape or not torch.allclose(10 * a + 1, b, atol=1e-3):
            raise Mistake(
                f"In the {name} set x and y do not belong together any more: use one and the same"
                " permutation for both."
            )
    if len(sx) == len(x) - shots and len(qx) == shots:
        raise Mistake(f"Support and query are exchanged: the support set should have {shots}.")
    if len(sx) != shots:
        raise Mistake(f"The support set should have {shots} points, got {len(sx)}.")
    both = torch.isin(sx, qx).sum().item()
    if both:
        raise Mistake(
            f"{both} of the {shots} support points are also in the query set: the learner would be"
            " judged on what it was shown."
        )
    if len(sx.unique()) < shots:
        raise Mistake("A point was dealt twice: draw without replacement.")
    if len(qx) != len(x) - shots:
        raise Mistake(
            f"The query set should have all of the {len(x) - shots} other points, got {len(qx)}."
        )
    return sx.sort().values


def judge_break_even(answer) -> None:
    cases = [(1010, 40, 15), (5120, 16, 10), (90, 30, 0), (0, 30, 10), (7, 3, 1)]
    for spent, scratch, ready in cases:
        got = answer(spent, scratch, ready)
        what = f"With spent={spent}, from_scratch={scratch}, prepared={ready} the number of tasks"
        exact = spent / (scratch - ready)
        compare(got, math.ceil(exact), what, {
            "The prepared learner is not free either: on each task only the difference is saved.":
                math.ceil(spent / scratch),
            "The prepared learner is not free either, and the number must be rounded up.":
                spent / scratch,
            "Costs of both were added: what is saved on a task is their difference.":
                math.ceil(spent / (scratch + ready)),
            "From scratch costs more: what is saved on a task is from_scratch − prepared.":
                math.ceil(spent / (ready - scratch)),
            "You rounded down: at that number it is not yet paid back.": math.floor(exact),
            "There is no part of a task: round up.": exact,
            "One too many: at a whole number it is paid back exactly.": math.floor(exact) + 1,
        })  # fmt: skip
    for scratch, ready in ((10, 10), (10, 25)):
        try:
            got = answer(100, scratch, ready)
        except ZeroDivisionError:
            got = "a division by 0"
        if got != math.inf:
            raise Mistake(
                f"With from_scratch={scratch} and prepared={ready} nothing is ever saved, so it is"
                f" never paid back: return math.inf (got {got})."
            )


EXERCISES = {
    "1.1": Exercise(
        "the nearest point, for all query points",
        judge_nearest,
        (
            "For one query point q: the distances are (x - q).abs(), and argmin gives the number of"
            " the nearest point.",
            "For all at once: query.unsqueeze(1) - x has shape (Q, S). Its absolute value is"
            " smallest along axis 1.",
            "distance = (query.unsqueeze(1) - x).abs()  # (Q, S)\nreturn y[distance.argmin(1)]",
        ),
    ),
    "1.2": Exercise(
        "a task dealt into support and query, no point in both",
        judge_deal,
        (
            "torch.randperm(len(x)) gives the numbers 0 .. len(x) − 1 in random order.",
            "Its first `shots` numbers choose the support set, the others the query set, for x and"
            " y alike.",
            "order = torch.randperm(len(x))\n"
            "support, query = order[:shots], order[shots:]\n"
            "return x[support], y[support], x[query], y[query]",
        ),
    ),
    "1.3": Exercise(
        "when meta-learning has paid for itself",
        judge_break_even,
        (
            "On each new task from_scratch − prepared is saved. If that is not above 0, it is never"
            " paid back: math.inf.",
            "The number is spent divided by what is saved on a task, rounded up by math.ceil.",
            "saved = from_scratch - prepared\n"
            "return math.ceil(spent / saved) if saved > 0 else math.inf",
        ),
    ),
}
