"""What every tool is asked for, in numpy, which all of them can read."""

from typing import NamedTuple

import numpy as np
import torch

from course_utils.networks import MLP
from course_utils.tasks import Sinusoids


class Job(NamedTuple):
    """Start from `weights`, adapt by `steps` gradient steps of size `inner_lr`, judge, move on."""

    weights: list[np.ndarray]  # W (out, in) and b (out,) of each layer
    tasks: list[np.ndarray]  # support x, support y, query x, query y: (T, n, 1) each
    inner_lr: float = 0.01
    outer_lr: float = 0.001
    steps: int = 5
    first_order: bool = False


def sinusoid_job(seed: int = 0, num_tasks: int = 25, dtype: str = "float64", **how) -> Job:
    """MLP 1-40-40-1 and `num_tasks` sinusoid tasks of ten shots and ten queries, drawn by `seed`.

    `how` is inner_lr, outer_lr, steps or first_order (Finn et al. 2017, section 5.1).
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        weights = [p.detach().numpy().astype(dtype) for p in MLP(1, 40, 40, 1).parameters()]
    tasks = Sinusoids(shots=10, queries=10).sample(num_tasks, generator)
    return Job(weights, [t.numpy().astype(dtype) for t in tasks[:4]], **how)


def network(job: Job) -> MLP:
    """An MLP that starts from the job's weights: for the tools that adapt torch's modules."""
    sizes = [w.shape[1] for w in job.weights[::2]] + [len(job.weights[-1])]
    made = MLP(*sizes).to(torch.from_numpy(job.weights[0]).dtype)
    with torch.no_grad():
        for parameter, weight in zip(made.parameters(), job.weights, strict=True):
            parameter.copy_(torch.from_numpy(weight))
    return made


def as_numpy(array) -> np.ndarray:
    """A tensor or array of any library as a numpy array of its own."""
    return np.array(array.detach().numpy() if isinstance(array, torch.Tensor) else array)
