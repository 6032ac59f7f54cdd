"""Learners that adapt by embedding the support set, and predict by comparing with it."""

from abc import abstractmethod
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_utils.learners.base import MetaLearner, Predictor

NORMS = (nn.GroupNorm, nn.modules.batchnorm._BatchNorm)
AT_ONCE = 250  # examples that are embedded together where no graph is kept: memory


class MetricBased(MetaLearner):
    """Embeds support and query examples with one `encoder` for all tasks, then compares them.

    `encoder` maps (n, *x) to (n, d), or to feature maps (n, channels, h, w) for RelationNet. A
    prediction for one query never depends on the other queries, unless `transductive`: then every
    normalisation layer takes its statistics from the task's support and query examples together.
    (BatchNorm keeps to this in evaluation mode, which `test` and `checkpoints.load` see to.)
    How many ways a task has is told by its support labels, 0 .. ways − 1.

    Raises ValueError for an encoder that has no other statistics than the batch's, or, if
    transductive, for one without normalisation layers.
    """

    def __init__(self, encoder: nn.Module, transductive: bool = False):
        super().__init__()
        norms = [m for m in encoder.modules() if isinstance(m, NORMS)]
        if transductive and not norms:
            raise ValueError(
                "transductive=True needs an encoder with GroupNorm or BatchNorm layers"
            )
        if not transductive and any(getattr(m, "running_mean", m) is None for m in norms):
            raise ValueError(
                "a BatchNorm layer with track_running_stats=False looks at the whole query set: use"
                " GroupNorm, or say transductive=True"
            )
        self.encoder, self.transductive = encoder, transductive

    def adapt(self, support_x: Tensor, support_y: Tensor) -> Predictor:
        """Embed (T, S, *x) with labels (T, S); the predictor gives logits (T, Q, ways)."""
        labels = one_hot(support_y)
        size = support_x.shape[1]
        support = None if self.transductive else self.encode(support_x)

        def predict(query_x: Tensor) -> Tensor:
            if self.transductive:
                both = self.encode(torch.cat([support_x, query_x], 1))
                pair = both[:, size:], both[:, :size]
            else:
                pair = self.encode(query_x), support
            with torch.autocast(query_x.device.type, enabled=False):  # near numbers are subtracted
                return self.compare(*pair, labels.to(pair[0].dtype))

        return predict

    def encode(self, x: Tensor) -> Tensor:
        """The embeddings of every task's examples: (T, n, *x) -> (T, n, d)."""
        if self.transductive:
            with batch_statistics(self.encoder):
                z = torch.stack([self.encoder(one) for one in x])
        else:
            flat = x.flatten(0, 1)
            pieces = [flat] if torch.is_grad_enabled() else flat.split(AT_ONCE)
            z = torch.cat([self.encoder(piece) for piece in pieces]).unflatten(0, x.shape[:2])
        return z.float() if z.dtype.itemsize < 4 else z

    @abstractmethod
    def compare(self, query: Tensor, support: Tensor, labels: Tensor) -> Tensor:
        """Logits (T, Q, ways) from embeddings (T, Q, d), (T, S, d), one-hot (T, S, ways)."""


class ProtoNet(MetricBased):
    """Compares with the mean of each class, its prototype (Snell et al. 2017, equations 1 and 2).

    A logit is minus the *squared* Euclidean distance. With `nn.Flatten()` for an encoder: nearest
    centroid on pixels.
    """

    def compare(self, query: Tensor, support: Tensor, labels: Tensor) -> Tensor:
        return -squared_distance(query, prototypes(support, labels))


class MatchingNet(MetricBased):
    """Attends to the support examples by cosine and adds up their labels (Vinyals et al. 2016, 1).

    A logit is the logarithm of the attention that a class receives. The attention is a softmax of
    cosines over `temperature`: the paper's is 1, which can't be surer than e² : 1 of anything.
    `context` embeds every example anew in sight of the support set (`FullContext`).
    """

    def __init__(
        self,
        encoder: nn.Module,
        context: nn.Module | None = None,
        temperature: float = 0.1,
        transductive: bool = False,
    ):
        super().__init__(encoder, transductive)
        if temperature <= 0:
            raise ValueError(f"temperature must be above 0, got {temperature}")
        self.context, self.temperature = context, temperature

    def compare(self, query: Tensor, support: Tensor, labels: Tensor) -> Tensor:
        if self.context is not None:
            query, support = self.context(query, support)
        attention = (cosine(query, support) / self.temperature).softmax(-1)  # (T, Q, S)
        share = attention @ labels  # (T, Q, ways)
        return share.clamp(min=torch.finfo(share.dtype).tiny).log()


