"""The job in PyTorch and nothing else: chapter 05's loop."""

import torch
import torch.nn.functional as F

from course_utils.tools.job import Job


def run(weights, x):
    """The network with these weights: (n, 1) -> (n, 1)."""
    for w, b in zip(weights[:-2:2], weights[1:-2:2], strict=True):
        x = F.relu(F.linear(x, w, b))
    return F.linear(x, *weights[-2:])


def start(job: Job):
    """A step of MAML, task after task; create_graph keeps the inner steps differentiable."""
    theta = [torch.tensor(w, requires_grad=True) for w in job.weights]
    optimizer = torch.optim.Adam(theta, lr=job.outer_lr)

    def step(tasks):
        losses = []
        for sx, sy, qx, qy in zip(*map(torch.from_numpy, tasks), strict=True):
            weights = theta
            for _ in range(job.steps):
                loss = F.mse_loss(run(weights, sx), sy)
                gradients = torch.autograd.grad(loss, weights, create_graph=not job.first_order)
                weights = [w - job.inner_lr * g for w, g in zip(weights, gradients, strict=True)]
            losses.append(F.mse_loss(run(weights, qx), qy))
        optimizer.zero_grad()
        losses = torch.stack(losses)
        losses.mean().backward()
        optimizer.step()
        return losses, [w.grad for w in theta]

    return step
