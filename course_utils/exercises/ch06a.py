"""Chapter 06a: fewer ways from more, an honest error, confused pairs, a predictor that peeks."""

import operator
from math import comb

import torch
from torch import Tensor

from course_utils.exercises.exercise import NO_RETURN, Exercise, Mistake, compare


def judge_ways(answer) -> None:
    logits = torch.randn(40, 9, generator=torch.Generator().manual_seed(3))
    y = torch.arange(40) % 9
    logits[torch.arange(40), y] += 1.2
    better = (logits > logits.gather(1, y.unsqueeze(1))).sum(1).tolist()  # (40,)
    worse = (logits < logits.gather(1, y.unsqueeze(1))).sum(1).tolist()

    def mean(share) -> float:
        return sum(map(share, better)) / len(better)

    for ways in (9, 5, 2, 1):
        right = mean(lambda k, w=ways: comb(8 - k, w - 1) / comb(8, w - 1))
        mistakes = {} if ways in (1, 9) else {
            "This is the accuracy among all nine classes: take the mean over all choices of"
            f" {ways - 1} other classes.": mean(lambda k: k == 0),
            f"With {ways} ways there are {ways - 1} other classes to choose, besides the right one;"
            f" you chose {ways}.": mean(lambda k, w=ways: comb(8 - k, w) / comb(8, w)),
            "You drew the other classes with replacement: no class is in a task twice.":
                mean(lambda k, w=ways: ((8 - k) / 8) ** (w - 1)),
            "The right class is among those you choose from: it is in the task anyway, and only the"
            " others are drawn.": mean(lambda k, w=ways: comb(9 - k, w - 1) / comb(9, w - 1)),
            "You count the classes with a smaller logit as better: the largest logit wins.":
                sum(comb(8 - k, ways - 1) / comb(8, ways - 1) for k in worse) / len(worse),
            "This is the sum over the queries: take their mean.": right * len(better),
        }  # fmt: skip
        got = answer(logits.clone(), y.clone(), ways)
        compare(got, right, f"The accuracy at {ways} ways, from logits for 9 classes,", mistakes)


def judge_error(answer) -> None:
    scores = torch.tensor([0.9, 0.8, 1.0, 0.9, 0.4, 0.5, 0.7, 0.6, 0.8])
    judge_one_error(answer, scores, torch.tensor([3, 3, 3, 3, 7, 7, 1, 1, 1]))
    judge_one_error(answer, scores[:7], torch.tensor([2, 5, 8, 8, 2, 0, 0]))


def judge_one_error(answer, scores: Tensor, unit: Tensor) -> None:
    got = answer(scores.clone(), unit.clone())
    if not isinstance(got, (tuple, list)) or len(got) != 2:
        raise Mistake("Return two numbers: the mean, and its standard error.")
    means = torch.stack([scores[unit == u].mean() for u in unit.unique()])
    n, root = len(means), len(means) ** 0.5
    case = f"scores = {[round(v, 1) for v in scores.tolist()]}, unit = {unit.tolist()}"
    compare(got[0], means.mean(), "The mean", {
        "This is the mean over tasks, in which a script with more tasks counts for more: average"
        " within each script first.": scores.mean(),
        "This is the sum over scripts.": means.sum(),
        "This is the standard error: the mean comes first.": means.std() / root,
    }, case)  # fmt: skip
    compare(got[1], means.std() / root, "The standard error", {
        "This takes the tasks as independent, which tasks of one script are not: use the spread of"
        " the scripts' means.": scores.std() / len(scores) ** 0.5,
        "You divided the spread of the tasks by the number of scripts: use the spread of the"
        " scripts' means.": scores.std() / root,
        "This is the standard deviation of the scripts' means: divide by the root of their number.":
            means.std(),
        "Divide by the root of the number of scripts, not by the number.": means.std() / n,
        "Divide by the root of the number of scripts, not of tasks.":
            means.std() / len(scores) ** 0.5,
        "The spread of a few values around their own mean comes out too small: divide by n − 1,"
        " as torch.std does unless told otherwise.": means.std(correction=0) / root,
        "This is the variance: take its root.": means.var() / n,
        "This is half the width of an interval: the standard error is without the 1.96.":
            1.96 * means.std() / root,
    }, case)  # fmt: skip


def judge_confused(answer) -> None:
    y = torch.tensor([0] * 6 + [1] * 6 + [2] * 6 + [4] * 6 + [7] * 6)
    said = y.clone()
    said[:2] = 4  # 0 read as 4 twice
    said[18:20] = 0  # 4 read as 0 twice: four together, the most of any pair
    said[6:9] = 2  # 1 read as 2 three times: the most in one direction
    said[24] = 1
    case = "0 read as 4 twice, 4 read as 0 twice, 1 read as 2 three times, 7 read as 1 once"
    got = answer(said.clone(), y.clone())
    if got is None:
        raise Mistake(NO_RETURN)
    try:
        a, b = (operator.index(v) for v in got)
    except (TypeError, ValueError):
        raise Mistake(f"Return two class numbers, got {got!r}.") from None
    if a == b:
        raise Mistake(
            f"A class can't be confused with itself, got ({a}, {b}): leave out what was read"
            " rightly."
        )
    if {a, b} == {1, 2}:
        raise Mistake(
            "This pair has the most mistakes in one direction. Count both: a read as b, and b read"
            f" as a.\nTried with {case}."
        )
    if (b, a) == (0, 4):
        raise Mistake(f"The right pair; return the smaller number first, got ({a}, {b}).")
    if (a, b) != (0, 4):
        raise Mistake(f"The most confused pair is (0, 4), got ({a}, {b}).\nTried with {case}.")
    got = answer(torch.tensor([5, 2, 2, 9, 9, 5]), torch.tensor([9, 2, 9, 5, 9, 5]))
    if tuple(map(int, got)) != (5, 9):
        raise Mistake(
            "With predictions [5, 2, 2, 9, 9, 5] for [9, 2, 9, 5, 9, 5] the pair is (5, 9), got"
            f" {tuple(map(int, got))}. Does your function assume how many classes there are?"
        )


