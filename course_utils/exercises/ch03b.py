"""Chapter 03b: prototypes, distances, an episode's loss, attention, a linear head.

One task with three classes in two dimensions, so that everything can be drawn on paper; the
support examples are not in the order of their classes.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from course_utils.exercises.exercise import Exercise, Mistake, compare

SUPPORT = torch.tensor([[0.0, 1.0], [4.0, 0.5], [2.0, 2.0], [6.0, 1.5], [-2.0, 5.0], [1.0, 3.0]])
LABELS = torch.tensor([0, 2, 0, 2, 1, 1])
QUERY = torch.tensor([[1.0, 1.0], [5.0, -1.0], [-1.0, 3.0], [2.0, 0.0]])


def of_class(c: int, z: Tensor = SUPPORT) -> Tensor:
    """The examples of class c."""
    return z[LABELS.eq(c)]


CENTRES = torch.stack([of_class(c).mean(0) for c in range(3)])  # (3, 2)
CASE = f"support_z = {SUPPORT.tolist()}, support_y = {LABELS.tolist()}"
COLUMNS = "The labels 3, 7 and 9 were taken for column numbers"
REMAP = "remap them to 0 .. ways − 1 in this task."


def as_table(got: object, shape: tuple[int, int], turned: str) -> Tensor | object:
    """`got`, or Mistake(turned) where it is a tensor with its two axes exchanged."""
    if isinstance(got, Tensor) and got.shape == shape[::-1] != shape:
        raise Mistake(turned)
    return got


def judge_prototypes(answer) -> None:
    got = answer(SUPPORT.clone(), LABELS.clone(), 3)
    if isinstance(got, (list, tuple)):
        raise Mistake("Put the prototypes into one tensor of shape (ways, d): torch.stack.")
    if isinstance(got, Tensor) and got.shape == (3,):
        raise Mistake(
            "You have one number a class: the mean went over the features, axis 1. Average over"
            " the examples, axis 0, and keep the features."
        )
    if isinstance(got, Tensor) and got.shape == (6,):
        raise Mistake("The prototypes lie end to end: torch.stack puts one below the other.")
    if isinstance(got, Tensor) and got.shape == (2,):
        raise Mistake(
            "This is a single point for all classes: each class has a prototype of its own."
        )
    got = as_table(got, (3, 2), "The axes are exchanged: one row for each class, (ways, d).")
    shifted = torch.stack([of_class(c).mean().expand(2) for c in range(3)])
    sums = torch.stack([of_class(c).sum(0) for c in range(3)])
    compare(got, CENTRES, "The prototypes", {
        "This adds a class's embeddings up where their mean is meant.": sums,
        "You divided by the size of the whole support set: divide by the number of examples of"
        " the class.": sums / 6,
        "You took the support set to be sorted by class, two and two: look at support_y.":
            SUPPORT.view(3, 2, 2).mean(1),
        "You took the support set to come in rounds, one example of each class after the other:"
        " look at support_y.": SUPPORT.view(2, 3, 2).mean(0),
        "This is the first example of each class: take the mean of all of them.":
            torch.stack([of_class(c)[0] for c in range(3)]),
        "This is the last example of each class: take the mean of all of them.":
            torch.stack([of_class(c)[-1] for c in range(3)]),
        "The mean went over examples and features alike: say which axis, mean(0).": shifted,
        "All classes have the same point: select the examples of one class before averaging.":
            SUPPORT.mean(0).expand(3, 2),
        "These are the right points in the order in which the classes come up in support_y:"
        " row c must belong to class c.": CENTRES[[0, 2, 1]],
    }, CASE)  # fmt: skip
    unequal, labels = SUPPORT[:5], LABELS[:5]
    expected = torch.stack([unequal[labels == c].mean(0) for c in range(3)])
    what = "Right for two examples a class. With one class that has only one, the prototypes"
    halves = torch.stack([unequal[labels == c].sum(0) / 2 for c in range(3)])
    compare(answer(unequal.clone(), labels.clone(), 3), expected, what, {
        "You divided by the same number for all: each class has its own number of examples.":
            halves,
    })  # fmt: skip


def judge_logits(answer) -> None:
    what = "Right for these. For two queries alone, the first and the third, the logits"
    judge_all_logits(answer)
    two = QUERY[[0, 2]]
    got = answer(two.clone(), CENTRES.clone())
    compare(got, -torch.cdist(two, CENTRES).pow(2), what, {})


def judge_all_logits(answer) -> None:
    case = f"query_z = {QUERY.tolist()}, prototypes = {CENTRES.tolist()}"
    squares = torch.cdist(QUERY, CENTRES).pow(2)  # (4, 3)
    turned = (
        "The axes are exchanged: row q must hold the query's logits, one for each prototype, so"
        " the shape is (Q, ways)."
    )
    got = as_table(answer(QUERY.clone(), CENTRES.clone()), (4, 3), turned)
    if isinstance(got, Tensor) and got.shape == (4, 3, 2):
        raise Mistake("The features are still there: add their squared differences up, sum(-1).")
    if isinstance(got, Tensor) and got.shape == (4,) and not got.is_floating_point():
        raise Mistake("You chose a class already: logits are one number for every class.")
    compare(got, -squares, "The logits", {
        "This is the distance itself. ProtoNet has it squared: leave the root out.":
            -squares.sqrt(),
        "The sign is missing: the nearest class must have the largest logit.": squares,
        "The sign is missing, and the square: −‖z − c‖² is wanted.": squares.sqrt(),
        "You took the mean over the features where their sum is meant.": -squares / 2,
        "These are the sums of absolute differences: square the differences.":
            -torch.cdist(QUERY, CENTRES, 1),
        "These are probabilities: cross-entropy applies the softmax itself.":
            (-squares).softmax(1),
        "You applied a softmax over the queries.": (-squares).softmax(0),
        "These are log-probabilities, which lead to the same loss; but the distances are gone,"
        " which are asked for.": (-squares).log_softmax(1),
        "These are cosines: they forget how far from the origin a point lies.":
            F.normalize(QUERY, dim=1) @ F.normalize(CENTRES, dim=1).T,
        "These are inner products: subtract first, then square.": QUERY @ CENTRES.T,
        "The part −‖z‖² is missing. A softmax would not miss it; but distances are asked for.":
            QUERY.pow(2).sum(1, keepdim=True) - squares,
        "The squares came after the sum: square each feature's difference, then add up.":
            -(QUERY.unsqueeze(1) - CENTRES).sum(-1).pow(2),
    }, case)  # fmt: skip


def encode(x: Tensor) -> Tensor:
    """The embedding that 3b.3 is tried with: (n, 2) -> (n, 2)."""
    return x @ torch.tensor([[0.5, 0.2], [-0.3, 0.4]])


def judge_episode(answer) -> None:
    names = torch.tensor([3, 7, 9])  # what the three classes are called in the data
    support_y, query_y = names[LABELS], names[torch.tensor([0, 2, 2, 0])]  # no query of class 7
    case = (
        f"support_x = {SUPPORT.tolist()}, support_y = {support_y.tolist()},"
        f" query_x = {QUERY.tolist()}, query_y = {query_y.tolist()}"
    )
    try:
        got = answer(encode, SUPPORT.clone(), support_y, QUERY.clone(), query_y)
    except (IndexError, RuntimeError) as error:
        if "out of bounds" in str(error):
            raise Mistake(
                f"Your code raised {type(error).__name__}: {error}\nThe labels are those of the"
                f" data, 3, 7 and 9, and cross-entropy takes them for column numbers: {REMAP}"
            ) from None
        raise
    z, q = encode(SUPPORT), encode(QUERY)
    centres = torch.stack([of_class(c, z).mean(0) for c in range(3)])
    logits = -torch.cdist(q, centres).pow(2)
    target, alone = torch.tensor([0, 2, 2, 0]), torch.tensor([0, 1, 1, 0])
    ten = torch.zeros(4, 10)
    ten[:, names] = logits
    nulls = torch.zeros(10, 2)
    nulls[names] = centres
    origin = -torch.cdist(q, nulls).pow(2)
    from_query = torch.stack([q[[0, 3]].mean(0), centres[1], q[[1, 2]].mean(0)])
    expected = F.cross_entropy(logits, target)
    compare(got, expected, "The loss", {
        "The distance is not squared.": F.cross_entropy(-torch.cdist(q, centres), target),
        "You measured on the support set: the query set is the judge.":
            F.cross_entropy(-torch.cdist(z, centres).pow(2), LABELS),
        "The query labels were remapped on their own. No query of class 7 was drawn here, so they"
        " became 0 and 1 where the prototypes are 0, 1, 2: one mapping for both, made from"
        " support_y.": F.cross_entropy(logits, alone),
        f"{COLUMNS}, with no prototypes in the others: {REMAP}":
            F.cross_entropy(ten, names[target]),
        f"{COLUMNS}, with prototypes at the origin in the others: {REMAP}":
            F.cross_entropy(origin, names[target]),
        "The softmax went over the queries, axis 0: it belongs to the classes, axis 1.":
            -logits.log_softmax(0)[torch.arange(4), target].mean(),
        "A softmax was taken twice: cross-entropy has its own.":
            F.cross_entropy(logits.softmax(1), target),
        "The sign is wrong: the nearest prototype must have the largest logit.":
            F.cross_entropy(-logits, target),
        "You added the queries up: take their mean.": F.cross_entropy(logits, target) * 4,
        "The sign of the whole is wrong: the loss is minus the logarithm of a probability.":
            -expected,
        "The encoder was not used: compare embeddings, not inputs.": F.cross_entropy(
            -torch.cdist(QUERY, CENTRES).pow(2), target),
        "Only the support set was embedded: the query goes through the same encoder.":
            F.cross_entropy(-torch.cdist(QUERY, centres).pow(2), target),
        "The prototypes are means of the query set, on which the task is judged: take those of the"
        " support set.": F.cross_entropy(-torch.cdist(q, from_query).pow(2), target),
    }, case)  # fmt: skip
    if not (isinstance(got, Tensor)):
        raise Mistake("The number is right, but it is no tensor: the encoder could not be trained.")
    weights = torch.eye(2, requires_grad=True)
    loss = answer(lambda x: encode(x) @ weights, SUPPORT, support_y, QUERY, query_y)
    if not loss.requires_grad:
        raise Mistake(
            "The number is right, but it was detached: the encoder would not learn from it."
        )


def judge_attention(answer) -> None:
    case = f"query_z = {QUERY.tolist()}, {CASE}, temperature = 0.5"
    got = answer(QUERY.clone(), SUPPORT.clone(), LABELS.clone(), 3, 0.5)
    cosines = F.normalize(QUERY, dim=1) @ F.normalize(SUPPORT, dim=1).T  # (4, 6)
    hot = F.one_hot(LABELS).float()
    attention = (cosines / 0.5).softmax(1)
    turned = "The axes are exchanged: one row for every query, so the shape is (Q, ways)."
    if isinstance(got, Tensor) and got.shape == (4, 6):
        raise Mistake(
            "This is the attention to each of the six examples: add it up over the examples of"
            " each class, and (Q, ways) is left."
        )
    got = as_table(got, (4, 3), turned)
    products = QUERY @ SUPPORT.T
    compare(got, attention @ hot, "The probabilities", {
        "The softmax went over the queries: each query spreads its attention over the support"
        " examples, axis 1.": (cosines / 0.5).softmax(0) @ hot,
        "These are inner products, not cosines: divide by both lengths.":
            (products / 0.5).softmax(1) @ hot,
        "The embeddings were normed along the wrong axis: each row must get length 1.":
            (F.normalize(QUERY, dim=0) @ F.normalize(SUPPORT, dim=0).T / 0.5).softmax(1) @ hot,
        "The support was not normed: divide by the lengths of query and support embedding.":
            (F.normalize(QUERY, dim=1) @ SUPPORT.T / 0.5).softmax(1) @ hot,
        "The query was not normed: divide by the lengths of query and support embedding.":
            (QUERY @ F.normalize(SUPPORT, dim=1).T / 0.5).softmax(1) @ hot,
        "The temperature was not used: divide the cosines by it.": cosines.softmax(1) @ hot,
        "The cosines were multiplied by the temperature: divide.": (cosines * 0.5).softmax(1) @ hot,
        "You averaged within each class: a class gets the sum of its examples' attention.":
            attention @ hot / 2,
        "No softmax was taken: these are sums of cosines.": cosines / 0.5 @ hot,
        "You added the cosines up before the softmax: attend to examples first, then add.":
            (cosines / 0.5 @ hot).softmax(1),
        "These are logarithms: probabilities are asked for.": (attention @ hot).log(),
        "You attended to the prototypes: MatchingNet attends to each support example.":
            (F.normalize(QUERY, dim=1) @ F.normalize(CENTRES, dim=1).T / 0.5).softmax(1),
    }, case)  # fmt: skip
    got = answer(QUERY[:1].clone(), SUPPORT.clone(), LABELS.clone(), 3, 0.1)
    what = "Right for these. For the first query alone and temperature = 0.1, the probabilities"
    compare(got, (cosines[:1] / 0.1).softmax(1) @ hot, what, {})


def judge_head(answer) -> None:
    case = f"prototypes = {CENTRES.tolist()}"
    got = answer(CENTRES.clone())
    if not (isinstance(got, (tuple, list)) and len(got) == 2):
        raise Mistake("Return two things, the weight and the bias: return weight, bias")
    weight, bias = got
    compare(as_table(weight, (3, 2), "The weight has its axes exchanged: one row a class."),
            2 * CENTRES, "The weight", {
        "The factor 2 is missing: −‖z − c‖² = −‖z‖² + 2 z·c − ‖c‖².": CENTRES,
        "The sign is wrong: −‖z − c‖² = −‖z‖² + 2 z·c − ‖c‖².": -2 * CENTRES,
    }, case)  # fmt: skip
    lengths = CENTRES.pow(2).sum(1)
    if isinstance(bias, Tensor) and bias.shape == (3, 1):
        raise Mistake("The bias has one axis too many: one number a class, shape (ways,).")
    if isinstance(bias, Tensor) and bias.shape == (3, 2):
        raise Mistake("The bias still has the features: add them up, sum(1).")
    compare(bias, -lengths, "The weight is right. The bias", {
        "The sign is wrong: a prototype far from the origin starts behind, −‖c‖².": lengths,
        "This is the length, not its square.": -lengths.sqrt(),
        "This is twice what it should be.": -2 * lengths,
        "This is half of what it should be: add the squares up, with no mean and no factor ½.":
            -lengths / 2,
        "A bias of 0 forgets ‖c‖², which differs from class to class.": torch.zeros(3),
    }, case)  # fmt: skip
    wide = torch.tensor([[1.0, 2.0, 0.0], [0.0, -1.0, 3.0]])
    weight, bias = answer(wide.clone())
    compare(weight, 2 * wide, "Right for these. For two classes in three dimensions the weight", {})
    compare(bias, -wide.pow(2).sum(1), "The bias, in three dimensions,", {})


EXERCISES = {
    "3b.1": Exercise(
        "a prototype for each class",
        judge_prototypes,
        (
            "support_z[support_y == c] holds the embeddings of class c, and nothing else.",
            "Their mean over axis 0 is the prototype. torch.stack makes a tensor of the list.",
            "return torch.stack([support_z[support_y == c].mean(0) for c in range(ways)])",
        ),
    ),
    "3b.2": Exercise(
        "minus the squared Euclidean distance",
        judge_logits,
        (
            "query_z.unsqueeze(1) - prototypes has shape (Q, ways, d): every query minus every"
            " prototype.",
            "Square, add up over the last axis, change the sign. No root.",
            "return -(query_z.unsqueeze(1) - prototypes).pow(2).sum(-1)",
        ),
    ),
    "3b.3": Exercise(
        "the loss of one episode",
        judge_episode,
        (
            "classes = support_y.unique() lists the labels of this task in order: 3, 7, 9. Where a"
            " label stands in that list is its new name.",
            "torch.searchsorted(classes, y) gives the places. Use the same classes for support and"
            " query. Then: embed, prototypes, logits, cross-entropy with the query labels.",
            "classes = support_y.unique()\n"
            "support_y, query_y = (torch.searchsorted(classes, y) for y in (support_y, query_y))\n"
            "centres = class_means(encode(support_x), support_y, len(classes))\n"
            "scores = distance_logits(encode(query_x), centres)\n"
            "return torch.nn.functional.cross_entropy(scores, query_y)",
        ),
    ),
    "3b.4": Exercise(
        "attention to the support set",
        judge_attention,
        (
            "torch.nn.functional.normalize(z, dim=1) gives every row length 1; the product of two"
            " such rows is a cosine.",
            "attention = (cosines / temperature).softmax(1), of shape (Q, S). A product with the"
            " one-hot labels, (S, ways), adds it up by class.",
            "normalize, one_hot = torch.nn.functional.normalize, torch.nn.functional.one_hot\n"
            "cosines = normalize(query_z, dim=1) @ normalize(support_z, dim=1).T\n"
            "attention = (cosines / temperature).softmax(1)\n"
            "return attention @ one_hot(support_y, ways).to(attention.dtype)",
        ),
    ),
    "3b.5": Exercise(
        "ProtoNet as a linear layer",
        judge_head,
        (
            "Multiply out: −‖z − c‖² = −‖z‖² + 2 z·c − ‖c‖². Which of the three is the same for all"
            " classes?",
            "−‖z‖² is, so a softmax does not see it. What multiplies z is the weight, the rest is"
            " the bias.",
            "return 2 * prototypes, -prototypes.pow(2).sum(1)",
        ),
    ),
}
