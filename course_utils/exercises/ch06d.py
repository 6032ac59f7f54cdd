"""Chapter 06d: bits per character, smoothing by absolute discounting, mixing two models."""

import torch

from course_utils.exercises.exercise import Exercise, compare


def judge_bits(answer) -> None:
    p = torch.tensor([0.5, 0.25, 0.125, 0.5])
    got = answer(p.clone())
    bits = -p.log2()  # 1, 2, 3, 1
    compare(got, bits.mean(), "The bits per character", {
        "These are nats: take the logarithm to base 2, torch.log2, or divide by log 2.":
            -p.log().mean(),
        "The sign is the wrong way round: a probability below 1 costs a positive number of bits.":
            -bits.mean(),
        "You added the letters up: divide by their number.": bits.sum(),
        "You took the logarithm of the mean: take the mean of the logarithms.": -p.mean().log2(),
        "This weighs the letters by p, as an entropy does: each letter that came counts once.":
            -(p * p.log2()).sum(),
        "This weighs the letters by p: each letter that came costs −log₂ p, once.":
            -(p * p.log2()).mean(),
        "This is the mean probability: a letter costs minus the logarithm of it.": p.mean(),
        "This is perplexity, 2 to the power of the bits: leave the power out.": 2 ** bits.mean(),
    }, "p = [0.5, 0.25, 0.125, 0.5]")  # fmt: skip
    what = "Right so far. For p = [0.25, 0.0625] the bits per character"
    compare(answer(torch.tensor([0.25, 0.0625])), 3.0, what, {})


def judge_smooth(answer) -> None:
    counts = torch.tensor([3.0, 0.0, 1.0, 0.0])
    lower = torch.tensor([0.1, 0.4, 0.2, 0.3])
    d = 0.5
    case = f"counts = {counts.tolist()}, lower = [0.1, 0.4, 0.2, 0.3], discount = {d}"
    got = answer(counts.clone(), lower.clone(), d)
    kept = (counts - d).clamp(min=0)
    compare(got, (kept + d * 2 * lower) / 4, "The smoothed probabilities", {
        "Letters never seen went below nought: a count can't give up more than it has (clamp).":
            (counts - d + d * 2 * lower) / 4,
        "Each kind of letter seen gave up a discount: there are two kinds, so 2 · discount is dealt"
        " out, not one.": (kept + d * lower) / 4,
        "What is dealt out comes from the letters seen, two kinds, not from all four.":
            (kept + d * 4 * lower) / 4,
        "What was gained is not dealt out: add discount · kinds · lower.": kept / 4,
        "What was gained is not dealt out, but spread over the letters seen: use lower.":
            kept / kept.sum(),
        "You dealt it out in equal parts: lower says who gets how much.":
            (kept + d * 2 / 4) / 4,
        "These are counts still: divide by their total.": kept + d * 2 * lower,
        "The discount is not used: these are the plain shares.": counts / 4,
        "You divided only the first part by the total.": kept / 4 + d * 2 * lower,
    }, case)  # fmt: skip
    case = "counts = [0, 0, 0, 0]: with nothing counted, the lower order speaks alone"
    compare(
        answer(torch.zeros(4), lower.clone(), d),
        lower,
        "For a context never seen the probabilities",
        {},
        case,
    )


def judge_mix(answer) -> None:
    p, q, w = torch.tensor([0.7, 0.2, 0.1]), torch.tensor([0.1, 0.3, 0.6]), 0.25
    case = "p = [0.7, 0.2, 0.1], q = [0.1, 0.3, 0.6], given as logarithms, weight = 0.25"
    got = answer(p.log(), q.log(), w)
    both = w * p + (1 - w) * q
    compare(got, both.log(), "The logarithms of the mixed probabilities", {
        "You mixed the logarithms: mix the probabilities, then take the logarithm.":
            w * p.log() + (1 - w) * q.log(),
        "The weights are exchanged: `weight` is the first model's.": ((1 - w) * p + w * q).log(),
        "These are probabilities: take their logarithm.": both,
        "You gave both the same weight.": ((p + q) / 2).log(),
        "You multiplied the probabilities: that asks for both models' consent. Add them up.":
            p.log() + q.log(),
    }, case)  # fmt: skip
    deep = answer(torch.tensor([-300.0]), torch.tensor([-310.0]), 0.5)
    case = "log p = −300, log q = −310, weight = 0.5; torch.logaddexp never leaves the logarithms"
    compare(
        deep, torch.tensor([-300.69310]), "For very small probabilities the logarithm", {}, case
    )


EXERCISES = {
    "6d.1": Exercise(
        "bits per character",
        judge_bits,
        (
            "A letter that was given probability p costs −log₂ p bits.",
            "torch.log2 takes the logarithm; then the mean over letters.",
            "return -torch.log2(p).mean()",
        ),
    ),
    "6d.2": Exercise(
        "one order of a smoothed n-gram",
        judge_smooth,
        (
            "Three parts: what each count keeps, what is dealt out, the total to divide by. If the"
            " total is nought, return lower.",
            "Kept: (counts - discount).clamp(min=0). Dealt out: discount times the number of"
            " letters seen, (counts > 0).sum(), shared as lower says.",
            "total = counts.sum()\n"
            "if total == 0:\n"
            "    return lower\n"
            "kinds = (counts > 0).sum()\n"
            "return ((counts - discount).clamp(min=0) + discount * kinds * lower) / total",
        ),
    ),
    "6d.3": Exercise(
        "two models mixed",
        judge_mix,
        (
            "The mixed probability is weight · p + (1 − weight) · q; its logarithm is wanted.",
            "log(weight · p) = log p + log weight; torch.logaddexp(a, b) is log(exp a + exp b).",
            "return torch.logaddexp(log_p + math.log(weight), log_q + math.log(1 - weight))",
        ),
    ),
}
