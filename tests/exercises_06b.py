"""Answers to chapter 06b's exercises: right ones, and planted mistakes with their diagnoses."""

import numpy as np
import torch


def backwards(rewards, discount):
    running, earned = 0.0, []
    for reward in reversed(rewards):
        running = reward + discount * running
        earned.insert(0, running)
    return torch.stack(earned)


def by_matrix(rewards, discount):
    t = torch.arange(len(rewards))
    weight = torch.triu(discount ** (t - t[:, None]).clamp(min=0).float())
    return weight @ rewards


def from_the_start(rewards, discount):
    weights = discount ** torch.arange(len(rewards)).float()
    return (rewards * weights).flip(0).cumsum(0).flip(0)


def without_its_own(rewards, discount):
    return torch.cat([backwards(rewards, discount)[1:], torch.zeros(1)])


def reinforce(log_p, earned, expected):
    return -(log_p * (earned - expected).detach()).sum(1).mean()


def by_einsum(log_p, earned, expected):
    better = earned - expected.data
    return torch.einsum("eh,eh->", log_p, better) / -len(log_p)


def goal(positions, rewards):
    rows = torch.cat([2 * positions, -torch.ones(len(positions), 1)], 1)
    right = positions.pow(2).sum(1) - rewards.pow(2)
    return torch.linalg.lstsq(rows, right.unsqueeze(1)).solution[:2, 0]


def by_differences(positions, rewards):
    """Subtracting the first equation from the others takes |g|² away."""
    p, r = positions.double().numpy(), rewards.double().numpy()
    rows, right = 2 * (p[1:] - p[0]), (p**2).sum(1) - r**2
    return torch.tensor(np.linalg.lstsq(rows, right[1:] - right[0], rcond=None)[0])


def solved(positions, right, factor=2.0, columns=3):
    rows = torch.cat([factor * positions, -torch.ones(len(positions), 1)], 1)[:, :columns]
    return torch.linalg.lstsq(rows, right.unsqueeze(1)).solution[:, 0]


def squares(positions):
    return positions.pow(2).sum(1)


def imagined(model, state, commands):
    way = 0.0
    for command in commands:
        state = model(state, command)
        way = way + 0.05 * state[-1]
    return way


def in_a_list(model, state, commands):
    speeds = []
    for command in commands.unbind():
        state = model(state, command)
        speeds.append(state[2].item())
    return 0.05 * sum(speeds)


def speeds(model, state, commands, follow=True):
    found = [state[2]]
    for command in commands:
        after = model(state, command)
        found.append(after[2])
        state = after if follow else state
    return torch.stack(found)


def refit(commands, way, elite):
    best = commands[way.topk(elite).indices]
    return best.mean(0), best.std(0)


def by_sorting(commands, way, elite):
    order = np.argsort(-way.numpy())[:elite]
    best = commands.numpy()[order]
    return torch.tensor(best.mean(0)), torch.tensor(best.std(0, ddof=1) if elite > 1 else best[0])


CASES = {
    "6b.1": {
        "signature": "rewards, discount",
        "right": [backwards, by_matrix],
        "wrong": {
            "not discounted": lambda r, g: r.flip(0).cumsum(0).flip(0),
            "from the start of the episode": from_the_start,
            "added up what came before. An": lambda r, g: backwards(r.flip(0), g).flip(0),
            "came before, undiscounted": lambda r, g: r.cumsum(0),
            "reward of step t itself is missing": without_its_own,
            "reverse order": lambda r, g: backwards(r, g).flip(0),
            "whole episode at every step": lambda r, g: r.sum().expand(len(r)),
            "as they came": lambda r, g: r,
        },
    },
    "6b.2": {
        "signature": "log_p, earned, expected",
        "right": [reinforce, by_einsum],
        "wrong": {
            "The sign is wrong": lambda p, r, b: -reinforce(p, r, b),
            "baseline is not used": lambda p, r, b: -(p * r).sum(1).mean(),
            "mean over the steps as well": lambda p, r, b: -(p * (r - b)).mean(),
            "added the episodes up": lambda p, r, b: -(p * (r - b)).sum(),
            "used the probability": lambda p, r, b: -(p.exp() * (r - b)).sum(1).mean(),
            "probabilities have no part": lambda p, r, b: -(r - b).sum(1).mean(),
            "was detached": lambda p, r, b: reinforce(p, r, b).detach(),
            "also changes the baseline": lambda p, r, b: -(p * (r - b)).sum(1).mean(),
            "is a mean missing": lambda p, r, b: -(p * (r - b)).sum(1),
        },
    },
    "6b.3": {
        "signature": "positions, rewards",
        "right": [goal, by_differences],
        "wrong": {
            "first two of them": lambda p, r: solved(p, squares(p) - r**2),
            "rewards are not squared": lambda p, r: solved(p, squares(p) - r)[:2],
            "distance is not squared": lambda p, r: solved(p, squares(p) - r.abs())[:2],
            "factor of 2 is lost": lambda p, r: solved(p, squares(p) - r**2, 1.0)[:2],
            "lies opposite": lambda p, r: -goal(p, r),
            "|p|² is missing": lambda p, r: solved(p, -(r**2))[:2],
            "column of −1": lambda p, r: solved(p, squares(p) - r**2, columns=2),
            "best of the positions": lambda p, r: p[r.argmax()],
            "got one of shape": lambda p, r: goal(p, r).unsqueeze(1),
        },
    },
    "6b.4": {
        "signature": "model, state, commands",
        "right": [imagined, in_a_list],
        "wrong": {
            "begins at the first state": lambda m, s, c: 0.05 * speeds(m, s, c, False)[1:].sum(),
            "speeds added up": lambda m, s, c: speeds(m, s, c)[1:].sum(),
            "speed before each step": lambda m, s, c: 0.05 * speeds(m, s, c)[:-1].sum(),
            "One step too many": lambda m, s, c: 0.05 * speeds(m, s, c).sum(),
            "last step's way only": lambda m, s, c: 0.05 * speeds(m, s, c)[-1],
            "mean over the steps": lambda m, s, c: 0.05 * speeds(m, s, c)[1:].mean(),
            "last speed, not a way": lambda m, s, c: speeds(m, s, c)[-1],
        },
    },
    "6b.5": {
        "signature": "commands, way, elite",
        "right": [refit, by_sorting],
        "wrong": {
            "as a pair": lambda c, w, e: refit(c, w, e)[0],
            "went *least* far": lambda c, w, e: refit(c, -w, e),
            "mean of all commands": lambda c, w, e: (c.mean(0), c.std(0)),
            "single best sequence": lambda c, w, e: (c[w.argmax()], c.std(0)),
            "over the steps instead": lambda c, w, e: (c[w.topk(e).indices].mean(1), c.std(0)),
            "first two sequences": lambda c, w, e: refit(c, -torch.arange(len(w)).float(), e),
            "among all commands": lambda c, w, e: (refit(c, w, e)[0], c.std(0)),
            "This is the variance": lambda c, w, e: (refit(c, w, e)[0], refit(c, w, e)[1] ** 2),
            "divided by the number": lambda c, w, e: (
                refit(c, w, e)[0],
                c[w.topk(e).indices].std(0, correction=0),
            ),
        },
    },
}
