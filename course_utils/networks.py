"""The networks that the learners adapt."""

from itertools import pairwise

from torch import nn


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
