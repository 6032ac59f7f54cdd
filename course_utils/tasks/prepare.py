"""Any drawing, brought into the form of the drawn characters: thinned, fitted, inked anew."""

from collections.abc import Iterable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from course_utils.tasks.handwriting import LONG_SIDE, fitted, inked

LONGEST = 80  # pixels of the long side of what is thinned
SMALLEST = 0.12  # of the picture's long side: what is smaller is enlarged only as if it were this
PEN = 1.7 / 28  # the pen's width, in pictures of side 1


def prepare(image, size: int = 28) -> Tensor:
    """A drawing (h, w), ink larger than paper, as (1, size, size) in the form of `Characters`.

    Centred, its long side 24/28 of the picture, in lines of one width: a thick pen and a thin one,
    a large picture and a small one give the same. What is darker than halfway between the
    lightest and the darkest value is ink. A picture of one value only has no ink and gives zeros.
    Raises ValueError for what is not two-dimensional or not finite.
    """
    return prepare_all([image], size)[0]


def prepare_all(images: Iterable, size: int = 28) -> Tensor:
    """`prepare` for many drawings at once: (n, 1, size, size)."""
    frames = [framed(np.asarray(image)) for image in images]
    if not frames:
        return torch.zeros(0, 1, size, size)
    lines = thin(np.stack([frame for frame, _ in frames]))  # (n, H, W)
    index, row, column = np.nonzero(lines)
    count = np.bincount(index, minlength=len(lines))
    place = np.arange(len(index)) - (np.cumsum(count) - count)[index]
    points = torch.zeros(len(lines), max(count.max(), 1), 2)
    there = torch.zeros(points.shape[:2], dtype=torch.bool)
    points[index, place] = torch.from_numpy(np.stack([column, row], 1)).float()
    there[index, place] = True
    least = torch.tensor([least for _, least in frames]).view(-1, 1)
    x, scale = fitted(points, there, LONG_SIDE, least)
    step = 1.1 * scale  # pixels of a line follow each other at 1 or √2
    width = torch.full((len(x),), PEN)
    at_once = 64
    parts = [slice(i, i + at_once) for i in range(0, len(x), at_once)]
    drawings = [inked(x[p] + 0.5, there[p] * step[p], width[p], size) for p in parts]
    return torch.cat(drawings)


def framed(image: np.ndarray) -> tuple[np.ndarray, float]:
    """The ink (True) cut out, its long side LONGEST, in a frame of fixed size; and the least long
    side, in the same pixels, that it is enlarged as if it had."""
    if image.ndim != 2:
        raise ValueError(
            f"a drawing has two dimensions, height and width; this has shape {image.shape}. Of a"
            " coloured picture take one channel, and turn it so that ink is the larger value"
        )
    image = image.astype(np.float32)
    if not np.isfinite(image).all():
        raise ValueError("a drawing must not hold NaN or infinite values")
    frame = np.zeros((LONGEST + 4, LONGEST + 4), bool)
    if image.size == 0 or image.min() == image.max():
        return frame, 1.0
    grey = (image - image.min()) / (image.max() - image.min())
    rows, columns = np.nonzero(grey > 0.5)
    cut = grey[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    scale = LONGEST / max(cut.shape)
    shape = [max(1, round(side * scale)) for side in cut.shape]
    tensor = torch.from_numpy(np.ascontiguousarray(cut))[None, None]
    if scale < 1:  # no thin line gets lost
        resized = F.adaptive_max_pool2d(tensor, shape)
    else:
        resized = F.interpolate(tensor, shape, mode="bilinear")
    top, left = ((LONGEST + 4 - side) // 2 for side in shape)
    frame[top : top + shape[0], left : left + shape[1]] = resized[0, 0].numpy() > 0.5
    return frame, SMALLEST * max(image.shape) * scale


def thin(ink: np.ndarray) -> np.ndarray:
    """Lines one pixel wide in the middle of the ink: (..., h, w) bool, the border empty.

    Zhang and Suen 1984: pixels are peeled from the south-east and the north-west in turn, as long
    as that neither cuts a line in two nor shortens one that is thin already.
    """
    shape, row = ink.shape, ink.shape[-1]
    ink = ink.astype(np.uint8).ravel()
    inner = np.flatnonzero(ink)  # where ink is left
    before = 0
    while len(inner) != before:
        before = len(inner)
        for table in PEELED:
            around = np.zeros(len(inner), np.uint8)  # the eight neighbours, a bit for each
            for bit, (down, right) in enumerate(AROUND):
                around |= ink[inner + down * row + right] << bit
            goes = table[around]
            ink[inner[goes]] = 0
            inner = inner[~goes]
    return ink.reshape(shape).astype(bool)


AROUND = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))  # from north


def peeled(corner: int) -> np.ndarray:
    """For each of the 256 neighbourhoods, whether its middle is peeled: (256,)."""
    n = np.arange(256)[:, None] >> np.arange(8) & 1  # (256, 8), in the order of AROUND
    north, east, south, west = n[:, ::2].T
    starts = ((n == 0) & (np.roll(n, -1, 1) == 1)).sum(1)  # lines that leave the middle
    if corner == 0:
        shut = (north & east & south) | (east & south & west)
    else:
        shut = (north & east & west) | (north & south & west)
    return (n.sum(1) >= 2) & (n.sum(1) <= 6) & (starts == 1) & (shut == 0)


PEELED = (peeled(0), peeled(1))
