"""Sine curves that differ in amplitude and phase (Finn et al. 2017, section 5.1)."""

import math

import torch
from torch import Tensor

from course_utils.tasks.base import Tasks, TaskSet, check_counts, check_range


def sinusoid(x: Tensor, amplitude: Tensor | float, phase: Tensor | float) -> Tensor:
    """amplitude · sin(x − phase), the curve without its noise."""
    return amplitude * torch.sin(x - phase)


class Sinusoids(TaskSet):
    """Each task is one sine curve: amplitude and phase are drawn uniformly, then points on it.

    x and y have shape (T, shots or queries, 1). `noise` is the standard deviation of what is
    added to every y, support and query alike. Raises ValueError for negative counts or noise.
    Source: Finn et al. 2017, section 5.1, for the default ranges.
    """

    def __init__(
        self,
        shots: int = 10,
        queries: int = 10,
        amplitude: tuple[float, float] = (0.1, 5.0),
        phase: tuple[float, float] = (0.0, math.pi),
        x_range: tuple[float, float] = (-5.0, 5.0),
        noise: float = 0.0,
    ):
        check_counts(shots=shots, queries=queries)
        for name, bounds in (("amplitude", amplitude), ("phase", phase), ("x_range", x_range)):
            check_range(name, bounds)
        if not noise >= 0:
            raise ValueError(f"noise must be 0 or more, got {noise}")
        self.shots, self.queries = shots, queries
        self.amplitude, self.phase, self.x_range = amplitude, phase, x_range
        self.noise = noise

    def sample(self, num_tasks: int, generator: torch.Generator | None = None) -> Tasks:
        check_counts(num_tasks=num_tasks)
        device = generator.device if generator else None

        def uniform(bounds, *shape):
            low, high = bounds
            return low + (high - low) * torch.rand(shape, generator=generator, device=device)

        amplitude = uniform(self.amplitude, num_tasks, 1, 1)
        phase = uniform(self.phase, num_tasks, 1, 1)
        x = uniform(self.x_range, num_tasks, self.shots + self.queries, 1)  # (T, S + Q, 1)
        y = sinusoid(x, amplitude, phase)
        if self.noise:
            y = y + self.noise * torch.randn(y.shape, generator=generator, device=device)
        s = self.shots
        return Tasks(x[:, :s], y[:, :s], x[:, s:], y[:, s:])
