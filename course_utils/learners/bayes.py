"""The best that any learner could do: the exact posterior prediction for sinusoids."""

import math

import numpy as np
import torch
from torch import Tensor

from course_utils.learners.base import MetaLearner, Predictor
from course_utils.tasks.sinusoids import Sinusoids


class BayesOptimalSinusoid(MetaLearner):
    """Knows how the sinusoids were drawn and predicts the posterior mean: no learner does better.

    A ceiling for the mean squared error on `task_set` (Bayes' rule; no learning). With noise the
    posterior is averaged over a grid of phases, and over the amplitude exactly, since given the
    phase the curve is linear in it. Without noise two generic points determine the curve, which
    is solved for; with fewer the posterior is averaged over the phases still possible.
    `nodes` is the number of phases in the grid (default: enough for the noise).
    """

    def __init__(self, task_set: Sinusoids, nodes: int | None = None):
        super().__init__()
        self.task_set = task_set
        self.nodes = nodes or min(8192, math.ceil(512 / max(task_set.noise, 0.0625)))

    def adapt(self, support_x: Tensor, support_y: Tensor) -> Predictor:
        x, y = support_x.double().squeeze(-1), support_y.double().squeeze(-1)  # (T, S)
        if self.task_set.noise or x.shape[1] < 2:
            weight, amplitude, phase = self._posterior(x, y)
            a = (weight * amplitude * phase.cos()).sum(1)  # (T,) mean of A cos φ
            b = (weight * amplitude * phase.sin()).sum(1)
        else:  # y = (A cos φ) sin x − (A sin φ) cos x is linear in its two unknowns
            features = torch.stack([x.sin(), -x.cos()], -1)  # (T, S, 2)
            a, b = torch.linalg.pinv(features).matmul(y.unsqueeze(-1)).squeeze(-1).T

        def predict(query_x: Tensor) -> Tensor:
            q = query_x.double().squeeze(-1)  # (T, Q)
            y = a.unsqueeze(1) * q.sin() - b.unsqueeze(1) * q.cos()
            return y.unsqueeze(-1).to(query_x.dtype)

        return predict

    def _posterior(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Each phase's posterior weight, mean amplitude given it (T, N), and the phases (N,)."""
        phase, weight = (torch.from_numpy(a).to(x) for a in self._grid())
        s = torch.sin(x.unsqueeze(2) - phase)  # (T, S, N): y = A s + noise
        if self.task_set.noise or x.shape[1] == 0:
            return *self._given_phase(s, y.unsqueeze(2), weight), phase
        # one exact point: A = y / s, with the density of y at that A, 1 / |s|
        s = s.squeeze(1)
        amplitude = y / s
        smallest, largest = self.task_set.amplitude
        possible = (amplitude >= smallest) & (amplitude <= largest)
        weight = torch.where(possible, weight / s.abs(), 0)
        total = weight.sum(1, keepdim=True).clamp(min=torch.finfo(weight.dtype).tiny)
        return weight / total, torch.where(possible, amplitude, 0), phase

    def _grid(self) -> tuple[np.ndarray, np.ndarray]:
        """Phases and their weights: the prior's range in panels of 16 Gauss–Legendre nodes each."""
        node, weight = np.polynomial.legendre.leggauss(16)
        edges = np.linspace(*self.task_set.phase, max(1, self.nodes // 16) + 1)
        half = np.diff(edges)[:, None] / 2  # (panels, 1)
        return (edges[:-1, None] + half * (node + 1)).ravel(), (half * weight).ravel()

    def _given_phase(self, s: Tensor, y: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """The amplitude integrated out: least squares, cut off at the prior's bounds."""
        low, high = self.task_set.amplitude
        noise = self.task_set.noise or 1.0
        precision = (s.pow(2).sum(1) / noise**2).clamp(min=1e-8)  # (T, N)
        mean = (s * y).sum(1) / noise**2 / precision
        log_mass, amplitude = truncated_normal(mean, precision.rsqrt(), low, high)
        log_weight = weight.log() + mean.pow(2) * precision / 2 + log_mass
        return log_weight.softmax(1), amplitude


def truncated_normal(mean: Tensor, sd: Tensor, low: float, high: float) -> tuple[Tensor, Tensor]:
    """log ∫ exp(−(a − mean)² / 2 sd²) da over [low, high], and the mean of a under that density.

    Exact also where [low, high] lies far out in a tail. Source: the truncated normal distribution.
    """
    alpha, beta = (low - mean) / sd, (high - mean) / sd
    flip = alpha + beta > 0  # mirror, so that the interval lies on the accurate, lower side
    a, b = torch.where(flip, -beta, alpha), torch.where(flip, -alpha, beta)
    log_b = torch.special.log_ndtr(b)
    log_mass = log_b + torch.log1p(-torch.exp(torch.special.log_ndtr(a) - log_b))
    shift = (_log_pdf(a) - log_mass).exp() - (_log_pdf(b) - log_mass).exp()
    shift = torch.where(flip, -shift, shift)
    return log_mass + sd.log() + math.log(2 * math.pi) / 2, (mean + sd * shift).clamp(low, high)


def _log_pdf(z: Tensor) -> Tensor:
    return -z.pow(2) / 2 - math.log(2 * math.pi) / 2
