"""The job with TorchOpt: differentiable optimisers that move a module and can put it back."""

import torch
import torch.nn.functional as F
import torchopt

from course_utils.tools.job import Job, network


def descent(job: Job):
    """Gradient steps; for first order nothing flows back through their gradients."""
    plain = torchopt.sgd(lr=job.inner_lr)
    if not job.first_order:
        return plain
    return torchopt.chain(torchopt.hook.register_hook(torch.zeros_like), plain)


def start(job: Job):
    """A step of MAML: note the state, adapt the module itself, judge, and put the state back."""
    model = network(job)
    theta = list(model.parameters())
    inner = torchopt.MetaOptimizer(model, descent(job))
    optimizer = torch.optim.Adam(theta, lr=job.outer_lr)

    def step(tasks):
        before = [torchopt.extract_state_dict(part, by="reference") for part in (model, inner)]
        losses = []
        for sx, sy, qx, qy in zip(*map(torch.from_numpy, tasks), strict=True):
            for _ in range(job.steps):
                inner.step(F.mse_loss(model(sx), sy))
            losses.append(F.mse_loss(model(qx), qy))
            for part, state in zip((model, inner), before, strict=True):
                torchopt.recover_state_dict(part, state)
        optimizer.zero_grad()
        losses = torch.stack(losses)
        losses.mean().backward()
        optimizer.step()
        return losses, [p.grad for p in theta]

    return step
