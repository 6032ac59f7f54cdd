"""A transformer that learns in its forward pass: the support set is its context."""

import torch
from torch import Tensor, nn

from course_utils.learners.base import MetaLearner, Predictor
from course_utils.losses import default_loss
from course_utils.tasks.base import Tasks


class InContext(MetaLearner):
    """Reads the support set as a context; no weight changes (Garg et al. 2022; Müller et al. 2022).

    An example (x, y) is one token of `width` numbers, a question a token with x alone. In each of
    `layers` layers a token looks at the support examples and at itself, never at another question,
    and no token has a position: neither the order of the examples nor the company of a question
    matters. For x (T, n, inputs) and real targets (T, n, outputs).

    In training each batch shows a random number of its support examples, 0 to all, so that one
    set of weights learns from few as from many.
    """

    def __init__(
        self, inputs: int = 1, outputs: int = 1, width: int = 64, layers: int = 4, heads: int = 4
    ):
        super().__init__()
        self.inputs, self.outputs = inputs, outputs
        self.width, self.layers, self.heads = width, layers, heads
        self.read_x = nn.Linear(inputs, width)
        self.read_y = nn.Linear(outputs, width)
        self.question = nn.Parameter(torch.zeros(width))  # what stands in y's place
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, heads, 2 * width, dropout=0.0, activation="gelu", batch_first=True,
                norm_first=True,
            )
            for _ in range(layers)
        )  # fmt: skip
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, outputs)

    def adapt(self, support_x: Tensor, support_y: Tensor) -> Predictor:
        """Nothing is computed yet: the predictor remembers the support set and reads it."""
        known = self.read_x(support_x) + self.read_y(support_y)  # (T, S, width)

        def predict(query_x: Tensor) -> Tensor:
            asked = self.read_x(query_x) + self.question  # (T, Q, width)
            tokens = torch.cat([known, asked], 1)
            hidden = may_not_see(known.shape[1], asked.shape[1]).to(tokens.device)
            for block in self.blocks:
                tokens = block(tokens, src_mask=hidden)
            return self.out(self.norm(tokens[:, known.shape[1] :]))  # (T, Q, outputs)

        return predict

    def forward(self, tasks: Tasks) -> Tensor:
        """The query loss (T,) after reading the support set; in training, a random part of it."""
        shots = tasks.support_x.shape[1]
        if self.training:
            shots = int(torch.randint(shots + 1, ()))
        predict = self.adapt(tasks.support_x[:, :shots], tasks.support_y[:, :shots])
        return default_loss(predict(tasks.query_x), tasks.query_y)


def may_not_see(support: int, queries: int) -> Tensor:
    """Row i, column j: True where token i must not look at token j, (S + Q, S + Q)."""
    seen = torch.eye(support + queries, dtype=torch.bool)
    seen[:, :support] = True
    return ~seen
