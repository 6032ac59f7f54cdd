"""Chapter 06c: Tanimoto similarity, the area under the ROC curve, a Gaussian process's mean."""

import torch

from course_utils.exercises.exercise import Exercise, compare


def judge_tanimoto(answer) -> None:
    a = torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0])
    b = torch.tensor([1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0])
    case = "a = [1, 1, 1, 0, 0, 1, 0, 0], b = [1, 0, 1, 0, 1, 0, 0, 0]"
    compare(answer(a.clone(), b.clone()), 2 / 5, "The similarity", {
        "You divided by all bits: only those that are 1 in a or in b count.": 2 / 8,
        "You counted the shared bits twice below: subtract them once.": 2 / 7,
        "This is the distance, 1 − similarity.": 3 / 5,
        "This is Dice's coefficient: 2 · shared / (bits of a + bits of b).": 4 / 7,
        "This is the cosine: divide by the bits in either, not by the lengths.": 2 / 12**0.5,
        "You counted places where both are 0 as agreement: an absent piece says little.": 5 / 8,
        "This is the number of shared bits: divide it by the bits in either.": 2.0,
        "This is the number of bits in either: it belongs below the line.": 5.0,
        "You divided by the bits of a: Tanimoto is the same from both sides.": 2 / 4,
        "You divided by the bits of b: Tanimoto is the same from both sides.": 2 / 3,
    }, case)  # fmt: skip
    what = "Right so far. For a = [1, 1, 1, 0] and b = [1, 1, 1, 1] the similarity"
    compare(answer(torch.tensor([1.0, 1.0, 1.0, 0.0]), torch.ones(4)), 3 / 4, what, {})


def judge_auroc(answer) -> None:
    scores = torch.tensor([0.9, 0.8, 0.8, 0.4, 0.35, 0.1, 0.5])
    labels = torch.tensor([1, 0, 1, 0, 1, 0, 0])
    case = f"scores = {[0.9, 0.8, 0.8, 0.4, 0.35, 0.1, 0.5]}, labels = {labels.tolist()}"
    right = (4 + 3.5 + 1) / 12
    compare(answer(scores.clone(), labels.clone()), right, "The AUROC", {
        "A tie counts half: two molecules of equal score are not yet ranked.": 9 / 12,
        "A tie counts half: your ties count nothing.": 8 / 12,
        "You ranked the wrong way round: active molecules should score higher.": 1 - right,
        "You added the pairs up: take their mean.": 8.5,
        "You divided by all pairs: only those of one active and one inactive count.": 8.5 / 49,
        "You divided by all unordered pairs: only those of one active and one inactive count.":
            8.5 / 21,
        "This is the accuracy at a score of ½: AUROC needs no threshold.": 5 / 7,
    }, case)  # fmt: skip
    got = answer(torch.tensor([-1.0, 3.0, 2.0, 2.5]), torch.tensor([0, 1, 1, 0]))
    compare(got, 3 / 4, "Right so far. For scores = [−1, 3, 2, 2.5], labels = [0, 1, 1, 0] it", {})


def judge_posterior(answer) -> None:
    kernel = torch.tensor([[1.0, 0.5, 0.1], [0.5, 1.0, 0.2], [0.1, 0.2, 1.0]])  # (S, S)
    cross = torch.tensor([[0.6, 0.3, 0.0], [0.1, 0.2, 0.7]])  # (Q, S)
    y, noise = torch.tensor([1.0, -1.0, 1.0]), 0.5
    got = answer(kernel.clone(), cross.clone(), y.clone(), noise)
    eye = torch.eye(3)

    def mean(inside, labels=y):
        return cross @ torch.linalg.solve(inside, labels)

    case = (
        "K = [[1, 0.5, 0.1], [0.5, 1, 0.2], [0.1, 0.2, 1]], k = [[0.6, 0.3, 0], [0.1, 0.2, 0.7]],"
        " y = [1, -1, 1], noise = 0.5"
    )
    compare(got, mean(kernel + noise * eye), "The mean", {
        "The noise is missing: it belongs on the diagonal of K.": mean(kernel),
        "You added the noise to every element of K: it belongs on the diagonal, times"
        " torch.eye(len(y)).": mean(kernel + noise),
        "The inverse is missing: this only weighs the labels by similarity.": cross @ y,
        "You multiplied by K + noise where its inverse is meant.":
            cross @ (kernel + noise * eye) @ y,
        "You squared the noise: here it is a variance already.": mean(kernel + noise**2 * eye),
        "You subtracted the noise from the diagonal: add it.": mean(kernel - noise * eye),
    }, case)  # fmt: skip
    got = answer(kernel[:2, :2].clone(), cross[:, :2].clone(), torch.tensor([1.0, 0.5]), 0.1)
    right = cross[:, :2] @ torch.linalg.solve(kernel[:2, :2] + 0.1 * eye[:2, :2], y.new([1, 0.5]))
    compare(got, right, "Right so far. With two support molecules and noise = 0.1 the mean", {})


EXERCISES = {
    "6c.1": Exercise(
        "Tanimoto similarity",
        judge_tanimoto,
        (
            "The product a * b is 1 where both are; its sum counts the shared bits.",
            "Bits in either: those of a, plus those of b, less the shared ones, which would count"
            " twice.",
            "shared = (a * b).sum()\nreturn shared / (a.sum() + b.sum() - shared)",
        ),
    ),
    "6c.2": Exercise(
        "the chance that an active molecule is ranked above an inactive one",
        judge_auroc,
        (
            "scores[labels == 1] are the scores of the active ones. Compare each of them with each"
            " inactive one: with [:, None] and [None, :] all pairs stand in one matrix.",
            "A pair counts 1 where the difference is above 0, ½ where it is 0. Return the mean over"
            " the pairs.",
            "gap = scores[labels == 1][:, None] - scores[labels == 0][None, :]\n"
            "return ((gap > 0).float() + 0.5 * (gap == 0)).mean()",
        ),
    ),
    "6c.3": Exercise(
        "the mean of a Gaussian process",
        judge_posterior,
        (
            "torch.linalg.solve(A, y) is A⁻¹ y. What is A here, and where does the noise go?",
            "A = K + noise · I; the mean is k times the solution.",
            "A = K + noise * torch.eye(len(y))\nreturn k @ torch.linalg.solve(A, y)",
        ),
    ),
}
