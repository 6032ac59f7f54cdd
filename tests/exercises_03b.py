"""Answers to chapter 03b's exercises: right ones, and planted mistakes with their diagnoses."""

import torch
from torch.nn.functional import cosine_similarity, cross_entropy, normalize, one_hot


def prototypes(z, y, ways):
    return torch.stack([z[y == c].mean(0) for c in range(ways)])


def by_matrix(z, y, ways):
    hot = one_hot(y, ways).to(z.dtype)
    return hot.T @ z / hot.sum(0).unsqueeze(1)


def pick(choose):
    return lambda z, y, ways: torch.stack([choose(z[y == c]) for c in range(ways)])


def logits(query, centres):
    return -(query.unsqueeze(1) - centres).pow(2).sum(-1)


def multiplied_out(query, centres):
    return 2 * query @ centres.T - centres.pow(2).sum(1) - query.pow(2).sum(1, keepdim=True)


def episode(encode, sx, sy, qx, qy, compare=logits, loss=cross_entropy):
    classes = sy.unique()
    sy, qy = torch.searchsorted(classes, sy), torch.searchsorted(classes, qy)
    return loss(compare(encode(qx), prototypes(encode(sx), sy, len(classes))), qy)


def episode_by_loop(encode, sx, sy, qx, qy):
    classes = sorted(set(sy.tolist()))
    centres = [encode(sx)[sy == c].mean(0) for c in classes]
    losses = []
    for z, y in zip(encode(qx), qy.tolist(), strict=True):
        scores = torch.stack([-((z - c) ** 2).sum() for c in centres])
        losses.append(-torch.log_softmax(scores, 0)[classes.index(y)])
    return sum(losses) / len(losses)


def not_remapped(encode, sx, sy, qx, qy):
    centres = torch.stack([encode(sx)[sy == c].mean(0) for c in sy.unique()])
    return cross_entropy(logits(encode(qx), centres), qy)


def ten_columns(encode, sx, sy, qx, qy):
    centres = torch.zeros(10, 2)
    for c in sy.unique():
        centres[c] = encode(sx)[sy == c].mean(0)
    return cross_entropy(logits(encode(qx), centres), qy)


def ten_logits(encode, sx, sy, qx, qy):
    scores = torch.zeros(len(qx), 10)
    for c in sy.unique():
        scores[:, c] = logits(encode(qx), encode(sx)[sy == c].mean(0, keepdim=True))[:, 0]
    return cross_entropy(scores, qy)


def remapped_apart(encode, sx, sy, qx, qy):
    return episode(encode, sx, sy.unique(return_inverse=True)[1],
                   qx, qy.unique(return_inverse=True)[1])  # fmt: skip


def attend(query, support, y, ways, temperature, axis=1, norm=lambda z: normalize(z, dim=1)):
    attention = (norm(query) @ norm(support).T / temperature).softmax(axis)
    return attention @ one_hot(y, ways).float()


def attend_by_loop(query, support, y, ways, temperature):
    rows = torch.stack([cosine_similarity(q.unsqueeze(0), support) for q in query])
    weights = (rows / temperature).exp()
    weights = weights / weights.sum(1, keepdim=True)
    return torch.stack([weights[:, y == c].sum(1) for c in range(ways)], 1)


def cosines(query, support):
    return normalize(query, dim=1) @ normalize(support, dim=1).T


