"""How far a prediction is from the truth, one number a task."""

import torch
import torch.nn.functional as F
from torch import Tensor

IGNORE = -100  # a target that counts for nothing: padding in sequences


def mean_squared_error(prediction: Tensor, y: Tensor) -> Tensor:
    """Mean of (prediction − y)² per task: (T, n, *y), (T, n, *y) -> (T,)."""
    if prediction.shape != y.shape:
        raise ValueError(
            f"prediction has shape {tuple(prediction.shape)} and y {tuple(y.shape)}; they must be"
            " equal, or numbers would be compared crosswise"
        )
    return F.mse_loss(prediction, y, reduction="none").flatten(1).mean(1)


def cross_entropy(prediction: Tensor, y: Tensor) -> Tensor:
    """Mean negative log-likelihood per task: logits (T, n, ..., classes), y (T, n, ...) -> (T,).

    Targets of −100 are left out. Raises ValueError where the shapes don't fit.
    """
    _check_logits(prediction, y)
    each = F.cross_entropy(
        prediction.flatten(0, -2), y.flatten(), ignore_index=IGNORE, reduction="none"
    )
    counted = (y != IGNORE).flatten(1)  # (T, n·...)
    return each.view_as(counted).sum(1) / counted.sum(1).clamp(min=1)


def accuracy(prediction: Tensor, y: Tensor) -> Tensor:
    """Share of targets whose class has the largest logit, per task: -> (T,)."""
    _check_logits(prediction, y)
    counted = (y != IGNORE).flatten(1)
    right = (prediction.argmax(-1) == y).flatten(1) & counted
    return right.sum(1) / counted.sum(1).clamp(min=1)


accuracy.larger_is_better = True


def default_loss(prediction: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy where the targets are whole numbers, else mean squared error."""
    return (
        mean_squared_error(prediction, y) if y.is_floating_point() else cross_entropy(prediction, y)
    )


def default_metric(prediction: Tensor, y: Tensor) -> Tensor:
    """Accuracy where the targets are whole numbers, else mean squared error."""
    return mean_squared_error(prediction, y) if y.is_floating_point() else accuracy(prediction, y)


def _check_logits(prediction: Tensor, y: Tensor) -> None:
    if prediction.shape[:-1] != y.shape:
        raise ValueError(
            f"logits of shape {tuple(prediction.shape)} do not fit targets of shape"
            f" {tuple(y.shape)}: expected {(*y.shape, 'classes')}"
        )
    if not torch.compiler.is_compiling() and y.numel() and y.max() >= prediction.shape[-1]:
        raise ValueError(
            f"a target is class {y.max()}, but there are logits for {prediction.shape[-1]} classes:"
            " remap the labels of each task to 0 .. ways − 1, or give the network more outputs"
        )
