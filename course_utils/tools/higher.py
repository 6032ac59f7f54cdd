"""The job with higher: a torch optimiser made differentiable."""

import warnings

import torch
import torch.nn.functional as F

from course_utils.tools.job import Job, network

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its last release, of 2020, uses `is` on a number
    import higher


def start(job: Job):
    """A step of MAML; copy_initial_weights=False or θ would get no gradient."""
    model = network(job)
    inner = torch.optim.SGD(model.parameters(), lr=job.inner_lr)
    optimizer = torch.optim.Adam(model.parameters(), lr=job.outer_lr)

    def constant(gradients):
        return [g.detach() for g in gradients] if job.first_order else gradients

    def step(tasks):
        losses = []
        for sx, sy, qx, qy in zip(*map(torch.from_numpy, tasks), strict=True):
            with higher.innerloop_ctx(model, inner, copy_initial_weights=False) as (net, descent):
                for _ in range(job.steps):
                    descent.step(F.mse_loss(net(sx), sy), grad_callback=constant)
                losses.append(F.mse_loss(net(qx), qy))
        optimizer.zero_grad()
        losses = torch.stack(losses)
        losses.mean().backward()
        optimizer.step()
        return losses, [p.grad for p in model.parameters()]

    return step
