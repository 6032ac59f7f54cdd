"""Chapter 06b: what was earned from a step on, the policy gradient, where the goal is."""

import torch
from torch import Tensor

from course_utils.exercises.exercise import Exercise, Mistake, compare

# --- 6b.1 ----------------------------------------------------------------------------------------

REWARDS, DISCOUNT = (-3.0, -2.0, 1.0, -4.0), 0.5


def judge_returns(answer) -> None:
    got = answer(torch.tensor(REWARDS), DISCOUNT)
    n, g = len(REWARDS), DISCOUNT

    def each(value):
        return torch.tensor([float(value(t)) for t in range(n)])

    expected = each(lambda t: sum(g ** (k - t) * REWARDS[k] for k in range(t, n)))
    case = f"rewards = {list(REWARDS)}, discount = {DISCOUNT}"
    compare(got, expected, "What was earned from each step on", {
        "The rewards are not discounted: one that comes k steps later counts discount^k.":
            each(lambda t: sum(REWARDS[t:])),
        "You discounted from the start of the episode. Count from step t: its own reward counts"
        " fully.": each(lambda t: sum(g**k * REWARDS[k] for k in range(t, n))),
        "You added up what came before. An action can only be credited with what came after it.":
            each(lambda t: sum(g ** (t - k) * REWARDS[k] for k in range(t + 1))),
        "You added up what came before, undiscounted: an action can only be credited with what"
        " came after it.": each(lambda t: sum(REWARDS[: t + 1])),
        "The reward of step t itself is missing: the action of step t has earned it.":
            each(lambda t: sum(g ** (k - t) * REWARDS[k] for k in range(t + 1, n))),
        "The reward of step t itself is missing: this is what is earned from step t + 1 on.":
            torch.cat([expected[1:], torch.zeros(1)]),
        "Right numbers in reverse order: turn them round again.": expected.flip(0),
        "This is the return of the whole episode at every step.": each(lambda t: sum(REWARDS)),
        "These are the rewards as they came.": torch.tensor(REWARDS),
    }, case)  # fmt: skip
    got = answer(torch.tensor([2.0, 10.0]), 0.9)
    what = "Right so far. For rewards = [2, 10], discount = 0.9 what was earned"
    compare(got, torch.tensor([11.0, 10.0]), what, {})


# --- 6b.2 ----------------------------------------------------------------------------------------


def judge_loss(answer) -> None:
    log_p = torch.tensor([[-1.0, -0.5], [-2.0, -0.2], [-0.3, -0.7]])  # (E, H)
    earned = torch.tensor([[4.0, 1.0], [2.0, 3.0], [-5.0, 0.5]])
    expected = torch.tensor([[1.0, 1.5], [1.0, 1.0], [-1.0, 0.0]])
    case = f"log_p = {log_p.tolist()}, earned = {earned.tolist()}, expected = {expected.tolist()}"
    given = log_p.clone().requires_grad_(), expected.clone().requires_grad_()
    got = answer(given[0], earned, given[1])
    better = earned - expected
    right = -(log_p * better).sum(1).mean()
    compare(got, right, "The loss", {
        "The sign is wrong: gradient descent makes a loss smaller, and better actions should become"
        " likelier. Minus in front, and the advantage is earned − expected.": -right,
        "The baseline is not used: take what was earned minus what was to be expected.":
            -(log_p * earned).sum(1).mean(),
        "You took the mean over the steps as well: add up the steps of an episode, then take the"
        " mean over the episodes.": -(log_p * better).mean(),
        "You added the episodes up: take their mean.": -(log_p * better).sum(),
        "You used the probability: its logarithm is what has the right gradient.":
            -(log_p.exp() * better).sum(1).mean(),
        "The probabilities have no part in it: multiply by log_p.": -better.sum(1).mean(),
    }, case)  # fmt: skip
    if not (isinstance(got, Tensor) and got.requires_grad):
        raise Mistake(
            "The number is right, but it no longer hangs on log_p (it was detached), so there is"
            " nothing to learn from."
        )
    slopes = torch.autograd.grad(got, given, allow_unused=True)
    compare(slopes[0], -better / len(log_p), "The number is right, but its gradient by log_p", {})
    if slopes[1] is not None and slopes[1].abs().sum() > 0:
        raise Mistake(
            "The number is right, but the loss also changes the baseline: an advantage is a"
            " number to weigh by, not something to learn from here. Call .detach() on it."
        )
    got = answer(log_p[:2, :1].clone().requires_grad_(), earned[:2, :1], expected[:2, :1])
    right = -(log_p * better)[:2, 0].mean()
    compare(got, right, "Right so far. With two episodes of one step the loss", {})


