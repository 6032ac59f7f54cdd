"""Learners whose inner loop is solved at once: a ridge regression, a Gaussian process."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_utils.learners.base import MetaLearner, Predictor
from course_utils.learners.metric import one_hot
from course_utils.tasks.base import Tasks


class RidgeHead(MetaLearner):
    """Solves a ridge regression on meta-learned features (R2-D2: Bertinetto et al. 2019).

    `encoder` maps (n, *x) to (n, d). The weights W = Zᵀ (Z Zᵀ + λ I)⁻¹ Y cost the solution of an
    S × S system (Woodbury's identity), and their gradient is exact; a logit is a Z W + b. λ, a and
    b are meta-learned with the encoder.
    """

    def __init__(self, encoder: nn.Module):
        super().__init__()
        self.encoder = encoder
        self.log_ridge = nn.Parameter(torch.tensor(0.0))
        self.log_scale = nn.Parameter(torch.tensor(1.0))
        self.shift = nn.Parameter(torch.tensor(0.0))

    def adapt(self, support_x: Tensor, support_y: Tensor) -> Predictor:
        """From (T, S, *x) with labels (T, S); the predictor gives logits (T, Q, ways)."""
        labels = one_hot(support_y)
        z = self.encode(support_x)  # (T, S, d)
        ridge = self.log_ridge.exp() * torch.eye(z.shape[1], dtype=z.dtype, device=z.device)
        weights = z.mT @ torch.linalg.solve(z @ z.mT + ridge, labels.to(z.dtype))  # (T, d, ways)
        return lambda query_x: self.log_scale.exp() * (self.encode(query_x) @ weights) + self.shift

    def encode(self, x: Tensor) -> Tensor:
        """The features of every task's examples: (T, n, *x) -> (T, n, d)."""
        return self.encoder(x.flatten(0, 1)).unflatten(0, x.shape[:2])


class BitWeights(nn.Module):
    """Multiplies each of `bits` inputs by a learned positive weight; the result has length 1.

    The smallest encoder for a fingerprint: one number a bit. Inputs beyond `bits` are dropped.
    Maps (n, bits or more) to (n, bits).
    """

    def __init__(self, bits: int):
        super().__init__()
        self.bits = bits
        self.log_weight = nn.Parameter(torch.zeros(bits))

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(x[..., : self.bits] * self.log_weight.exp(), dim=-1)


def tanimoto(a: Tensor, b: Tensor, weight: Tensor | None = None) -> Tensor:
    """Shared bits by bits in either, each counted by its weight: (T, n, d), (T, m, d) -> (T, n, m).

    1 for equal fingerprints, 0 for those with nothing in common (Jaccard 1901). For 0/1 inputs
    and weights of 0 or more it is a positive semi-definite kernel (Ralaivola et al. 2005).
    """
    weighted = a if weight is None else a * weight
    shared = weighted @ b.mT
    in_a = weighted.sum(-1).unsqueeze(-1)  # (T, n, 1)
    in_b = (b if weight is None else b * weight).sum(-1).unsqueeze(-2)  # (T, 1, m)
    return shared / (in_a + in_b - shared).clamp(min=1e-9)


class TanimotoNeighbor(MetaLearner):
    """The label of the most similar molecule: a logit is the greatest similarity within a class.

    Similarity is Tanimoto's, on the first `bits` inputs. Nothing is meta-learned.
    """

    def __init__(self, bits: int):
        super().__init__()
        self.bits = bits

    def adapt(self, support_x: Tensor, support_y: Tensor) -> Predictor:
        labels = one_hot(support_y).bool()  # (T, S, ways)

        def predict(query_x: Tensor) -> Tensor:
            near = tanimoto(query_x[..., : self.bits], support_x[..., : self.bits])  # (T, Q, S)
            far = torch.tensor(-1.0, device=near.device)
            return torch.stack(
                [near.where(own.unsqueeze(1), far).amax(2) for own in labels.unbind(2)], 2
            )

        return predict


class TanimotoGP(MetaLearner):
    """A Gaussian process whose kernel and mean are meta-learned (deep kernel transfer).

    The kernel is a sum of Tanimoto similarities, one for each of the fingerprints whose sizes are
    `blocks`; shares, size, noise and a weight for every bit are learned. The mean is linear in the
    inputs that follow the bits, `extra` of them: what makes a molecule active on proteins in
    general. Labels count as −1 and 1 with Gaussian noise. `forward` is minus the log marginal
    likelihood of a task's support and query set together, by number of examples.

    Source: Patacchiola et al. 2020; the kernel is Ralaivola et al.'s (2005), a meta-learned mean
    Fortuin and Rätsch's (2019).
    """

    def __init__(self, blocks: tuple[int, ...], extra: int = 0):
        super().__init__()
        self.blocks, self.extra = tuple(blocks), extra
        self.log_weight = nn.Parameter(torch.zeros(sum(blocks)))
        self.share = nn.Parameter(torch.zeros(len(blocks)))  # softmax: the blocks' shares
        self.log_size = nn.Parameter(torch.tensor(-0.5))
        self.log_noise = nn.Parameter(torch.tensor(-0.5))
        self.slope = nn.Parameter(torch.zeros(extra))

    def kernel(self, a: Tensor, b: Tensor) -> Tensor:
        """k(a, b): (T, n, x), (T, m, x) -> (T, n, m)."""
        parts, start = 0, 0
        for size, share in zip(self.blocks, self.share.softmax(0), strict=True):
            place = slice(start, start + size)
            weight = self.log_weight[place].exp()
            parts = parts + share * tanimoto(a[..., place], b[..., place], weight)
            start += size
        return self.log_size.exp() * parts

    def mean(self, x: Tensor) -> Tensor:
        """What is expected of a molecule before any is measured: (T, n, x) -> (T, n)."""
        start = sum(self.blocks)
        return x[..., start : start + self.extra] @ self.slope

    def covariance(self, x: Tensor) -> Tensor:
        """The kernel of x with itself, noise on the diagonal: (T, n, x) -> (T, n, n)."""
        noise = self.log_noise.exp() * torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
        return self.kernel(x, x) + noise

    def posterior(self, support_x: Tensor, support_y: Tensor):
        """A function from (T, Q, x) to the mean and variance (T, Q) of the label, −1 or 1."""
        residual = (2.0 * support_y - 1 - self.mean(support_x)).unsqueeze(2)  # (T, S, 1)
        factor = torch.linalg.cholesky(self.covariance(support_x))
        alpha = torch.cholesky_solve(residual, factor)

        def at(query_x: Tensor) -> tuple[Tensor, Tensor]:
            cross = self.kernel(query_x, support_x)  # (T, Q, S)
            mean = self.mean(query_x) + (cross @ alpha).squeeze(2)
            seen = torch.linalg.solve_triangular(factor, cross.mT, upper=False)  # (T, S, Q)
            prior = self.log_size.exp() + self.log_noise.exp()  # a molecule is like itself
            return mean, (prior - seen.pow(2).sum(1)).clamp(min=1e-6)

        return at

    def adapt(self, support_x: Tensor, support_y: Tensor) -> Predictor:
        """From (T, S, x) with labels 0 and 1; logits (T, Q, 2), whose difference is 2 mean."""
        at = self.posterior(support_x, support_y)

        def predict(query_x: Tensor) -> Tensor:
            mean, _ = at(query_x)
            return torch.stack([-mean, mean], 2)

        return predict

    def forward(self, tasks: Tasks) -> Tensor:
        """Minus the log marginal likelihood of each task's labels, by their number: (T,)."""
        x = torch.cat([tasks.support_x, tasks.query_x], 1)
        y = 2.0 * torch.cat([tasks.support_y, tasks.query_y], 1) - 1
        factor = torch.linalg.cholesky(self.covariance(x))
        residual = (y - self.mean(x)).unsqueeze(2)  # (T, n, 1)
        white = torch.linalg.solve_triangular(factor, residual, upper=False).squeeze(2)
        log_root = factor.diagonal(dim1=1, dim2=2).log().sum(1)
        return white.pow(2).mean(1) / 2 + (log_root / y.shape[1]) + math.log(2 * math.pi) / 2
