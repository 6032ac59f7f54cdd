"""Answers to chapter 01's exercises: right ones, and planted mistakes with their diagnoses."""

import math

import numpy as np
import torch


def nearest(x, y, query):
    return y[(query.unsqueeze(1) - x).abs().argmin(1)]


def nearest_by_loop(x, y, query):
    return torch.stack([min(zip((x - q) ** 2, y, strict=True))[1] for q in query])


def deal(x, y, shots):
    order = torch.randperm(len(x))
    support, query = order[:shots], order[shots:]
    return x[support], y[support], x[query], y[query]


def deal_by_mask(x, y, shots):
    chosen = torch.zeros(len(x), dtype=torch.bool)
    chosen[torch.multinomial(torch.ones(len(x)), shots)] = True
    return x[chosen], y[chosen], x[~chosen], y[~chosen]


def x_before_y(x, y, shots):
    support_x, support_y, query_x, query_y = deal(x, y, shots)
    return support_x, query_x, support_y, query_y


def overlapping(x, y, shots):
    order = torch.randperm(len(x))[:shots]
    return x[order], y[order], x, y


def unshuffled(x, y, shots):
    return x[:shots], y[:shots], x[shots:], y[shots:]


def torn(x, y, shots):
    x, y = x[torch.randperm(len(x))], y[torch.randperm(len(y))]
    return unshuffled(x, y, shots)


def exchanged(x, y, shots):
    support_x, support_y, query_x, query_y = deal(x, y, shots)
    return query_x, query_y, support_x, support_y


def seeded(x, y, shots):
    torch.manual_seed(0)
    return deal(x, y, shots)


def a_window(x, y, shots):
    k = int(torch.randint(1, len(x) - shots, ()))
    inside = torch.arange(len(x)).sub(k).ge(0) & torch.arange(len(x)).lt(k + shots)
    return x[inside], y[inside], x[~inside], y[~inside]


def with_replacement(x, y, shots):
    at = torch.randint(len(x) // 3, (shots,))
    return x[at], y[at], x[len(x) // 3 :], y[len(x) // 3 :]


def break_even(spent, from_scratch, prepared):
    saved = from_scratch - prepared
    return math.ceil(spent / saved) if saved > 0 else math.inf


def break_even_by_counting(spent, from_scratch, prepared):
    if from_scratch <= prepared:
        return math.inf
    tasks = 0
    while tasks * from_scratch < spent + tasks * prepared:
        tasks += 1
    return tasks


CASES = {
    "1.1": {
        "signature": "x, y, query",
        "right": [nearest, nearest_by_loop],
        "wrong": {
            "Take argmin along the other axis": lambda x, y, q: y[
                (q.unsqueeze(1) - x).abs().argmin(0) % len(y)
            ],
            "take their absolute value": lambda x, y, q: y[(q.unsqueeze(1) - x).argmin(1)],
            "with their sign, so far on the other": lambda x, y, q: y[
                (x - q.unsqueeze(1)).argmin(1)
            ],
            "where its height y is wanted": lambda x, y, q: nearest(x, x, q),
            "use it to look up y": lambda x, y, q: (q.unsqueeze(1) - x).abs().argmin(1),
            "and look up y": lambda x, y, q: (q.unsqueeze(1) - x).abs().min(1).values,
            "each with each": lambda x, y, q: y[(x - q).abs().argmin()],
            "should be -2.0000, got 3.0000": lambda x, y, q: y[
                torch.searchsorted(x, q).clamp(max=len(x) - 1)
            ],
            "joined the points by lines": lambda x, y, q: torch.from_numpy(
                np.interp(q, *(part[x.argsort()] for part in (x, y)))
            ).float(),
            "x.argmin(1) the indices": lambda x, y, q: y[(q.unsqueeze(1) - x).abs().min(1)],
            "stand inside the loop": lambda x, y, q: y[(x - q[0]).abs().argmin()],
            "the farthest point": lambda x, y, q: y[(q.unsqueeze(1) - x).abs().argmax(1)],
            "does it end with `return`": lambda x, y, q: None,
        },
    },
    "1.2": {
        "signature": "x, y, shots",
        "right": [deal, deal_by_mask],
        "wrong": {
            "also in the query set": overlapping,
            "draw them at random": unshuffled,
            "always the left end": unshuffled,
            "leave the seed alone": seeded,
            "stretch of neighbours": a_window,
            "all of the 15 other points, got 6": lambda x, y, shots: [
                part[:shots] for part in deal(x, y, shots)
            ],
            "do not belong together": torn,
            "are exchanged": exchanged,
            "draw without replacement": with_replacement,
            "should have 6 points, got 7": lambda x, y, shots: deal(x, y, shots + 1),
            "The order is support x": x_before_y,
            "Return four tensors": lambda x, y, shots: deal(x, y, shots)[:2],
        },
    },
    "1.3": {
        "signature": "spent, from_scratch, prepared",
        "given": {"math": math},
        "right": [break_even, break_even_by_counting],
        "wrong": {
            "only the difference is saved": lambda s, a, b: math.ceil(s / a),
            "must be rounded up": lambda s, a, b: s / a,
            "Costs of both were added": lambda s, a, b: math.ceil(s / (a + b)),
            "From scratch costs more": lambda s, a, b: math.ceil(s / (b - a)) if a != b else 0,
            "You rounded down": lambda s, a, b: s // (a - b) if a > b else math.inf,
            "round up": lambda s, a, b: s / (a - b) if a > b else math.inf,
            "One too many": lambda s, a, b: s // (a - b) + 1 if a > b else math.inf,
            "never paid back": lambda s, a, b: math.ceil(s / (a - b)),
            "got a division by 0": lambda s, a, b: math.ceil(s / (a - b)),
            "got never": lambda s, a, b: math.ceil(s / (a - b)) if a > b else "never",
        },
    },
}
