"""Looking into a learner: which layers change, which must, and which example moved what."""

import copy
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from course_utils.learners.base import MetaLearner
from course_utils.learners.gradient import Adapted, GradientBased
from course_utils.learners.per_task import Parameters, call


def layers_of(network: nn.Module) -> list[str]:
    """The names of the modules that hold weights, in order; norms count with the layer before."""
    return [
        name
        for name, module in network.named_modules()
        if isinstance(module, (nn.Linear, nn.modules.conv._ConvNd))
    ]


def weights_by_layer(network: nn.Module) -> dict[str, list[str]]:
    """Layer -> the names of its parameters, those of a norm that follows included."""
    layers, found = set(layers_of(network)), {}
    current = None
    for name, _ in network.named_parameters():
        owner = name.rpartition(".")[0]
        current = owner if owner in layers else current
        found.setdefault(current, []).append(name)
    return found


def freeze(learner: GradientBased, layers: Sequence[str]) -> GradientBased:
    """A copy of `learner` whose inner loop leaves these layers as they are."""
    frozen = copy.deepcopy(learner)
    names = weights_by_layer(frozen.network)
    if unknown := set(layers) - set(names):
        raise ValueError(f"no layer is called {unknown.pop()!r}; there are {', '.join(names)}")
    parameters = dict(frozen.network.named_parameters())
    for layer in layers:
        for name in names[layer]:
            parameters[name].requires_grad_(False)
    if not frozen.adaptable():
        frozen.inner_steps = 0
    return frozen


def relative_change(learner: GradientBased, adapted: Adapted) -> dict[str, Tensor]:
    """‖θ_i − θ‖ / ‖θ‖ of each layer's weights, for every task: layer -> (T,)."""
    start = dict(learner.network.named_parameters())
    found = {}
    for layer, names in weights_by_layer(learner.network).items():
        moved = sum((adapted.parameters[n] - start[n]).flatten(1).pow(2).sum(1) for n in names)
        found[layer] = (moved / sum(start[n].pow(2).sum() for n in names)).sqrt().detach()
    return found


def activations(network: nn.Module, parameters: Parameters, x: Tensor) -> dict[str, Tensor]:
    """What each layer passes on, for one task's x (n, *x) and these weights: layer -> (n, d).

    That is what the next layer is given, after norm and ReLU; of the last layer its output.
    """
    layers, found, hooks = layers_of(network), {}, []

    def keep(layer):
        return lambda module, given: found.update({layer: given[0].flatten(1)})

    for layer, following in pairwise(layers):
        module = network.get_submodule(following)
        hooks.append(module.register_forward_pre_hook(keep(layer)))
    try:
        with torch.no_grad():
            found[layers[-1]] = call(network, parameters, x)
    finally:
        for hook in hooks:
            hook.remove()
    return {layer: found[layer] for layer in layers}


def cka(a: Tensor, b: Tensor) -> float:
    """How alike two representations of the same n examples are, 0 to 1: (n, d), (n, e) -> number.

    ‖Bᵀ A‖² / (‖Aᵀ A‖ ‖Bᵀ B‖) with centred columns: linear centred kernel alignment, blind to
    rotations and to overall size (Kornblith et al. 2019, eq. 5).
    """
    a, b = (t.double() - t.double().mean(0) for t in (a, b))
    return ((b.mT @ a).norm() ** 2 / ((a.mT @ a).norm() * (b.mT @ b).norm())).item()


def influence(learner: MetaLearner, support_x: Tensor, support_y: Tensor, at: Tensor) -> Tensor:
    """∂ prediction(q) / ∂ y_s through all that `adapt` does: (Q, S), for one task.

    How far the prediction at each of `at` (Q, *x) would move if the y of one support example rose
    by a little, per unit of y. For support (S, *x) and (S, 1), any learner that can be
    differentiated; the idea is Koh and Liang's (2017), here exact, for the inner loop is short.
    """
    y = support_y.detach().clone().requires_grad_()
    with torch.enable_grad():
        predictions = learner.adapt(support_x.unsqueeze(0), y.unsqueeze(0))(at.unsqueeze(0))
        rows = [
            torch.autograd.grad(p, y, retain_graph=True)[0].flatten() for p in predictions.flatten()
        ]
    return torch.stack(rows)
