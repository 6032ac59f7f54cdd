"""Answers to chapter 02's exercises: right ones, and planted mistakes with their diagnoses."""

import torch


def grad_of(loss, theta, example):
    (gradient,) = torch.autograd.grad(loss(theta, example), theta)
    return gradient


def fit(loss, theta, examples, lr):
    for example in examples:
        theta = theta - lr * grad_of(loss, theta, example)
    return theta


def fit_by_functorch(loss, theta, examples, lr):
    theta = theta.detach().clone().requires_grad_()
    for example in examples:
        theta.grad = None
        loss(theta, example).backward()
        with torch.no_grad():
            theta -= lr * theta.grad
    return theta


def fit_in_place(loss, theta, examples, lr):
    for example in examples:
        gradient = grad_of(loss, theta, example)
        with torch.no_grad():
            theta -= lr * gradient
    return theta


def all_at_once(loss, theta, examples, lr):
    return theta - lr * sum(grad_of(loss, theta, e) for e in examples) / len(examples)


def all_at_the_start(loss, theta, examples, lr):
    return theta - lr * sum(grad_of(loss, theta, e) for e in examples)


def return_too_soon(loss, theta, examples, lr):
    for example in examples:
        return theta - lr * grad_of(loss, theta, example)


def only_the_last(loss, theta, examples, lr):
    for example in examples:
        new = theta - lr * grad_of(loss, theta, example)
    return new


def head(f, y, ridge):
    return torch.linalg.solve(f.T @ f + ridge * torch.eye(f.shape[1], dtype=f.dtype), f.T @ y)


def head_by_examples(f, y, ridge):
    return f.T @ torch.linalg.solve(f @ f.T + ridge * torch.eye(len(f), dtype=f.dtype), y)


def best_return(s, f, left, known):
    if left == 0:
        return 0
    mean = (s + 1) / (s + f + 2)
    paid, unpaid = best_return(s + 1, f, left - 1, known), best_return(s, f + 1, left - 1, known)
    stay = known + best_return(s, f, left - 1, known)
    return max(mean * (1 + paid) + (1 - mean) * unpaid, stay)


def by_table(s, f, left, known):
    """Forwards never: V for every number of successes, from the last pull back."""
    values = [0.0] * (left + 1)
    # a pull of the known arm teaches nothing, so that it is best left to the end
    for tried in range(left, -1, -1):
        new = []
        for won in range(tried + 1):
            rest = (left - tried) * known
            if tried < left:
                mean = (s + won + 1) / (s + f + tried + 2)
                rest = max(rest, mean * (1 + values[won + 1]) + (1 - mean) * values[won])
            new.append(rest)
        values = new
    return values[0]


def without_pay(s, f, left, known):
    if left == 0:
        return 0
    mean = (s + 1) / (s + f + 2)
    paid, unpaid = without_pay(s + 1, f, left - 1, known), without_pay(s, f + 1, left - 1, known)
    return max(mean * paid + (1 - mean) * unpaid, known + without_pay(s, f, left - 1, known))


def without_any_pay(s, f, left, known):
    if left == 0:
        return 0.0
    mean = (s + 1) / (s + f + 2)
    paid, unpaid = (
        without_any_pay(s + 1, f, left - 1, known),
        without_any_pay(s, f + 1, left - 1, known),
    )
    return max(mean * paid + (1 - mean) * unpaid, without_any_pay(s, f, left - 1, known))


def with_the_known_arm_unpaid(s, f, left, known):
    if left == 0:
        return 0
    mean = (s + 1) / (s + f + 2)
    paid, unpaid, stay = (
        with_the_known_arm_unpaid(s + won, f + lost, left - 1, known)
        for won, lost in ((1, 0), (0, 1), (0, 0))
    )
    return max(mean * (1 + paid) + (1 - mean) * unpaid, stay)


def with_the_known_arm_once(s, f, left, known):
    if left == 0:
        return 0
    mean = (s + 1) / (s + f + 2)
    paid, unpaid = (
        with_the_known_arm_once(s + won, f + 1 - won, left - 1, known) for won in (1, 0)
    )
    return max(mean * (1 + paid) + (1 - mean) * unpaid, known)


def foresight(s, f, left, known):
    if left == 0:
        return 0
    mean = (s + 1) / (s + f + 2)
    stay = known + foresight(s, f, left - 1, known)
    paid, unpaid = 1 + foresight(s + 1, f, left - 1, known), foresight(s, f + 1, left - 1, known)
    return mean * max(paid, stay) + (1 - mean) * max(unpaid, stay)


