"""Chapter 05: code with bugs of the museum in it, to be mended; the check names those still there.

An image is a number, 100 · class + example, so that the judge sees where each one came from. The
inner loop runs on y = θ x with one number θ, where k steps have a closed form.
"""

import torch
from torch import Tensor

from course_utils.exercises.ch03a import derivative, slope, unchanged
from course_utils.exercises.exercise import Exercise, Mistake, compare, numbers, shown

CLASSES, EXAMPLES = 7, 9
WAYS, SHOTS, QUERIES = 5, 2, 3


def judge_deal(answer) -> None:
    images = (100 * torch.arange(CLASSES).unsqueeze(1) + torch.arange(EXAMPLES)).float()
    dealt = []
    for seed in range(30):  # a bug that shows now and then shows here
        torch.manual_seed(seed)
        dealt.append(checked_form(answer(images.unsqueeze(-1).clone(), WAYS, SHOTS, QUERIES)))
    found = [sentence for sentence, has_it in BUGS.items() if any(has_it(*d) for d in dealt)]
    if found:
        raise Mistake("\n".join([f"Still there, bugs: {len(found)}.", *found]))
    for what, seen in (
        ("classes", {frozenset((sx // 100).tolist()) for sx, *_ in dealt}),
        ("examples", {tuple((sx % 100).tolist()) for sx, *_ in dealt}),
    ):
        if len(seen) == 1:
            raise Mistake(f"The same {what} are dealt every time: draw them at random.")
    if all(in_order(sx, sy) for sx, sy, *_ in dealt):  # by chance in (2 / 120) ** 30
        raise Mistake(
            "Labels follow the order of the classes in the data set: shuffle the classes."
        )


def checked_form(got) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The four tensors, images as whole numbers (n,); Mistake if their shapes are wrong."""
    if not isinstance(got, (tuple, list)) or len(got) != 4:
        raise Mistake("Return four tensors: support_x, support_y, query_x, query_y.")
    support_x, support_y, query_x, query_y = (
        numbers(part, "Each of the four parts", "a tensor") for part in got
    )
    for name, x, y, each in (
        ("support", support_x, support_y, SHOTS),
        ("query", query_x, query_y, QUERIES),
    ):
        n = WAYS * each
        if x.shape != (n, 1) or y.shape != (n,):
            raise Mistake(
                f"With {WAYS} ways and {each} of each, {name}_x should have shape {(n, 1)} and"
                f" {name}_y {(n,)}; got {tuple(x.shape)} and {tuple(y.shape)}."
            )
        if y.is_floating_point():
            raise Mistake(f"{name}_y should hold whole numbers, got {y.dtype}.")
    return support_x.flatten().long(), support_y, query_x.flatten().long(), query_y


def class_twice(sx: Tensor, sy: Tensor, qx: Tensor, qy: Tensor) -> bool:
    return len((sx // 100).unique()) < WAYS


def not_remapped(sx: Tensor, sy: Tensor, qx: Tensor, qy: Tensor) -> bool:
    return not set(sy.tolist()) | set(qy.tolist()) <= set(range(WAYS))


def leaks(sx: Tensor, sy: Tensor, qx: Tensor, qy: Tensor) -> bool:
    return bool(torch.isin(qx, sx).any())


def repeats(sx: Tensor, sy: Tensor, qx: Tensor, qy: Tensor) -> bool:
    """Whether an example stands twice in one set, not for a class's being there twice."""
    return not class_twice(sx, sy, qx, qy) and any(len(x.unique()) < len(x) for x in (sx, qx))


def torn(sx: Tensor, sy: Tensor, qx: Tensor, qy: Tensor) -> bool:
    """Whether one class has two labels, or has another in the query set than in the support set."""
    pairs = {
        (int(x) // 100, int(y))
        for x, y in zip(torch.cat([sx, qx]), torch.cat([sy, qy]), strict=True)
    }
    return not class_twice(sx, sy, qx, qy) and len(pairs) > WAYS


def shared_label(sx: Tensor, sy: Tensor, qx: Tensor, qy: Tensor) -> bool:
    """Whether several classes go by one label."""
    return not class_twice(sx, sy, qx, qy) and len(sy.unique()) < WAYS


def in_order(sx: Tensor, sy: Tensor) -> bool:
    """Whether the classes' numbers rise, or fall, with the label, in whatever order rows come."""
    step = (sx // 100)[sy.argsort()].diff()
    return bool((step >= 0).all() or (step <= 0).all())


BUGS = {
    "· One class comes twice in an episode, under two labels: draw classes without replacement."
    " torch.randperm(n)[:k] does.": class_twice,
    "· The labels are not remapped: in every episode they must be 0 .. ways − 1, whichever classes"
    " were drawn.": not_remapped,
    "· Query leaks into support: an image is in both. Draw shots + queries examples at once,"
    " without replacement, then part them.": leaks,
    "· An image stands twice in one set: draw examples without replacement.": repeats,
    "· Images and labels do not belong together: a class has different labels, within a set or from"
    " support to query.": torn,
    "· Two classes have the same label: in an episode each class needs one of its own.": (
        shared_label
    ),
}


def judge_adapt(answer) -> None:
    x, y, start, lr = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 1.0, 4.0]), 0.5, 0.03
    shrink = 1 - lr * float(2 * x.pow(2).mean())  # what is left of ∂θ after a step
    for steps in (3, 1, 0):
        case = f"theta = {start}, x = [1, 2, 3], y = [2, 1, 4], lr = {lr}, steps = {steps}"
        walked, summed = [start], [start]
        for _ in range(4):
            walked.append(walked[-1] - lr * slope(walked[-1], x, y))
            summed.append(summed[-1] - len(x) * lr * slope(summed[-1], x, y))
        theta = torch.tensor(start, requires_grad=True)
        got = answer(theta, x, y, lr, steps)
        unchanged(theta, start)
        g = slope(start, x, y)
        compare(got, walked[steps], f"θ_i after {steps} steps", {
            "Still there: the gradient is computed once, before the loop, and followed again and"
            " again. It belongs into the loop, at the θ_i reached so far.": start - steps * lr * g,
            "You took the sum of the squared errors where their mean is meant.": summed[steps],
            "This is one step, whatever `steps` says.": walked[1],
            "This is one step too many.": walked[steps + 1],
            "This is one step too few.": walked[max(0, steps - 1)],
            "You walked uphill: the step goes against the gradient.":
                start + steps * lr * g if steps < 2 else float("nan"),
        }, case)  # fmt: skip
        if steps == 0:
            continue
        compare(derivative(got, theta), shrink**steps, "θ_i is right, but its derivative by θ", {
            "Still there: the inner gradient is detached, so this is first-order MAML. Ask"
            " autograd.grad for create_graph=True.": 1.0,
            "Only a part of the steps can be differentiated: does every call of autograd.grad have"
            " create_graph=True?": shrink,
        }, case)  # fmt: skip


def judge_paired(answer) -> None:
    for size, seed in ((50, 0), (30, 1)):
        generator = torch.Generator().manual_seed(seed)
        easy = 100 * torch.rand(size, generator=generator)  # how easy a task is for both, per cent
        a = easy + 5 * torch.rand(size, generator=generator)
        b = easy + 5 * torch.rand(size, generator=generator) - 3
        judge_one_pair(answer, a, b)


def judge_one_pair(answer, a: Tensor, b: Tensor) -> None:
    got = answer(a.clone(), b.clone())
    if not isinstance(got, (tuple, list)) or len(got) != 2:
        raise Mistake("Return two numbers: the mean difference and half the interval's width.")
    difference, n, root = a - b, len(a), len(a) ** 0.5
    mean, half = difference.mean(), 1.96 * difference.std() / root
    compare(got[0], mean, "The mean difference", {
        "This is b − a: a − b is asked for.": -mean,
        "This is the sum of the differences.": difference.sum(),
        "This is an end of the interval: the mean and half the width are asked for.": mean - half,
    })  # fmt: skip
    together, summed = (a.var() + b.var()).sqrt(), a.std() + b.std()
    unpaired = (
        "Still there: the tasks are not paired, so that what makes a task hard for both counts as"
        " noise. Take the spread of a − b, task by task."
    )
    rootless = (
        "Still there: this is how far single tasks scatter. The mean of n tasks scatters √n times"
        " less."
    )
    two_spreads = "And the spread of a difference is not the sum of the two spreads."
    squared = "This is with the variance where the spread belongs, its root: take std for var."
    compare(got[1], half, "Half the width", {
        f"{unpaired}\n{rootless}": 1.96 * together,
        unpaired: 1.96 * together / root,
        rootless: 1.96 * difference.std(),
        f"{unpaired} {two_spreads}\n{rootless}": 1.96 * summed,
        f"{unpaired} {two_spreads}": 1.96 * summed / root,
        f"{squared}\n{rootless}": 1.96 * difference.var(),
        squared: 1.96 * difference.var() / root,
        f"{squared} Then divide by √n.": 1.96 * difference.var() / n,
        "That is divided by n where √n belongs.": 1.96 * difference.std() / n,
        "That is divided by √(n − 1) where √n belongs: torch.std has counted n − 1 already.":
            1.96 * difference.std() / (n - 1) ** 0.5,
        "This is with 1.64 for 1.96, which gives a 90 % interval.": half * 1.64 / 1.96,
        "This is with 1.645 for 1.96, which gives a 90 % interval.": half * 1.645 / 1.96,
        "The factor 1.96 is missing: this is the standard error.": half / 1.96,
        "This is the whole width: half of it is asked for.": 2 * half,
        "This is with 2 for 1.96, a little too wide.": half / 0.98,
        "The spread of a sample divides by n − 1, as torch.std does.":
            1.96 * difference.std(correction=0) / root,
    })  # fmt: skip


def by_means(support: Tensor, labels: Tensor, query: Tensor) -> Tensor:
    """The class with the nearest mean: (S, d), (S,), (Q, d) -> (Q,)."""
    means = torch.stack([support[labels == c].mean(0) for c in range(int(labels.max()) + 1)])
    return torch.cdist(query, means).argmin(1)


def judge_classify(answer) -> None:
    generator = torch.Generator().manual_seed(3)
    labels = torch.tensor([0, 1, 2]).repeat_interleave(4)
    centres = torch.tensor([[0.0, 0.0], [60.0, 1.5], [0.0, 3.0]])
    scale = torch.tensor([20.0, 0.5])  # unscaled, the first feature drowns the second
    support = centres[labels] + scale * torch.randn(12, 2, generator=generator)
    rows = [[2, 0.2], [5, 2.8], [58, 0.4], [62, 2.6], [-8, 3.1], [2000, 1.5]]
    rows.append([-35, 1.9])  # nearest to class 2's mean, but to an example of class 0
    query = torch.tensor(rows, dtype=torch.float32)

    def scaled(by: Tensor) -> tuple[Tensor, Tensor]:
        return (support - by.mean(0)) / by.std(0), (query - by.mean(0)) / by.std(0)

    expected = by_means(scaled(support)[0], labels, scaled(support)[1])

    def ask(rows: Tensor) -> Tensor:
        got = answer(support.clone(), labels.clone(), rows.clone(), 3)
        got = numbers(got, "The classes", f"a tensor of shape ({len(rows)},)")
        if got.is_floating_point() and not torch.equal(got, got.round()):
            raise Mistake(f"Classes are whole numbers, got {shown(got)}.")
        if got.shape != (len(rows),):
            raise Mistake(
                f"For {len(rows)} queries there should be {len(rows)} classes, shape"
                f" ({len(rows)},); got {tuple(got.shape)}."
            )
        return got.long()

    together = ask(query)
    alone = torch.cat([ask(query[i : i + 1]) for i in range(len(query))])
    if not torch.equal(together, alone):
        i = int((together != alone).nonzero()[0, 0])
        raise Mistake(
            f"Still there: query {i} is called class {together[i]} in company and class {alone[i]}"
            " alone. Its answer may not depend on the other queries: take mean and spread from"
            " where you may look, the support set."
        )
    mistakes = {
        "The features are not brought to one scale, so the one with the larger numbers decides.":
            by_means(support, labels, query),
        "The support set is scaled and the queries are not: they no longer live in one space. Do"
        " to a query exactly what was done to the support set.":
            by_means(scaled(support)[0], labels, query),
        "This is the nearest example; the nearest mean is asked for.":
            labels[torch.cdist(*reversed(scaled(support))).argmin(1)],
    }  # fmt: skip
    if not torch.equal(together, expected):
        said = next((s for s, wrong in mistakes.items() if torch.equal(together, wrong)), "")
        raise Mistake(
            f"The classes should be {expected.tolist()}, got {together.tolist()}. {said}".strip()
        )


EXERCISES = {
    "5.1": Exercise(
        "an episode with no class twice, labels remapped, nothing leaked",
        judge_deal,
        (
            "torch.randint draws with replacement. torch.randperm(n)[:k] gives k different numbers"
            " below n.",
            "One permutation of a class's examples serves both sets: its first `shots` numbers are"
            " support, the next `queries` query. The labels are torch.arange(ways), whichever"
            " classes were drawn.",
            "classes = torch.randperm(len(images))[:ways]\n"
            "examples = torch.randperm(images.shape[1])[: shots + queries]\n"
            "x = images[classes][:, examples]  # (ways, shots + queries, ...)\n"
            "labels = torch.arange(ways)\n"
            "support_y, query_y = labels.repeat_interleave(shots),"
            " labels.repeat_interleave(queries)\n"
            "return x[:, :shots].flatten(0, 1), support_y, x[:, shots:].flatten(0, 1), query_y",
        ),
    ),
    "5.2": Exercise(
        "every step at the θ_i reached so far, and all of them differentiable",
        judge_adapt,
        (
            "What changes from step to step has to be computed in the loop. What does the gradient"
            " depend on?",
            "Both lines, the loss and its gradient, move into the loop; and the gradient must be"
            " differentiable itself: create_graph=True.",
            "for _ in range(steps):\n"
            "    loss = ((theta * x - y) ** 2).mean()\n"
            "    (gradient,) = torch.autograd.grad(loss, theta, create_graph=True)\n"
            "    theta = theta - lr * gradient\n"
            "return theta",
        ),
        seconds=60.0,  # torch.func, if it is used, takes its time to load
    ),
    "5.3": Exercise(
        "a paired comparison",
        judge_paired,
        (
            "Both learners had the same tasks: subtract task by task first, then look at how much"
            " these differences scatter.",
            "The standard error of a mean of n numbers is their standard deviation divided by √n;"
            " 1.96 of them reach to the end of a 95 % interval.",
            "difference = a - b\n"
            "return difference.mean(), 1.96 * difference.std() / len(difference) ** 0.5",
        ),
    ),
    "5.4": Exercise(
        "a prediction that does not depend on the other queries",
        judge_classify,
        (
            "Which numbers in the function change when another query is added?",
            "Mean and spread have to come from the support set, for the support set and for the"
            " queries alike. Keep them before you overwrite support_x.",
            "mean, spread = support_x.mean(0), support_x.std(0)\n"
            "support_x, query_x = (support_x - mean) / spread, (query_x - mean) / spread\n"
            "means = torch.stack([support_x[support_y == c].mean(0) for c in range(ways)])\n"
            "return torch.cdist(query_x, means).argmin(1)",
        ),
    ),
}
