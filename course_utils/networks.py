"""The networks that the learners adapt."""

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class MLP(nn.Sequential):
    """A multi-layer perceptron: MLP(1, 40, 40, 1) has one input, two hidden layers and one output.

    Maps (..., sizes[0]) to (..., sizes[-1]) with ReLU between the layers.
    """

    def __init__(self, *sizes: int):
        if len(sizes) < 2:
            raise ValueError(f"an MLP needs at least an input and an output size, got {sizes}")
        layers = []
        for inputs, outputs in pairwise(sizes):
            layers += [nn.Linear(inputs, outputs), nn.ReLU()]
        super().__init__(*layers[:-1])
        self.sizes = sizes


class Conv4(nn.Sequential):
    """Four 3×3 convolutions of stride 2 and a linear head: images (n, 1, 28, 28) -> (n, outputs).

    The layout of Finn et al. 2017, section 5.2, for Omniglot, with group normalisation for batch
    normalisation: it uses no statistics over other examples, so a query is judged on its own.
    """

    def __init__(self, outputs: int, filters: int = 64):
        layers, channels = [], 1
        for _ in range(4):
            convolution = nn.Conv2d(channels, filters, 3, stride=2, padding=1)
            layers += [convolution, nn.GroupNorm(8, filters), nn.ReLU()]
            channels = filters
        super().__init__(*layers, nn.Flatten(), nn.Linear(filters * 2 * 2, outputs))
        self.outputs, self.filters = outputs, filters


class GRULanguageModel(nn.Module):
    """Predicts the next symbol from those before it, with a gated recurrent unit (Cho et al. 2014).

    Maps symbols (n, L), int64, to log-probabilities (n, L, symbols): position l has read x up to
    and with l, and says what y is there.
    """

    def __init__(self, symbols: int, embedding: int = 32, hidden: int = 128):
        super().__init__()
        self.symbols, self.embedding, self.hidden = symbols, embedding, hidden
        self.embed = nn.Embedding(symbols, embedding)
        self.gru = nn.GRU(embedding, hidden, batch_first=True)
        self.out = nn.Linear(hidden, symbols)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.gru(self.embed(x))  # (n, L, hidden)
        return self.out(states).log_softmax(-1)

    def run_many(self, parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        """T tasks at once, each with weights of its own: (T, n, L) -> (T, n, L, symbols).

        The same numbers as `forward` task by task, faster: each step is one batched product.
        """
        num_tasks, n, length = x.shape
        w = {
            k: parameters.get(k, p.expand(num_tasks, *p.shape)) for k, p in self.named_parameters()
        }
        own = torch.arange(num_tasks, device=x.device).view(-1, 1, 1) * self.symbols
        embedded = w["embed.weight"].flatten(0, 1)[x + own]  # (T, n, L, embedding)

        def affine(inputs, weight, bias):  # (T, m, in) -> (T, m, out)
            return torch.baddbmm(w[bias].unsqueeze(1), inputs, w[weight].mT)

        given = affine(embedded.flatten(1, 2), "gru.weight_ih_l0", "gru.bias_ih_l0")
        state = given.new_zeros(num_tasks, n, self.hidden)
        states = []
        for step in given.view(num_tasks, n, length, -1).unbind(2):  # (T, n, 3·hidden)
            kept = affine(state, "gru.weight_hh_l0", "gru.bias_hh_l0")
            a, b = step.split([2 * self.hidden, self.hidden], 2)
            c, d = kept.split([2 * self.hidden, self.hidden], 2)
            reset, update = (a + c).sigmoid().chunk(2, 2)
            state = torch.lerp((b + reset * d).tanh(), state, update)
            states.append(state)
        logits = affine(torch.stack(states, 2).flatten(1, 2), "out.weight", "out.bias")
        return logits.view(num_tasks, n, length, -1).log_softmax(-1)


class ResNet(nn.Sequential):
    """A small residual network for drawings: (n, 1, 28, 28) -> (n, outputs).

    A strided 5×5 convolution, a residual block for each of `widths`, all but the first halving
    height and width, and a linear layer on the last feature maps. He et al. 2016, with group
    normalisation.
    """

    def __init__(self, outputs: int = 128, widths: tuple[int, ...] = (32, 64, 96)):
        first = nn.Conv2d(1, widths[0], 5, stride=2, padding=2, bias=False)
        layers = [first, nn.GroupNorm(8, widths[0]), nn.ReLU(), Residual(widths[0], widths[0])]
        layers += [Residual(*pair, stride=2) for pair in pairwise(widths)]
        side = math.ceil(14 / 2 ** (len(widths) - 1))
        head = nn.Linear(widths[-1] * side**2, outputs)
        super().__init__(*layers, nn.Flatten(), head)
        self.outputs, self.widths = outputs, tuple(widths)


class Residual(nn.Module):
    """x + f(x), where f is two 3×3 convolutions; a 1×1 convolution fits x where shapes change."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1):
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.first_norm = nn.GroupNorm(8, outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.second_norm = nn.GroupNorm(8, outputs)
        self.fit = nn.Identity()
        if stride > 1 or inputs != outputs:
            halve = nn.AvgPool2d(stride, ceil_mode=True)
            self.fit = nn.Sequential(halve, nn.Conv2d(inputs, outputs, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:  # (n, inputs, h, w) -> (n, outputs, h/stride, w/stride)
        f = self.second_norm(self.second(F.relu(self.first_norm(self.first(x)))))
        return F.relu(self.fit(x) + f)


class LetterPairs(nn.Module):
    """How often each symbol and each pair of neighbours occurs: (n, L) -> (n, s + s²), s `symbols`.

    Roots of shares, so that both parts have length 1 and distances compare distributions
    (Hellinger's distance). It has no parameters.
    """

    def __init__(self, symbols: int):
        super().__init__()
        self.symbols = symbols

    def forward(self, x: Tensor) -> Tensor:
        counts = []
        pairs = x[:, :-1] * self.symbols + x[:, 1:]
        for what, kinds in ((x, self.symbols), (pairs, self.symbols**2)):
            one = torch.ones(what.shape, device=x.device)
            counts.append(torch.zeros(len(x), kinds, device=x.device).scatter_add_(1, what, one))
        return torch.cat([(c / c.sum(1, keepdim=True)).sqrt() for c in counts], 1)


class Scale(nn.Module):
    """Multiplies each of `features` numbers by a weight of its own, `start` at first."""

    def __init__(self, features: int, start: float = 1.0):
        super().__init__()
        self.features, self.start = features, start
        self.weight = nn.Parameter(torch.full((features,), start))

    def forward(self, x: Tensor) -> Tensor:  # (..., features) -> (..., features)
        return x * self.weight
