"""A memory that reads the support set, one example after the other."""

import torch
from torch import Tensor, nn

from course_utils.learners.base import MetaLearner, Predictor
from course_utils.losses import default_loss
from course_utils.networks import MLP
from course_utils.tasks.base import Tasks


class Recurrent(MetaLearner):
    """Remembers what it read of the support set; no weight changes (Hochreiter et al. 2001).

    All that adapts is the state (T, memory) of a gated recurrent unit, which reads the examples
    (x, y) in their order. A network that is given x beside this state predicts. For x (T, n,
    inputs) and real targets (T, n, outputs).

    In training each batch shows a random number of its support examples, 0 to all, so that one
    set of weights learns from few as from many.
    """

    def __init__(self, inputs: int = 1, outputs: int = 1, memory: int = 64, hidden: int = 128):
        super().__init__()
        self.inputs, self.outputs, self.memory, self.hidden = inputs, outputs, memory, hidden
        self.gru = nn.GRU(inputs + outputs, memory, batch_first=True)
        self.network = MLP(inputs + memory, hidden, hidden, outputs)

    def adapt(self, support_x: Tensor, support_y: Tensor) -> Predictor:
        state = support_x.new_zeros(len(support_x), self.memory)
        if support_x.shape[1]:
            state = self.gru(torch.cat([support_x, support_y], 2))[1][0]  # (T, memory)

        def predict(query_x: Tensor) -> Tensor:
            remembered = state.unsqueeze(1).expand(-1, query_x.shape[1], -1)
            return self.network(torch.cat([query_x, remembered], 2))

        return predict

    def forward(self, tasks: Tasks) -> Tensor:
        """The query loss (T,) after reading the support set; in training, a random part of it."""
        shots = tasks.support_x.shape[1]
        if self.training:
            shots = int(torch.randint(shots + 1, ()))
        predict = self.adapt(tasks.support_x[:, :shots], tasks.support_y[:, :shots])
        return default_loss(predict(tasks.query_x), tasks.query_y)