def without_prior(s, f, left, known):
    if left == 0:
        return 0
    mean = s / max(s + f, 1)
    paid, unpaid = (
        without_prior(s + 1, f, left - 1, known),
        without_prior(s, f + 1, left - 1, known),
    )
    stay = known + without_prior(s, f, left - 1, known)
    return max(mean * (1 + paid) + (1 - mean) * unpaid, stay)


def index(s, f, left, best_return):
    low, high = 0.0, 1.0
    for _ in range(20):
        middle = (low + high) / 2
        if best_return(s, f, left, middle) > left * middle + 1e-9:
            low = middle
        else:
            high = middle
    return low


def index_by_few_halvings(s, f, left, best_return):
    low, high = 0.0, 1.0
    for _ in range(8):
        middle = (low + high) / 2
        better = best_return(s, f, left, middle) > left * middle + 1e-9
        low, high = (middle, high) if better else (low, middle)
    return low


def index_on_a_grid(s, f, left, best_return):
    prices = (k / 100 for k in range(101))
    return next(p for p in prices if best_return(s, f, left, p) <= left * p + 1e-9)


def index_by_stopping(s, f, left, best_return):
    """Without best_return: the best ratio of E[paid] to E[pulls], by Dinkelbach's iteration."""

    def worth(s, f, left, price):
        if left == 0:
            return 0.0, 0.0, 0.0
        mean, total = (s + 1) / (s + f + 2), [(s + 1) / (s + f + 2), 1.0]
        for chance, after in ((mean, (s + 1, f)), (1 - mean, (s, f + 1))):
            value, paid, pulls = worth(*after, left - 1, price)
            if value > 0:
                total = [total[0] + chance * paid, total[1] + chance * pulls]
        return total[0] - price * total[1], *total

    price = 0.0
    for _ in range(30):
        _, paid, pulls = worth(s, f, left, price)
        price = paid / pulls
    return price


CASES = {
    "2.1": {
        "signature": "loss, theta, examples, lr",
        "right": [fit, fit_by_functorch],
        "wrong": {
            "walked uphill": lambda loss, t, e, lr: fit(loss, t, e, -lr),
            "rate lr is not used": lambda loss, t, e, lr: fit(loss, t, e, 1.0),
            "was changed": fit_in_place,
            "one step for all examples": all_at_once,
            "All gradients were taken": all_at_the_start,
            "Only the first example": return_too_soon,
            "Only the last example": only_the_last,
            "backwards": lambda loss, t, e, lr: fit(loss, t, e[::-1], lr),
            "as it came": lambda loss, t, e, lr: t,
            "does it end with `return`": lambda loss, t, e, lr: None,
        },
    },
    "2.2": {
        "signature": "features, y, ridge",
        "right": [head, head_by_examples],
        "wrong": {
            "the ridge is missing": lambda f, y, ridge: torch.linalg.lstsq(f, y).solution,
            "wrong sign": lambda f, y, ridge: head(f, y, -ridge),
            "divided by the number": lambda f, y, ridge: head(f, y, ridge / len(f)),
            "multiplied by the number": lambda f, y, ridge: head(f, y, ridge * len(f)),
            "was squared": lambda f, y, ridge: head(f, y, ridge**2),
            "look like predictions": lambda f, y, ridge: f @ head(f, y, ridge),
            "diagonal only": lambda f, y, ridge: torch.linalg.solve(f.T @ f + ridge, f.T @ y),
        },
    },
    "2.3": {
        "signature": "s, f, left, known",
        "given": {"best_return": best_return},  # the solution calls itself by this name
        "right": [best_return, by_table],
        "wrong": {
            "one and the same arm": lambda s, f, left, known: (
                left * max((s + 1) / (s + f + 2), known)
            ),
            "A pull that pays adds 1 to what follows": without_pay,
            "Here no pull adds anything": without_any_pay,
            "does the known arm add nothing": with_the_known_arm_unpaid,
            "The known arm is counted once": with_the_known_arm_once,
            "you choose before you know": foresight,
            "prior is missing": without_prior,
            "is to be taken anew": lambda s, f, left, known: left * (s + 1) / (s + f + 2),
            "at every pull": lambda s, f, left, known: left * known,
        },
    },
    "2.4": {
        "signature": "s, f, left, best_return",
        "right": [index, index_by_stopping],
        "wrong": {
            "This is the mean payment": lambda s, f, left, best: (s + 1) / (s + f + 2),
            "not a probability": lambda s, f, left, best: best(s, f, left, index(s, f, left, best)),
            "one pull fewer": lambda s, f, left, best: index(s, f, left - 1, best),
            "one pull more": lambda s, f, left, best: index(s, f, left + 1, best),
            "one end of the search": lambda s, f, left, best: 1.0,
            "Close, but 0.0001 is asked for": index_by_few_halvings,
            "halve more often": index_on_a_grid,
        },
    },
}
