"""Chapter 08: attention as a gradient step, a share of a batch, and how alike two layers are."""

import torch

from course_utils.exercises.exercise import Exercise, Mistake, compare


def judge_attention_step(answer) -> None:
    x = torch.tensor([[1.0, -0.5], [0.3, 2.0], [-1.2, 0.4], [0.7, 0.9], [2.0, -1.0]])
    y = torch.tensor([0.5, -1.0, 2.0, 0.3, -0.7])
    query, lr = torch.tensor([0.8, -1.5]), 0.3
    got = answer(x.clone(), y.clone(), query.clone(), lr)
    alike = x @ query  # (S,)
    right = lr * 2 / len(y) * (alike * y).sum()
    case = f"x = {x.tolist()}, y = {y.tolist()}, query = {query.tolist()}, lr = {lr}"
    compare(got, right, "The prediction", {
        "The sign is wrong: from w = 0 the step is −lr times the gradient, and the gradient is"
        " −2/S Σ y x.": -right,
        "The factor 2 is missing: the derivative of a square.": right / 2,
        "Divide by the number of examples: the loss is their mean.": right * len(y),
        "The factor 2/S is missing: the loss is the mean of squares.": right * len(y) / 2,
        "The rate is missing.": right / lr,
        "This is softmax attention: here the likeness itself is the weight, and nothing is"
        " normalised.": (alike.softmax(0) * y).sum(),
        "This is softmax attention, times the rate. Here nothing is normalised.":
            lr * (alike.softmax(0) * y).sum(),
        "This is the least squares solution's prediction, where the steps would lead; one step is"
        " asked for.": torch.linalg.lstsq(x, y.unsqueeze(1)).solution.squeeze(1) @ query,
        "These are distances; the key is compared with the query by their inner product.":
            lr * 2 / len(y) * (-(x - query).pow(2).sum(1) * y).sum(),
    }, case)  # fmt: skip
    got = answer(x[:2].clone(), y[:2].clone(), x[2].clone(), 0.5)
    right = 0.5 * ((x[:2] @ x[2]) * y[:2]).sum()
    compare(got, right, "Right so far. With other examples, two of them, the prediction", {})


def judge_share_loss(answer) -> None:
    tasks = torch.tensor([0.5, 1.5, 4.0, 2.0, 0.2])
    for parts in ((3, 2), (1, 2, 2), (5,)):
        world = len(parts)
        for losses in tasks.split(parts):
            got = answer(losses.clone(), 5, world)
            right = world * losses.sum() / 5
            compare(got, right, "The loss of this process", {
                "The mean of the own losses is right only where all shares are equal. A process"
                " with more tasks must count for more.": losses.mean(),
                "The gradients are averaged over processes, not added: multiply by their number.":
                    losses.sum() / 5,
                "Divide by the number of tasks in the whole batch.": world * losses.sum(),
                "The sum grows with the batch: divide by the number of tasks in it.": losses.sum(),
                "Divide by all tasks of the batch, not by the number of processes.":
                    losses.sum() / world,
                "This is the mean of the own losses times the number of processes.":
                    world * losses.mean(),
                "Weigh the mean of the own losses by the share, n / total; and then multiply by"
                " the number of processes.": losses.mean() * len(losses) ** 2 / 5,
            }, f"losses = {losses.tolist()}, total = 5, world = {world}")  # fmt: skip


def judge_cka(answer) -> None:
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(12, 3, generator=generator, dtype=torch.float64) + 2
    b = a @ torch.randn(3, 4, generator=generator, dtype=torch.float64)
    b = b + torch.randn(12, 4, generator=generator, dtype=torch.float64)
    got = answer(a.clone(), b.clone())
    ca, cb = a - a.mean(0), b - b.mean(0)

    def alike(u, v, power=2):
        return (v.mT @ u).norm() ** power / ((u.mT @ u).norm() * (v.mT @ v).norm())

    def rows(t):
        return t - t.mean(1, keepdim=True)

    case = "a = torch.randn(12, 3) + 2, b = a @ torch.randn(3, 4) + torch.randn(12, 4)"
    compare(got, alike(ca, cb), "The likeness", {
        "The columns are not centred: subtract each feature's mean over the examples.": alike(a, b),
        "You have centred the rows: each feature, a column, loses its mean over the examples.":
            alike(rows(a), rows(b)),
        "The norm above the line is squared.": alike(ca, cb, 1),
        "You have centred by the mean of all numbers: each column has its own.":
            alike(a - a.mean(), b - b.mean()),
        "Only one of the two is centred.": alike(ca, b),
        "Below the line stand the norms of aᵀa and bᵀb, not those of a and b.":
            (cb.mT @ ca).norm() ** 2 / (ca.norm() * cb.norm()),
        "Below the line stand the norms of aᵀa and bᵀb; yours are the squared norms of a and b.":
            (cb.mT @ ca).norm() ** 2 / (ca.norm() * cb.norm()) ** 2,
    }, case)  # fmt: skip
    turn, _ = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64))
    same = torch.as_tensor(answer(a.clone(), 5 * a @ turn))
    if (same - 1).abs() > 1e-6:
        raise Mistake(
            "A representation turned and stretched holds the same: the likeness should be 1, got"
            f" {same.item():.4f}."
        )


EXERCISES = {
    "8.1": Exercise(
        "linear attention that takes a gradient step",
        judge_attention_step,
        (
            "From w = 0 the gradient of mean (w·x − y)² is −2/S Σ y_s x_s.",
            "The step's prediction is w·q: each y_s is weighed by how much its key x_s and the"
            " query have in common, x_s·q.",
            "return lr * 2 / len(y) * ((x @ query) * y).sum()",
        ),
    ),
    "8.2": Exercise(
        "a share of a batch that counts for what it is",
        judge_share_loss,
        (
            "What you want in the end is the sum over all tasks, divided by their number.",
            "The gradients of the processes are averaged: that divides by `world` once too often.",
            "return world * losses.sum() / total",
        ),
    ),
    "8.3": Exercise(
        "linear centred kernel alignment",
        judge_cka,
        (
            "First centre: a = a - a.mean(0), and b likewise.",
            "torch.linalg.norm of a matrix is the root of the sum of its squares.",
            "a, b = a - a.mean(0), b - b.mean(0)\n"
            "return (b.T @ a).norm() ** 2 / ((a.T @ a).norm() * (b.T @ b).norm())",
        ),
    ),
}
