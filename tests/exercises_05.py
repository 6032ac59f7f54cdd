"""Answers to chapter 05's exercises: right ones, and bugs with what the check says of them."""

import torch

# --- 5.1: dealing --------------------------------------------------------------------------------


def different(n, k):
    return torch.randperm(n)[:k]


def dealt(
    classes=different,
    examples=different,
    label=lambda classes: torch.arange(len(classes)),
    shared=False,
    sizes=lambda shots, queries: (shots, queries),
    query_label=lambda y: y,
):
    """A way to deal, right unless told otherwise."""

    def deal(images, ways, shots, queries):
        chosen = classes(len(images), ways)
        both = examples(images.shape[1], shots + queries)
        support, query = (both[:shots], both[shots:])
        if shared:
            query = torch.randint(images.shape[1], (queries,))
        x = images[chosen]
        y = label(chosen)
        s, q = sizes(shots, queries)
        return (
            x[:, support].flatten(0, 1), y.repeat_interleave(s),
            x[:, query].flatten(0, 1), query_label(y).repeat_interleave(q),
        )  # fmt: skip

    return deal


def own_examples_for_each_class(images, ways, shots, queries):
    order = torch.rand(images.shape[:2]).argsort(1)[:, : shots + queries]
    classes = torch.randperm(len(images))[:ways]
    names = torch.randperm(ways)
    parts = [[], [], [], []]
    for c, name in zip(classes, names, strict=True):
        x = images[c, order[c]]
        for part, value in zip(
            parts,
            (x[:shots], name.expand(shots), x[shots:], name.expand(queries)),
            strict=True,
        ):
            part.append(value)
    return [torch.cat(part) for part in parts]


def rows_of_another_order(images, ways, shots, queries):
    """Classes sorted and labels shuffled, as in the chapter, and the rows shuffled too."""
    classes = torch.randperm(len(images))[:ways].sort().values
    names = torch.randperm(ways)
    x = images[classes][:, torch.randperm(images.shape[1])[: shots + queries]]
    parts = []
    for part, each in ((x[:, :shots], shots), (x[:, shots:], queries)):
        order = torch.randperm(ways * each)
        parts += [part.flatten(0, 1)[order], names.repeat_interleave(each)[order]]
    return parts


def as_given_1(images, ways, shots, queries):
    classes = torch.randint(len(images), (ways,))
    support = torch.randint(images.shape[1], (shots,))
    query = torch.randint(images.shape[1], (queries,))
    support_x, query_x = images[classes][:, support], images[classes][:, query]
    support_y, query_y = classes.repeat_interleave(shots), classes.repeat_interleave(queries)
    return support_x.flatten(0, 1), support_y, query_x.flatten(0, 1), query_y


# --- 5.2: the inner loop -------------------------------------------------------------------------


def slope(theta, x, y, create_graph=True):
    loss = ((theta * x - y) ** 2).mean()
    return torch.autograd.grad(loss, theta, create_graph=create_graph)[0]


def loop(extra=0, create_graph=lambda k: True, sign=1):
    def adapt(theta, x, y, lr, steps):
        for k in range(max(0, steps + extra)):
            theta = theta - sign * lr * slope(theta, x, y, create_graph(k))
        return theta

    return adapt


def by_functorch(theta, x, y, lr, steps):
    gradient = torch.func.grad(lambda t: torch.nn.functional.mse_loss(t * x, y))
    for _ in range(steps):
        theta = theta - lr * gradient(theta)
    return theta


def summed(theta, x, y, lr, steps):
    for _ in range(steps):
        loss = ((theta * x - y) ** 2).sum()
        theta = theta - lr * torch.autograd.grad(loss, theta, create_graph=True)[0]
    return theta


def by_backward(theta, x, y, lr, steps):
    for _ in range(steps):
        loss = ((theta * x - y) ** 2).mean()
        loss.backward()
        theta = theta - lr * theta.grad
    return theta


def as_given_2(theta, x, y, lr, steps):
    loss = ((theta * x - y) ** 2).mean()
    (gradient,) = torch.autograd.grad(loss, theta)
    for _ in range(steps):
        theta = theta - lr * gradient
    return theta


def in_place(theta, x, y, lr, steps):
    for _ in range(steps):
        gradient = slope(theta, x, y)
        with torch.no_grad():
            theta -= lr * gradient
    return theta


# --- 5.3 and 5.4 ---------------------------------------------------------------------------------


def paired(a, b):
    return (a - b).mean(), 1.96 * (a - b).std() / len(a) ** 0.5


def as_given_3(a, b):
    return a.mean() - b.mean(), 1.96 * (a.var() + b.var()).sqrt()


def by_numpy(a, b):
    from scipy import stats

    difference = (a - b).numpy()
    return float(difference.mean()), 1.96 * float(stats.sem(difference))


def half(spread):
    return lambda a, b: (paired(a, b)[0], spread(a, b))


def classify(scale):
    """The nearest mean after `scale`: (support, query) -> the two on one scale."""

    def nearest(support_x, support_y, query_x, ways):
        support_x, query_x = scale(support_x, query_x)
        means = torch.stack([support_x[support_y == c].mean(0) for c in range(ways)])
        return torch.cdist(query_x, means).argmin(1)

    return nearest


def nearest_example(support_x, support_y, query_x, ways):
    distances = torch.cdist(by(query_x, support_x), by(support_x, support_x))
    return support_y[distances.argmin(1)]


