"""Chapter 06b: returns, the policy gradient, where the goal is; imagining and planning."""

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


# --- 6b.4 ----------------------------------------------------------------------------------------

STEP, HEAVY = 0.05, 0.5


def slow_body(state: Tensor, command: Tensor) -> Tensor:
    """A body of three numbers, of which the last is the forward velocity: (3,), (2,) -> (3,)."""
    change = torch.stack([state[2] * STEP, -state[0], command[0] - HEAVY * state[2] + state[1]])
    return state + change


def judge_imagine(answer) -> None:
    for state, commands in (
        ([0.5, 0.25, 1.0], [[1.0, 0.0], [0.5, 1.0], [-1.0, 0.0]]),
        ([0.0, 1.0, -0.5], [[0.0, 0.5], [1.0, 1.0]]),
    ):
        state, commands = torch.tensor(state), torch.tensor(commands)
        states = [state]
        for command in commands:
            states.append(slow_body(states[-1], command))
        still = [slow_body(state, command) for command in commands]
        speed = torch.stack([s[2] for s in states])

        got = answer(slow_body, state.clone(), commands.clone())
        case = f"state = {state.tolist()}, commands = {commands.tolist()}"
        compare(got, STEP * speed[1:].sum(), "The way forward", {
            "Every step begins at the first state again: what a command leads to is where the next"
            " one begins.": STEP * torch.stack([s[2] for s in still]).sum(),
            "These are speeds added up: in a step of 0.05 s, a speed of 1 makes 0.05 m.":
                speed[1:].sum(),
            "You took the speed before each step. Take the one that it leads to.":
                STEP * speed[:-1].sum(),
            "One step too many is counted: the speed at the beginning was not brought about by any"
            " of these commands.": STEP * speed.sum(),
            "This is the last step's way only: add up all steps.": STEP * speed[-1],
            "This is a mean over the steps: a way is their sum.": STEP * speed[1:].mean(),
            "You added up the first number of the states; the forward velocity is the last.":
                STEP * torch.stack([s[0] for s in states[1:]]).sum(),
            "This is the last speed, not a way.": speed[-1],
        }, case)  # fmt: skip


# --- 6b.5 ----------------------------------------------------------------------------------------


def judge_refit(answer) -> None:
    commands = torch.tensor(  # (n, H, motors)
        [[[0.5, -1.0], [1.0, 0.0]], [[-0.5, 0.5], [0.0, 1.0]], [[1.0, 0.0], [0.5, -0.5]],
         [[-1.0, 1.0], [-0.5, 0.5]]]
    )  # fmt: skip
    way = torch.tensor([2.0, 0.5, 3.0, -1.0])
    got = answer(commands.clone(), way.clone(), 2)
    if not (isinstance(got, tuple) and len(got) == 2):
        raise Mistake("Return two tensors, the mean and the deviation of the elite, as a pair.")
    elite, worst = commands[[2, 0]], commands[[3, 1]]
    case = f"commands = {commands.tolist()}, way = {way.tolist()}, elite = 2"
    compare(got[0], elite.mean(0), "The mean", {
        "These are the commands that went *least* far: take the largest ways.": worst.mean(0),
        "This is the mean of all commands: only the elite may have a say.": commands.mean(0),
        "This is the single best sequence: take the mean over the elite.": commands[2],
        "You averaged over the steps instead of over the elite.": elite.mean(1),
        "These are the first two sequences, whatever they led to: sort them by way first.":
            commands[:2].mean(0),
    }, case)  # fmt: skip
    compare(got[1], elite.std(0), "The mean is right. The deviation", {
        "This is the deviation among all commands: take the elite's.": commands.std(0),
        "This is the variance: its root is wanted.": elite.var(0),
        "You divided by the number of the elite. Take one less, as torch's std does of itself.":
            elite.std(0, correction=0),
    }, case)  # fmt: skip
    got = answer(commands[:3].clone(), torch.tensor([1.0, 3.0, 2.0]), 3)
    compare(got[0], commands[:3].mean(0), "Right so far. With three sequences, all elite, the mean",
            {})  # fmt: skip


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
    "6b.4": Exercise(
        "how far commands lead, in imagination",
        judge_imagine,
        (
            "Send the first command to the model, look at the state that comes back, go on from"
            " there with the second.",
            "Keep `way = 0.0` and replace `state` in a loop over the commands; after each step add"
            " 0.05 times the last number of the new state.",
            "way = 0.0\n"
            "for command in commands:\n"
            "    state = model(state, command)\n"
            "    way = way + 0.05 * state[-1]\n"
            "return way",
        ),
    ),
    "6b.5": Exercise(
        "what the elite agree on",
        judge_refit,
        (
            "Two things: find which sequences led farthest, then describe these few by a mean and"
            " a deviation, for each step and motor its own.",
            "way.topk(elite).indices are the numbers of the best; commands[...] with them is"
            " (elite, H, motors). Mean and std go over the first axis.",
            "best = commands[way.topk(elite).indices]\nreturn best.mean(0), best.std(0)",
        ),
    ),
}
