"""Answers to chapter 03a's exercises: right ones, and planted mistakes with their diagnoses."""

import torch


def grad_of(theta, x, y, create_graph=True, reduce=torch.mean):
    (g,) = torch.autograd.grad(reduce((theta * x - y) ** 2), theta, create_graph=create_graph)
    return g


def inner_step(theta, x, y, lr):
    return theta - lr * grad_of(theta, x, y)


def inner_step_by_functorch(theta, x, y, lr):
    return theta - lr * torch.func.grad(lambda t: torch.nn.functional.mse_loss(t * x, y))(theta)


def in_place(theta, x, y, lr):
    with torch.no_grad():
        theta -= lr * 2 * (x * (theta * x - y)).mean()
    return theta


def on_a_copy(theta, x, y, lr):
    return inner_step(theta.detach().clone().requires_grad_(), x, y, lr)


def by_sgd(theta, x, y, lr):
    ((theta * x - y) ** 2).mean().backward()
    torch.optim.SGD([theta], lr).step()
    return theta


def tuple_kept(theta, x, y, lr):
    loss = ((theta * x - y) ** 2).mean()
    return theta - lr * torch.autograd.grad(loss, theta, create_graph=True)


def over_tasks(each, combine=lambda losses: torch.stack(losses).mean()):
    def meta_loss(theta, tasks, lr):
        return combine([each(theta, *task, lr) for task in zip(*tasks[:4], strict=True)])

    return meta_loss


def query_loss(theta, sx, sy, qx, qy, lr):
    return ((inner_step(theta, sx, sy, lr) * qx - qy) ** 2).mean()


def batched(theta, tasks, lr):
    thetas = theta.expand(len(tasks.support_x), 1, 1)
    support = ((thetas * tasks.support_x - tasks.support_y) ** 2).mean((1, 2)).sum()
    (g,) = torch.autograd.grad(support, thetas, create_graph=True)
    return (((thetas - lr * g) * tasks.query_x - tasks.query_y) ** 2).mean()


def one_step_for_all(theta, tasks, lr):
    adapted = inner_step(theta, tasks.support_x, tasks.support_y, lr)
    return ((adapted * tasks.query_x - tasks.query_y) ** 2).mean()


def carried_over(theta, tasks, lr):
    losses = []
    for sx, sy, qx, qy in zip(*tasks[:4], strict=True):
        theta = inner_step(theta, sx, sy, lr)
        losses.append(((theta * qx - qy) ** 2).mean())
    return torch.stack(losses).mean()


def serial(theta, adapted, lr):
    for arrived in adapted:
        theta = theta + lr * (arrived - theta)
    return theta