def by(x, *of):
    return (x - torch.cat(of).mean(0)) / torch.cat(of).std(0)


def one_by_one(support_x, support_y, query_x, ways):
    spread = support_x.std(0)
    found = []
    for q in query_x:
        distances = [
            (((q - support_x[support_y == c].mean(0)) / spread) ** 2).sum() for c in range(ways)
        ]
        found.append(int(torch.stack(distances).argmin()))
    return torch.tensor(found)


CASES = {
    "5.1": {
        "signature": "images, ways, shots, queries",
        "right": [dealt(), own_examples_for_each_class, rows_of_another_order],
        "wrong": {
            "Still there, bugs: 4": as_given_1,
            "comes twice in an episode": dealt(classes=lambda n, k: torch.randint(n, (k,))),
            "not remapped": dealt(label=lambda classes: classes),
            "leaks into support": dealt(shared=True),
            "stands twice in one set": dealt(
                examples=lambda n, k: torch.cat([torch.randint(n // 2, (2,)), 5 + different(4, 3)])
            ),
            "different labels": dealt(query_label=lambda y: y.flip(0)),
            "should have shape": dealt(sizes=lambda s, q: (q, s)),
            "Return four tensors": lambda *a: dealt()(*a)[:2],
            "should hold whole numbers": dealt(label=lambda classes: torch.arange(5.0)),
            "same classes are dealt every time": dealt(classes=lambda n, k: torch.arange(k)),
            "dealt every time: draw them": dealt(classes=lambda n, k: torch.randperm(k)),
            "Labels follow the order of the classes in the data set": dealt(
                classes=lambda n, k: different(n, k).sort().values
            ),
            "shuffle the classes": dealt(
                classes=lambda n, k: different(n, k).sort(descending=True).values
            ),
            "Two classes have the same label": dealt(label=lambda classes: classes % 5),
            "same examples are dealt every time": dealt(examples=lambda n, k: torch.arange(k)),
        },
    },
    "5.2": {
        "signature": "theta, x, y, lr, steps",
        "right": [loop(), by_functorch],
        "wrong": {
            "computed once, before the loop": as_given_2,
            "detached": loop(create_graph=lambda k: False),
            "one step, whatever": lambda t, x, y, lr, steps: loop()(t, x, y, lr, 1),
            "one step too many": loop(extra=1),
            "one step too few": loop(extra=-1),
            "itself was changed": in_place,
            "Only a part of the steps": loop(create_graph=lambda k: k == 0),
            "sum of the squared errors": summed,
            "filled only at the tensor one starts from": by_backward,
        },
    },
    "5.3": {
        "signature": "a, b",
        "right": [paired, by_numpy],
        "wrong": {
            "not paired": as_given_3,
            "√n times less": as_given_3,
            "the tasks are not paired": half(
                lambda a, b: 1.96 * ((a.var() + b.var()) / len(a)).sqrt()
            ),
            "this is how far single tasks scatter": half(lambda a, b: 1.96 * (a - b).std()),
            "divided by n where": half(lambda a, b: 1.96 * (a - b).std() / len(a)),
            "factor 1.96 is missing": half(lambda a, b: (a - b).std() / len(a) ** 0.5),
            "This is the whole width": half(lambda a, b: 2 * paired(a, b)[1]),
            "divides by n − 1": half(
                lambda a, b: 1.96 * (a - b).std(correction=0) / len(a) ** 0.5
            ),
            "This is b − a": lambda a, b: paired(b, a),
            "sum of the differences": lambda a, b: ((a - b).sum(), paired(a, b)[1]),
            "an end of the interval": lambda a, b: (
                paired(a, b)[0] - paired(a, b)[1], paired(a, b)[0] + paired(a, b)[1],
            ),
            "torch.std has counted": half(lambda a, b: 1.96 * (a - b).std() / (len(a) - 1) ** 0.5),
            "with 1.64 for": half(lambda a, b: 1.64 * (a - b).std() / len(a) ** 0.5),
            "with 1.645 for": half(lambda a, b: 1.645 * (a - b).std() / len(a) ** 0.5),
            "take std for var": half(lambda a, b: 1.96 * (a - b).var() / len(a) ** 0.5),
            "take std for var.\nStill there": half(lambda a, b: 1.96 * (a - b).var()),
            "Then divide by √n": half(lambda a, b: 1.96 * (a - b).var() / len(a)),
            "not the sum of the two": half(
                lambda a, b: 1.96 * (a.std() + b.std()) / len(a) ** 0.5
            ),
            "two spreads.\nStill there": half(lambda a, b: 1.96 * (a.std() + b.std())),
            "with 2 for 1.96": half(lambda a, b: 2 * (a - b).std() / len(a) ** 0.5),
            "Return two numbers": lambda a, b: paired(a, b)[1],
        },
    },
    "5.4": {
        "signature": "support_x, support_y, query_x, ways",
        "right": [classify(lambda s, q: (by(s, s), by(q, s))), one_by_one],
        "wrong": {
            "may not depend on the other queries": classify(lambda s, q: (by(s, s), by(q, q))),
            "in company": classify(lambda s, q: (by(s, s, q), by(q, s, q))),
            "not brought to one scale": classify(lambda s, q: (s, q)),
            "the queries are not": classify(lambda s, q: (by(s, s), q)),
            "the nearest mean is asked for": nearest_example,
            "there should be 7 classes": lambda sx, sy, q, ways: torch.zeros(1),
        },
    },
}  # fmt: skip
