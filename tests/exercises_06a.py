"""Answers to chapter 06a's exercises: right ones, and planted mistakes with their diagnoses."""

import itertools
import math
from collections import Counter

import torch


def fewer_ways(logits, y, ways):
    others = logits.shape[1] - 1
    better = (logits > logits.gather(1, y.unsqueeze(1))).sum(1)
    share = [math.comb(others - k, ways - 1) / math.comb(others, ways - 1) for k in better.tolist()]
    return sum(share) / len(share)


def by_all_choices(logits, y, ways):
    right = []
    for row, c in zip(logits, y.tolist(), strict=True):
        others = [k for k in range(len(row)) if k != c]
        for chosen in itertools.combinations(others, ways - 1):
            right.append(all(row[c] > row[k] for k in chosen))
    return torch.tensor(right).float().mean()


def by_formula(share, sign=1):
    """The mean over queries of share(number that is better, number of other classes, ways)."""

    def answer(logits, y, ways):
        logits = sign * logits
        better = (logits > logits.gather(1, y.unsqueeze(1))).sum(1).tolist()
        return sum(share(k, logits.shape[1] - 1, ways) for k in better) / len(better)

    return answer


def units(scores, unit):
    return torch.stack([scores[unit == u].mean() for u in unit.unique()])


def error(spread, over):
    return lambda scores, unit: (units(scores, unit).mean(), spread(scores, unit) / over(scores))


def by_bincount(scores, unit):
    count = torch.bincount(unit)
    means = (torch.bincount(unit, scores) / count)[count > 0]
    return means.mean().item(), (means.var() / len(means)).sqrt().item()


def counted(predicted, y, key):
    pairs = [(p, t) for p, t in zip(predicted.tolist(), y.tolist(), strict=True) if p != t]
    return Counter(key(p, t) for p, t in pairs).most_common(1)[0][0]


def most_confused(predicted, y):
    return counted(predicted, y, lambda p, t: (min(p, t), max(p, t)))


def by_matrix(predicted, y):
    size = int(max(predicted.max(), y.max())) + 1
    counts = torch.zeros(size, size)
    counts.index_put_((y, predicted), torch.ones(len(y)), accumulate=True)
    both = (counts + counts.T).triu(1)
    return divmod(both.argmax().item(), size)


def with_diagonal(predicted, y):
    pairs = zip(predicted.tolist(), y.tolist(), strict=True)
    return Counter((min(p), max(p)) for p in pairs).most_common(1)[0][0]


def five_classes(predicted, y):
    return (0, 4) if len(y) == 30 else (2, 9)


def alone(predict, queries):
    return torch.cat([predict(queries[i : i + 1]) for i in range(len(queries))])


def peeks(predict, queries):
    return not torch.allclose(alone(predict, queries), predict(queries), atol=1e-5)


def peeks_by_leaving_out(predict, queries):
    whole = predict(queries)
    for i in range(len(queries)):
        keep = torch.arange(len(queries)) != i
        if (predict(queries[keep]) - whole[keep]).abs().max() > 1e-5:
            return True
    return False


def by_shuffling(predict, queries):
    order = torch.arange(len(queries)).flip(0)
    return not torch.allclose(predict(queries[order]), predict(queries)[order], atol=1e-5)


CASES = {
    "6a.1": {
        "signature": "logits, y, ways",
        "given": {"math": math},
        "right": [fewer_ways, by_all_choices],
        "wrong": {
            "accuracy among all nine classes": by_formula(lambda k, n, w: k == 0 or w == 1),
            "you chose 5": by_formula(
                lambda k, n, w: (k == 0) if w > n else math.comb(n - k, w) / math.comb(n, w)
            ),
            "with replacement": by_formula(
                lambda k, n, w: (k == 0) if w > n else ((n - k) / n) ** (w - 1)
            ),
            "The right class is among those": by_formula(
                lambda k, n, w: (
                    (k == 0) if w > n else math.comb(n + 1 - k, w - 1) / math.comb(n + 1, w - 1)
                )
            ),
            "the largest logit wins": lambda logits, y, w: fewer_ways(
                logits if w == 9 else -logits, y, w
            ),
            "take their mean": lambda logits, y, w: (
                fewer_ways(logits, y, w) * (1 if w == 9 else len(y))
            ),
            "should be 1.0000": lambda logits, y, w: fewer_ways(logits, y, max(w, 2)),
            "is a mean missing": lambda logits, y, w: torch.ones(len(y)),
            "does it end with `return`": lambda *a: None,
        },
    },
    "6a.2": {
        "signature": "scores, unit",
        "right": [
            lambda s, u: (units(s, u).mean(), units(s, u).std() / len(units(s, u)) ** 0.5),
            by_bincount,
        ],
        "wrong": {
            "average within each script first": lambda s, u: (s.mean(), s.std() / 3),
            "sum over scripts": lambda s, u: (units(s, u).sum(), s.std()),
            "the mean comes first": lambda s, u: (units(s, u).std() / 3**0.5, units(s, u).mean()),
            "without the 1.96": error(lambda s, u: 1.96 * units(s, u).std(), lambda s: 3**0.5),
            "as the mean of nothing is": lambda s, u: (
                torch.stack([s[u == k].mean() for k in range(8)]).mean(),
                s.std(),
            ),
            "which tasks of one script are not": error(lambda s, u: s.std(), lambda s: 3),
            "spread of the tasks by the number of scripts": error(
                lambda s, u: s.std(), lambda s: 3**0.5
            ),
            "standard deviation of the scripts' means": error(
                lambda s, u: units(s, u).std(), lambda s: 1
            ),
            "not by the number": error(lambda s, u: units(s, u).std(), lambda s: 3),
            "divide by n − 1": error(lambda s, u: units(s, u).std(correction=0), lambda s: 3**0.5),
            "take its root": error(lambda s, u: units(s, u).var(), lambda s: 3),
            "Return two numbers": lambda s, u: units(s, u).mean(),
        },
    },
    "6a.3": {
        "signature": "predicted, y",
        "right": [most_confused, by_matrix],
        "wrong": {
            "the most mistakes in one direction": lambda p, y: counted(p, y, lambda a, b: (a, b)),
            "can't be confused with itself": with_diagonal,
            "the smaller number first": lambda p, y: most_confused(p, y)[::-1],
            "The most confused pair is (0, 4), got (1, 7)": lambda p, y: (1, 7),
            "how many classes there are": five_classes,
            "Return two class numbers": lambda p, y: 4,
        },
    },
    "6a.4": {
        "signature": "predict, queries",
        "right": [peeks, peeks_by_leaving_out],
        "wrong": {
            "mean and spread don't mind the order": by_shuffling,
            "compare logits, not classes": lambda predict, q: bool(
                (alone(predict, q).argmax(1) != predict(q).argmax(1)).any()
            ),
            "The first query is answered honestly": lambda predict, q: (
                not torch.allclose(predict(q[:1]), predict(q)[:1], atol=1e-5)
            ),
            "The last query is answered honestly": lambda predict, q: (
                not torch.allclose(predict(q[-1:]), predict(q)[-1:], atol=1e-5)
            ),
            "Compare with a small tolerance": lambda predict, q: (
                not torch.equal(alone(predict, q), predict(q))
            ),
            "which looks at each query alone": lambda predict, q: True,
            "True or False": lambda predict, q: (alone(predict, q) - predict(q)).abs() > 1e-5,
        },
    },
}