class FullContext(nn.Module):
    """Full-context embeddings for MatchingNet (Vinyals et al. 2016, section 2.1.2 and appendix A).

    A bidirectional LSTM runs over the support set in the order it has; another LSTM reads it
    `steps` times for every query, by attention. Maps (T, Q, d) and (T, S, d) to the same shapes.
    """

    def __init__(self, features: int, steps: int = 5):
        super().__init__()
        self.features, self.steps = features, steps
        self.over_support = nn.LSTM(features, features, batch_first=True, bidirectional=True)
        self.reader = nn.LSTMCell(2 * features, features)

    def forward(self, query: Tensor, support: Tensor) -> tuple[Tensor, Tensor]:
        there, back = self.over_support(support)[0].chunk(2, -1)
        support = support + there + back  # (T, S, d)
        state, cell = query, torch.zeros_like(query)
        for _ in range(self.steps):
            read = (state @ support.mT).softmax(-1) @ support  # (T, Q, d)
            inputs = torch.cat([query, read], -1)
            hidden, cell = self.reader(
                inputs.flatten(0, 1), (state.flatten(0, 1), cell.flatten(0, 1))
            )
            cell = cell.view_as(query)
            state = hidden.view_as(query) + query
        return state, support


class RelationNet(MetricBased):
    """Learns the comparison too: `relation` scores pairs of prototype and query (Sung et al. 2018).

    `relation` maps pairs joined along axis 1, the prototype first, to (n, 1): (n, 2d), as with
    MLP(2 * d, 64, 1), or feature maps (n, 2 * channels, h, w). Its scores are logits, trained by
    cross-entropy as the others' are, where the paper has the squared error of a sigmoid.
    """

    def __init__(self, encoder: nn.Module, relation: nn.Module, transductive: bool = False):
        super().__init__(encoder, transductive)
        self.relation = relation

    def compare(self, query: Tensor, support: Tensor, labels: Tensor) -> Tensor:
        each = zip(query, prototypes(support, labels), strict=True)
        return torch.stack([self.scores(q, means) for q, means in each])

    def scores(self, query: Tensor, means: Tensor) -> Tensor:
        """One task's logits: (Q, *d), (ways, *d) -> (Q, ways)."""
        shape = (len(query), *means.shape)
        pairs = torch.cat([means.expand(shape), query.unsqueeze(1).expand(shape)], 2)
        return self.relation(pairs.flatten(0, 1)).view(shape[:2])


def one_hot(labels: Tensor) -> Tensor:
    """Labels (T, S) as (T, S, ways); ValueError unless each class has an example in each task."""
    if labels.is_floating_point() or labels.ndim != 2 or labels.shape[1] == 0:
        raise ValueError(
            f"support labels must be whole numbers of shape (T, S), at least one a class; got"
            f" {labels.dtype} of shape {tuple(labels.shape)}"
        )
    hot = F.one_hot(labels)
    if (hot.sum(1) == 0).any():
        raise ValueError(
            f"a task lacks examples of one of the {hot.shape[-1]} classes: each needs at least one,"
            " and the labels of each task must run from 0 to ways − 1"
        )
    return hot


def prototypes(support: Tensor, labels: Tensor) -> Tensor:
    """The mean embedding of each class: (T, S, *d), one-hot (T, S, ways) -> (T, ways, *d)."""
    weights = labels / labels.sum(1, keepdim=True)  # (T, S, ways)
    return torch.einsum("tsn,ts...->tn...", weights, support)


def squared_distance(a: Tensor, b: Tensor) -> Tensor:
    """‖a − b‖² = ‖a‖² − 2 a·b + ‖b‖² for every pair: (T, n, d), (T, m, d) -> (T, n, m).

    `formulas.squared_distance` for T tasks, without the differences in memory.
    """
    return a.pow(2).sum(-1, keepdim=True) - 2 * a @ b.mT + b.pow(2).sum(-1).unsqueeze(-2)


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """The cosine of the angle of every pair: (T, n, d), (T, m, d) -> (T, n, m)."""
    return F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).mT


@contextmanager
def batch_statistics(encoder: nn.Module):
    """Inside, normalisation layers use the mean and variance of each channel over the batch."""

    def normalised_anew(layer: nn.Module, inputs: tuple[Tensor], _: Tensor) -> Tensor:
        (x,) = inputs
        return F.batch_norm(x, None, None, layer.weight, layer.bias, training=True, eps=layer.eps)

    layers = [m for m in encoder.modules() if isinstance(m, NORMS)]
    hooks = [layer.register_forward_hook(normalised_anew) for layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
