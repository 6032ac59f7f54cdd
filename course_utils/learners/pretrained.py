"""Strong baselines: train an ordinary classifier once, and give each new task a new last layer."""

import torch
from torch import Tensor, nn

from course_utils.learners.metric import MetricBased, cosine, prototypes
from course_utils.losses import cross_entropy
from course_utils.tasks.base import Tasks


class Pretrained(MetricBased):
    """An `encoder` and a `head` (n, d) -> (n, classes), trained as one ordinary classifier.

    Its training tasks must all have the same classes, 0 .. classes − 1, as `AllClasses` deals
    them. What is done with a new task's embeddings is up to `compare`; the head has no part in it.
    """

    def __init__(self, encoder: nn.Module, head: nn.Module):
        super().__init__(encoder)
        self.head = head

    def forward(self, tasks: Tasks) -> Tensor:
        """The loss of encoder and head on the query set, nothing adapted: (T,)."""
        return cross_entropy(self.head(self.encode(tasks.query_x)), tasks.query_y)


class NearestCentroid(Pretrained):
    """Tells new classes apart by the cosine to their mean embeddings (Chen et al. 2021).

    Their "Classifier-Baseline". A logit is the cosine over `temperature`.
    """

    def __init__(self, encoder: nn.Module, head: nn.Module, temperature: float = 0.1):
        super().__init__(encoder, head)
        self.temperature = temperature

    def compare(self, query: Tensor, support: Tensor, labels: Tensor) -> Tensor:
        return cosine(query, prototypes(support, labels)) / self.temperature


class LinearHead(Pretrained):
    """Fits a linear layer to each task's frozen embeddings (Chen et al. 2019, "Baseline").

    Softmax regression from nought, by `inner_steps` steps of gradient descent with rate `inner_lr`;
    choose both on validation tasks.
    """

    def __init__(
        self, encoder: nn.Module, head: nn.Module, inner_lr: float = 1.0, inner_steps: int = 100
    ):
        super().__init__(encoder, head)
        self.inner_lr, self.inner_steps = inner_lr, inner_steps

    def compare(self, query: Tensor, support: Tensor, labels: Tensor) -> Tensor:
        ones = torch.ones_like(support[..., :1])
        support = torch.cat([support, ones], -1)  # (T, S, d + 1): the bias is one more weight
        weight = torch.zeros_like(labels.mT @ support)  # (T, ways, d + 1)
        for _ in range(self.inner_steps):
            surplus = (support @ weight.mT).softmax(-1) - labels  # (T, S, ways)
            weight = weight - self.inner_lr * surplus.mT @ support / support.shape[1]
        return query @ weight[..., :-1].mT + weight[..., -1].unsqueeze(-2)