# --- 6b.3 ----------------------------------------------------------------------------------------


def judge_locate(answer) -> None:
    for goal, positions in (
        ([0.3, -0.4], [[0.1, 0.0], [0.0, 0.1], [-0.1, 0.0]]),
        ([-0.2, 0.3], [[0.2, 0.1], [-0.3, 0.4], [0.1, -0.2], [0.0, 0.5]]),
    ):
        goal, positions = torch.tensor(goal), torch.tensor(positions)
        rewards = -(positions - goal).norm(dim=1)
        got = answer(positions.clone(), rewards.clone())
        x = torch.cat([2 * positions, -torch.ones(len(positions), 1)], 1)
        squares = positions.pow(2).sum(1)

        def solved(x, y):
            return torch.linalg.lstsq(x, y.unsqueeze(1)).solution[:, 0]

        whole = solved(x, squares - rewards.pow(2))
        half = torch.cat([positions, x[:, 2:]], 1)
        case = (
            f"positions = {[[round(v, 2) for v in p] for p in positions.tolist()]},"
            f" rewards = {[round(v, 4) for v in rewards.tolist()]}"
        )
        if isinstance(got, Tensor) and got.shape in ((3,), (3, 1)):
            raise Mistake(
                "The equations have three unknowns, but the goal is the first two of them: the"
                f" third is |g|². You returned {[round(v, 4) for v in got.flatten().tolist()]}."
            )
        compare(got, goal, "The goal", {
            "The distance is not squared: |p|² − r² = 2 p·g − |g|².":
                solved(x, squares - rewards.abs())[:2],
            "The rewards are not squared: |p|² − r² = 2 p·g − |g|².":
                solved(x, squares - rewards)[:2],
            "A factor of 2 is lost: |p − g|² = |p|² − 2 p·g + |g|².":
                solved(half, squares - rewards.pow(2))[:2],
            "The signs are mixed up, and your goal lies opposite: it is |p|² − r² on one side,"
            " 2 p·g − |g|² on the other.": -whole[:2],
            "|p|² is missing: r² = |p|² − 2 p·g + |g|².": solved(x, -rewards.pow(2))[:2],
            "The third unknown, |g|², is missing: give the equations a column of −1 for it.":
                solved(x[:, :2], squares - rewards.pow(2)),
            "This is the best of the positions that were tried; the goal itself can be had.":
                positions[rewards.argmax()],
        }, case)  # fmt: skip


EXERCISES = {
    "6b.1": Exercise(
        "what was earned from each step on",
        judge_returns,
        (
            "Go backwards: what is earned from step t on is the reward of step t, plus discount"
            " times what is earned from step t + 1 on.",
            "Begin with running = 0 and loop over reversed(rewards); collect the results, and turn"
            " them round at the end.",
            "running, earned = 0.0, []\n"
            "for reward in reversed(rewards):\n"
            "    running = reward + discount * running\n"
            "    earned.insert(0, running)\n"
            "return torch.stack(earned)",
        ),
    ),
    "6b.2": Exercise(
        "the policy gradient as a loss",
        judge_loss,
        (
            "An action is made likelier in proportion to how much better than expected it went on:"
            " the advantage, earned − expected.",
            "Multiply log_p by the advantage (detached), add up over the steps of each episode"
            " (axis 1), take the mean over episodes. Descent makes it smaller: so a minus.",
            "advantage = (earned - expected).detach()\nreturn -(log_p * advantage).sum(1).mean()",
        ),
    ),
    "6b.3": Exercise(
        "where the goal is, from three rewards",
        judge_locate,
        (
            "A reward is r = −|p − g|. Square it: r² = |p|² − 2 p·g + |g|². So each step gives the"
            " equation 2 p·g − |g|² = |p|² − r², which is linear in three unknowns: the two"
            " coordinates of g, and |g|².",
            "As a matrix: the row of position (x, y) is [2x, 2y, −1], its right-hand side"
            " x² + y² − r². torch.linalg.lstsq(rows, right).solution solves it; right must have"
            " shape (n, 1).",
            "rows = torch.cat([2 * positions, -torch.ones(len(positions), 1)], 1)\n"
            "right = positions.pow(2).sum(1) - rewards.pow(2)\n"
            "return torch.linalg.lstsq(rows, right.unsqueeze(1)).solution[:2, 0]",
        ),
    ),
}