CASES = {
    "3a.1": {
        "signature": "theta, x, y, lr",
        "right": [inner_step, inner_step_by_functorch],
        "wrong": {
            "first-order MAML": lambda t, x, y, lr: t - lr * grad_of(t, x, y, False),
            "walked uphill": lambda t, x, y, lr: t + lr * grad_of(t, x, y),
            "squared the mean of the errors": lambda t, x, y, lr: (
                t - lr * torch.autograd.grad((t * x - y).mean() ** 2, t, create_graph=True)[0]
            ),
            "sum of the squared errors": lambda t, x, y, lr: (
                t - lr * grad_of(t, x, y, True, torch.sum)
            ),
            "rate lr is not used": lambda t, x, y, lr: t - grad_of(t, x, y),
            "was detached": lambda t, x, y, lr: inner_step(t, x, y, lr).detach(),
            "a copy of θ": on_a_copy,
            "itself was changed": in_place,
            "itself was changed. All tasks": by_sgd,
            "factor x is missing": lambda t, x, y, lr: t - lr * 2 * (t * x - y).mean(),
            "θ was detached, by .data": lambda t, x, y, lr: t.data - lr * grad_of(t, x, y),
            "half the step": lambda t, x, y, lr: t - lr * grad_of(t, x, y) / 2,
            "θ − step is wanted": lambda t, x, y, lr: lr * grad_of(t, x, y),
            "is a mean missing": lambda t, x, y, lr: t - lr * 2 * x * (t * x - y),
            "returns a tuple": tuple_kept,
            "does it end with `return`": lambda t, x, y, lr: None,
        },
    },
    "3a.2": {
        "signature": "theta, tasks, lr",
        "given": {"inner_step": inner_step},
        "right": [over_tasks(query_loss), batched],
        "wrong": {
            "measured on the support set": over_tasks(
                lambda t, sx, sy, qx, qy, lr: query_loss(t, sx, sy, sx, sy, lr)
            ),
            "before it adapted": over_tasks(
                lambda t, sx, sy, qx, qy, lr: ((t * qx - qy) ** 2).mean()
            ),
            "adapted on the query set": over_tasks(
                lambda t, sx, sy, qx, qy, lr: query_loss(t, qx, qy, qx, qy, lr)
            ),
            "added the tasks up": over_tasks(query_loss, sum),
            "errors of a query set": over_tasks(
                lambda t, sx, sy, qx, qy, lr: 2 * query_loss(t, sx, sy, qx, qy, lr)
            ),
            "in this order": over_tasks(
                lambda t, sx, sy, qx, qy, lr: query_loss(t, sx, qx, sy, qy, lr)
            ),
            "got a list of length 3: is a mean missing": over_tasks(query_loss, list),
            "first task's loss alone": over_tasks(query_loss, lambda losses: losses[0]),
            "last task's loss alone": over_tasks(query_loss, lambda losses: losses[-1]),
            "is a mean missing": over_tasks(query_loss, torch.stack),
            "went on from the θ of the one before": carried_over,
            "one step for all tasks together": one_step_for_all,
            "θ itself was changed": over_tasks(
                lambda t, sx, sy, qx, qy, lr: ((in_place(t, sx, sy, lr) * qx - qy) ** 2).mean()
            ),
            "not enough values to unpack": lambda t, tasks, lr: [qx for _, _, qx, _ in tasks],
            "a copy of θ": over_tasks(
                lambda t, *task: query_loss(t.detach().clone().requires_grad_(), *task)
            ),
            "was detached": over_tasks(query_loss, lambda losses: sum(losses).item() / 3),
            "first-order MAML": over_tasks(
                lambda t, sx, sy, qx, qy, lr: (
                    ((t - lr * grad_of(t, sx, sy, False)) * qx - qy) ** 2
                ).mean()
            ),
        },
    },
    "3a.3": {
        "signature": "theta, adapted, outer_lr",
        "right": [
            lambda theta, adapted, lr: theta + lr * (adapted.mean(0) - theta),
            lambda theta, adapted, lr: torch.lerp(theta, adapted.sum(0) / len(adapted), lr),
        ],
        "wrong": {
            "moved away": lambda theta, adapted, lr: theta - lr * (adapted.mean(0) - theta),
            "added the tasks up": lambda theta, adapted, lr: theta + lr * (adapted - theta).sum(0),
            "the share outer_lr": lambda theta, adapted, lr: adapted.mean(0),
            "is a mean missing": lambda theta, adapted, lr: theta + lr * (adapted - theta),
            "shares are exchanged": lambda theta, adapted, lr: (
                lr * theta + (1 - lr) * adapted.mean(0)
            ),
            "the step alone": lambda theta, adapted, lr: lr * (adapted.mean(0) - theta),
            "the way to the mean": lambda theta, adapted, lr: theta + lr * adapted.mean(0),
            "a mean of its own": lambda theta, adapted, lr: theta + lr * (adapted.mean() - theta),
            "last task alone": lambda theta, adapted, lr: theta + lr * (adapted[-1] - theta),
            "first task alone": lambda theta, adapted, lr: theta + lr * (adapted[0] - theta),
            "as it came": lambda theta, adapted, lr: theta,
            "got [1.0880, -2.0400]": lambda theta, adapted, lr: (
                theta + lr**2 * (adapted.mean(0) - theta)
            ),
            "The axes don't fit": lambda theta, adapted, lr: theta + lr * (adapted.mean(1) - theta),
            "Reptile one task at a time": serial,
        },
    },
}
