"""One training run on several processes: each takes its share of every batch of tasks.

    torchrun --nproc-per-node 2 -m course_utils.training "MAML(MLP(1, 40, 40, 1))" "Sinusoids()"

Every process draws the same batch and keeps its own part of it; DistributedDataParallel averages
the gradients, so that all hold the same weights at any time (Li et al. 2020).
"""

import os
from collections.abc import Callable
from contextlib import contextmanager

import torch
from torch import Tensor, distributed
from torch.nn.parallel import DistributedDataParallel

from course_utils.learners.base import MetaLearner
from course_utils.tasks.base import Tasks, share

Step = Callable[[Tasks, torch.optim.Optimizer], Tensor]


@contextmanager
def group():
    """Join the processes that torchrun started (gloo on CPUs, NCCL on GPUs); alone: do nothing."""
    if "WORLD_SIZE" not in os.environ:
        yield
        return
    # This module's default arguments keep whatever group there is when it is imported. Were that
    # left to DistributedDataParallel, the group's threads would outlive destroy_process_group,
    # and one that lets go of a tensor while Python shuts down aborts (pytorch, issue 190489).
    from torch.distributed import nn  # noqa: F401

    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield
    finally:
        distributed.destroy_process_group()


def processes() -> tuple[int, int]:
    """This process's number, 0 for the first, and how many there are."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def shared_step(learner: MetaLearner) -> Step:
    """`outer_step` with the batch shared out; returns the batch's mean loss, as a tensor (1,).

    The gradient is that of the mean over all tasks, also where the shares differ in size: a share
    of n of T tasks counts n / T, and as DistributedDataParallel divides by the number of
    processes, its loss is multiplied by it. Raises ValueError where there are fewer tasks than
    processes.
    """
    rank, world = processes()
    wrapped = DistributedDataParallel(learner)

    def step(tasks: Tasks, optimizer: torch.optim.Optimizer) -> Tensor:
        if len(tasks) < world:
            raise ValueError(
                f"{len(tasks)} tasks an update can't be shared by {world} processes:"
                f" set tasks_per_update to {world} or more"
            )
        own = share(len(tasks), rank, world)
        optimizer.zero_grad()
        weighted = wrapped(tasks.part(own.start, own.stop)).sum() / len(tasks)
        (world * weighted).backward()
        optimizer.step()
        mean = weighted.detach().reshape(1).clone()
        distributed.all_reduce(mean)  # the sum over processes
        return mean

    return step