def predictors() -> list[tuple[str, bool, object]]:
    """Predictors of queries (Q, 3) -> (Q, 2): a name, whether it peeks, and the function."""
    weight = torch.tensor([[1.0, -1.0], [0.5, 2.0], [-2.0, 0.3]])

    def plain(x):
        return x @ weight

    def by_batch(x):
        spread = x.std(0, correction=0) + 1e-5
        return (x - x.mean(0)) / spread @ weight

    def gently(x):  # the largest logit stays where it is
        return x @ weight + 0.01 * x.mean()

    def from_the_last(x):
        return x @ weight + torch.cat([torch.zeros(1), x[:-1, 0]]).unsqueeze(1)

    def to_the_next(x):
        return x @ weight + torch.cat([x[1:, 0], torch.zeros(1)]).unsqueeze(1)

    def by_other_sums(x):  # a batch is added up in another order than a single query
        return plain(x) * (1 + 2e-7 * (len(x) - 1))

    return [
        ("a linear layer", False, plain),
        ("normalisation by the mean and spread of all queries", True, by_batch),
        ("a small shift by the mean of all queries", True, gently),
        ("a look at the query before", True, from_the_last),
        ("a look at the query after", True, to_the_next),
        ("a linear layer, the last digit another in a batch", False, by_other_sums),
        ("a linear layer and softmax", False, lambda x: plain(x).softmax(-1)),
    ]


def judge_peeks(answer) -> None:
    queries = torch.randn(6, 3, generator=torch.Generator().manual_seed(2)) + 0.5
    for name, peeks, predict in predictors():
        got = answer(predict, queries.clone())
        if got is None:
            raise Mistake(NO_RETURN)
        if isinstance(got, Tensor) and got.numel() != 1:
            raise Mistake(f"Return True or False, got a tensor of shape {tuple(got.shape)}.")
        if bool(got) == peeks:
            continue
        if not peeks:
            raise Mistake(
                f"This predictor was {name}, which looks at each query alone, and you said it"
                " peeks. Compare with a small tolerance, as torch.allclose does: a batch and a"
                " single query may differ in the last digit."
            )
        hints = {
            1: "Ask for each query alone, as a batch of one, and compare with the answer that it"
            " gets among the others. (Shuffling the queries does not show this one: mean and spread"
            " don't mind the order.)",
            2: "The winning class stays the same here, the numbers don't: compare logits, not"
            " classes.",
            3: "The first query is answered honestly here: test every query.",
            4: "The last query is answered honestly here: test every query.",
        }
        number = next(i for i, row in enumerate(predictors()) if row[0] == name)
        raise Mistake(f"This predictor peeks ({name}), and you said it does not. {hints[number]}")


EXERCISES = {
    "6a.1": Exercise(
        "the accuracy at fewer ways, from logits for more",
        judge_ways,
        (
            "A query is read rightly if no class that beats the right one was drawn into its task."
            " Count those that beat it: better = (logits[i] > logits[i, y[i]]).sum().",
            "Of all math.comb(others, ways - 1) choices of the other classes,"
            " math.comb(others - better, ways - 1) hold none that is better.",
            "others = logits.shape[1] - 1\n"
            "shares = []\n"
            "for row, c in zip(logits, y):\n"
            "    better = int((row > row[c]).sum())\n"
            "    kept = math.comb(others - better, ways - 1)\n"
            "    shares.append(kept / math.comb(others, ways - 1))\n"
            "return sum(shares) / len(shares)",
        ),
    ),
    "6a.2": Exercise(
        "a mean and its standard error, scripts as units",
        judge_error,
        (
            "First one number for each script: the mean of its tasks' scores. unit.unique() says"
            " which scripts there are.",
            "The standard error of the mean of n values is their standard deviation over √n; here"
            " the values are the scripts' means.",
            "means = torch.stack([scores[unit == u].mean() for u in unit.unique()])\n"
            "return means.mean(), means.std() / len(means) ** 0.5",
        ),
    ),
    "6a.3": Exercise(
        "the pair of classes that are confused most",
        judge_confused,
        (
            "Go through the pairs (said, true) that differ; count each under (smaller, larger).",
            "collections.Counter counts, and its most_common(1) gives the pair counted most.",
            "from collections import Counter\n"
            "pairs = zip(predicted.tolist(), y.tolist())\n"
            "counts = Counter((min(p), max(p)) for p in pairs if p[0] != p[1])\n"
            "return counts.most_common(1)[0][0]",
        ),
    ),
    "6a.4": Exercise(
        "predictors that peek at other queries are caught",
        judge_peeks,
        (
            "A predictor that is honest says the same of a query whether it comes alone or among"
            " others.",
            "Call predict on each query as a batch of one, queries[i : i + 1], and compare all the"
            " answers with predict(queries).",
            "alone = torch.cat([predict(queries[i : i + 1]) for i in range(len(queries))])\n"
            "return not torch.allclose(alone, predict(queries), atol=1e-5)",
        ),
    ),
}