CASES = {
    "3b.1": {
        "signature": "support_z, support_y, ways",
        "right": [prototypes, by_matrix],
        "wrong": {
            "the mean went over the features": lambda z, y, n: torch.stack(
                [z[y == c].mean(1).sum() for c in range(n)]
            ),
            "single point for all classes": lambda z, y, n: z.mean(0),
            "lie end to end": lambda z, y, n: prototypes(z, y, n).flatten(),
            "axes are exchanged": lambda z, y, n: prototypes(z, y, n).T,
            "as the mean of nothing is": lambda z, y, n: torch.stack(
                [z[y == c + 1].mean(0) for c in range(n)]
            ),
            "an axis of length 1 is too many": lambda z, y, n: prototypes(z, y, n).unsqueeze(1),
            "adds a class's embeddings up": pick(lambda z: z.sum(0)),
            "size of the whole support set": lambda z, y, n: one_hot(y, n).float().T @ z / len(z),
            "sorted by class": lambda z, y, n: z.view(n, -1, z.shape[1])[:, :2].mean(1),
            "come in rounds": lambda z, y, n: z.view(-1, n, z.shape[1]).mean(0),
            "first example of each class": pick(lambda z: z[0]),
            "last example of each class": pick(lambda z: z[-1]),
            "over examples and features alike": pick(lambda z: z.mean().expand(2)),
            "All classes have the same point": lambda z, y, n: z.mean(0).expand(n, -1),
            "order in which the classes come up": lambda z, y, n: torch.stack(
                [z[y == c].mean(0) for c in dict.fromkeys(y.tolist())]
            ),
            "its own number of examples": lambda z, y, n: one_hot(y, n).float().T @ z / 2,
            "into one tensor": lambda z, y, n: [z[y == c].mean(0) for c in range(n)],
        },
    },
    "3b.2": {
        "signature": "query_z, prototypes",
        "right": [logits, multiplied_out, lambda q, c: -(torch.cdist(q, c) ** 2)],
        "wrong": {
            "leave the root out": lambda q, c: -torch.cdist(q, c),
            "The sign is missing: the nearest": lambda q, c: -logits(q, c),
            "and the square": torch.cdist,
            "mean over the features": lambda q, c: -(q.unsqueeze(1) - c).pow(2).mean(-1),
            "absolute differences": lambda q, c: -(q.unsqueeze(1) - c).abs().sum(-1),
            "These are probabilities": lambda q, c: logits(q, c).softmax(1),
            "softmax over the queries": lambda q, c: logits(q, c).softmax(0),
            "log-probabilities": lambda q, c: logits(q, c).log_softmax(1),
            "These are cosines": cosines,
            "inner products": lambda q, c: q @ c.T,
            "distances are asked for": lambda q, c: 2 * q @ c.T - c.pow(2).sum(1),
            "The axes don't fit": lambda q, c: -(q - c).pow(2).sum(-1),
            "squares came after the sum": lambda q, c: -(q.unsqueeze(1) - c).sum(-1).pow(2),
            "axes are exchanged": lambda q, c: logits(c, q),
            "features are still there": lambda q, c: -(q.unsqueeze(1) - c).pow(2),
            "chose a class already": lambda q, c: logits(q, c).argmax(1),
        },
    },
    "3b.3": {
        "signature": "encode, support_x, support_y, query_x, query_y",
        "given": {"class_means": prototypes, "distance_logits": logits},
        "right": [episode, episode_by_loop],
        "wrong": {
            "remap them to 0 .. ways − 1 in this task": not_remapped,
            "takes them for column numbers": not_remapped,
            "prototypes at the origin in the others": ten_columns,
            "no prototypes in the others": ten_logits,
            "remapped on their own": remapped_apart,
            "distance is not squared": lambda *a: episode(
                *a, compare=lambda q, c: -torch.cdist(q, c)
            ),
            "measured on the support set": lambda e, sx, sy, qx, qy: episode(e, sx, sy, sx, sy),
            "softmax went over the queries": lambda *a: episode(
                *a, loss=lambda s, y: -s.log_softmax(0)[torch.arange(len(y)), y].mean()
            ),
            "softmax was taken twice": lambda *a: episode(
                *a, loss=lambda s, y: cross_entropy(s.softmax(1), y)
            ),
            "sign is wrong": lambda *a: episode(*a, compare=lambda q, c: -logits(q, c)),
            "added the queries up": lambda *a: episode(
                *a, loss=lambda s, y: cross_entropy(s, y, reduction="sum")
            ),
            "is a mean missing": lambda *a: episode(
                *a, loss=lambda s, y: cross_entropy(s, y, reduction="none")
            ),
            "encoder was not used": lambda e, *a: episode(lambda x: x, *a),
            "sign of the whole": lambda *a: -episode(*a),
            "are two arguments exchanged": lambda *a: episode(
                *a, loss=lambda s, y: cross_entropy(y, s)
            ),
            "Only the support set was embedded": lambda e, sx, sy, qx, qy: episode(
                lambda x: e(x) if len(x) == len(sx) else x, sx, sy, qx, qy
            ),
            "it is no tensor": lambda *a: episode(*a).item(),
            "it was detached": lambda *a: episode(*a).detach(),
        },
    },
    "3b.4": {
        "signature": "query_z, support_z, support_y, ways, temperature",
        "right": [attend, attend_by_loop],
        "wrong": {
            "softmax went over the queries": lambda *a: attend(*a, axis=0),
            "not cosines": lambda *a: attend(*a, norm=lambda z: z),
            "The support was not normed": lambda q, s, y, n, t: (
                (normalize(q, dim=1) @ s.T / t).softmax(1) @ one_hot(y).float()
            ),
            "The query was not normed": lambda q, s, y, n, t: (
                (q @ normalize(s, dim=1).T / t).softmax(1) @ one_hot(y).float()
            ),
            "along the wrong axis": lambda *a: attend(*a, norm=lambda z: normalize(z, dim=0)),
            "temperature was not used": lambda q, s, y, n, t: attend(q, s, y, n, 1.0),
            "multiplied by the temperature": lambda q, s, y, n, t: attend(q, s, y, n, 1 / t),
            "averaged within each class": lambda *a: attend(*a) / 2,
            ".float() makes numbers": lambda q, s, y, n, t: (
                (cosines(q, s) / t).softmax(1) @ one_hot(y, n)
            ),
            "For the first query alone": lambda q, s, y, n, t: attend(q, s, y, n, 0.5),
            "attention to each of the six": lambda q, s, y, n, t: (cosines(q, s) / t).softmax(1),
            "No softmax was taken": lambda q, s, y, n, t: cosines(q, s) / t @ one_hot(y).float(),
            "before the softmax": lambda q, s, y, n, t: (
                cosines(q, s) / t @ one_hot(y).float()
            ).softmax(1),
            "These are logarithms": lambda *a: attend(*a).log(),
            "attended to the prototypes": lambda q, s, y, n, t: (
                cosines(q, prototypes(s, y, n)) / t
            ).softmax(1),
            "axes are exchanged": lambda *a: attend(*a).T,
        },
    },
    "3b.5": {
        "signature": "prototypes",
        "right": [
            lambda c: (2 * c, -c.pow(2).sum(1)),
            lambda c: (c + c, -(c * c).sum(dim=-1)),
        ],
        "wrong": {
            "factor 2 is missing": lambda c: (c, -c.pow(2).sum(1)),
            "The sign is wrong: −‖z − c‖²": lambda c: (-2 * c, c.pow(2).sum(1)),
            "starts behind": lambda c: (2 * c, c.pow(2).sum(1)),
            "not its square": lambda c: (2 * c, -c.norm(dim=1)),
            "no mean and no factor": lambda c: (2 * c, -c.pow(2).mean(1)),
            "should be a tensor of shape (3,), got one of shape (2,)": lambda c: (
                2 * c,
                -c.pow(2).sum(0),
            ),
            "twice what it should be": lambda c: (2 * c, -2 * c.pow(2).sum(1)),
            "half of what": lambda c: (2 * c, -c.pow(2).sum(1) / 2),
            "bias of 0": lambda c: (2 * c, torch.zeros(3)),
            "one axis too many": lambda c: (2 * c, -c.pow(2).sum(1, keepdim=True)),
            "still has the features": lambda c: (2 * c, -c.pow(2)),
            "axes exchanged": lambda c: (2 * c.T, -c.pow(2).sum(1)),
            "Return two things": lambda c: 2 * c,
        },
    },
}
