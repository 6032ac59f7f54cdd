"""From pen strokes to drawings: a hand that never writes the same way twice, and a pen."""

import json
from dataclasses import dataclass, fields
from functools import cache

import numpy as np
import torch
from safetensors.numpy import load_file
from torch import Tensor

from course_utils.environment import data_path

POINTS = 96  # a letter is followed in this many steps of equal length
TURNS = 8  # quarter turns, of a letter and of its mirror image
STROKES = 8  # strokes that move apart from each other; a ninth moves with the first
AT_ONCE = 128  # letters; few enough that all stays in the processor's cache
BENDS = 12  # independent trembles along a letter
STORED = ("points", "points_per_stroke", "strokes_per_letter")
LONG_SIDE = 24 / 28  # of the picture that a letter fills


@dataclass
class Letters:
    """N letters, each as POINTS points in equal steps; centred, the long side is 1, y runs down."""

    point: Tensor  # (N, P, 2)
    rounded: Tensor  # (N, P, 2) the same with corners cut
    bow: Tensor  # (N, P, 2) where a stroke goes that is bent, relative to where it is
    centre: Tensor  # (N, P, 2) the middle of the point's stroke
    stroke: Tensor  # (N, P) int64, which stroke the point is on, 0 .. STROKES - 1
    along: Tensor  # (N, P) how far along that stroke, 0 .. 1
    spare: Tensor  # (N, P) 1 where a careless hand may leave the stroke out: it is short
    length: Tensor  # (N, 1) of all strokes together

    def __getitem__(self, index: Tensor) -> "Letters":
        return Letters(*(getattr(self, f.name)[index] for f in fields(self)))

    def turned(self, turn: Tensor) -> "Letters":
        """Each letter turned and mirrored, turn (N,) being 0 (as it is) .. TURNS − 1."""
        eighth = turns(turn.device)[turn]  # (N, 2, 2)
        moved = (x @ eighth for x in (self.point, self.rounded, self.bow, self.centre))
        return Letters(*moved, self.stroke, self.along, self.spare, self.length)

    def to(self, device: torch.device) -> "Letters":
        return Letters(*(getattr(self, f.name).to(device) for f in fields(self)))


@cache
def stored() -> tuple[Letters, dict[str, dict]]:
    """All letters of data/characters, and script -> {"split", "letters" ...} in their order."""
    raw = load_file(data_path("characters", "strokes.safetensors"))
    scripts = json.loads(data_path("characters", "scripts.json").read_text(encoding="utf8"))
    points, per_stroke, per_letter = (raw[name] for name in STORED)
    stroke = np.cumsum([0, *per_letter])  # the first of each letter
    point = np.cumsum([0, *per_stroke])  # the first of each stroke
    parts = []
    for low in range(0, len(per_letter), 512):  # all at once would take 50 MB more
        high = min(low + 512, len(per_letter))
        a, b = stroke[low], stroke[high]
        part = points[point[a] : point[b]], per_stroke[a:b], per_letter[low:high]
        parts.append(in_steps(*part))
    together = (torch.cat([getattr(part, f.name) for part in parts]) for f in fields(Letters))
    return Letters(*together), scripts


def in_steps(
    points: np.ndarray, points_per_stroke: np.ndarray, strokes_per_letter: np.ndarray
) -> Letters:
    """Letters from their corners: points (M, 2), all letters' strokes one after the other."""
    points = points.astype(np.float64)
    points_per_stroke, strokes_per_letter = (
        a.astype(np.int64) for a in (points_per_stroke, strokes_per_letter)
    )
    first = np.cumsum(points_per_stroke) - points_per_stroke  # of each stroke
    letter_of_stroke = np.repeat(np.arange(len(strokes_per_letter)), strokes_per_letter)
    stroke_of_point = np.repeat(np.arange(len(first)), points_per_stroke)
    letter_of_point = letter_of_stroke[stroke_of_point]

    low, high = (np.full((len(strokes_per_letter), 2), s * np.inf) for s in (1, -1))
    np.minimum.at(low, letter_of_point, points)
    np.maximum.at(high, letter_of_point, points)
    points = points - ((low + high) / 2)[letter_of_point]
    points /= np.maximum((high - low).max(1), 1)[letter_of_point, None]

    step = np.linalg.norm(np.diff(points, axis=0, prepend=points[:1]), axis=1)
    step[first] = 0  # from stroke to stroke the pen is lifted
    own = np.bincount(stroke_of_point, step)  # length of each stroke
    least = 2.5 / POINTS * np.bincount(letter_of_stroke, own)[letter_of_stroke]
    step *= np.maximum(least / own, 1)[stroke_of_point]  # a dot is worth a point or two
    way = np.cumsum(step)  # the pen's way through all letters
    ends = np.cumsum(np.bincount(letter_of_point, step))
    length = np.diff(ends, prepend=0)
    at = ((np.arange(POINTS) + 0.5) / POINTS * length[:, None] + (ends - length)[:, None]).ravel()
    # the corner before each point; of corners at the same place the last, which begins a stroke
    before = np.clip(np.searchsorted(way, at, side="right") - 1, 0, len(way) - 2)
    share = ((at - way[before]) / np.maximum(way[before + 1] - way[before], 1e-9))[:, None]
    point = points[before] * (1 - share) + points[before + 1] * share
    stroke = stroke_of_point[before]

    last = first + points_per_stroke - 1
    own = (way[last] - way[first])[stroke]  # for each point
    along = (at - way[first][stroke]) / own
    chord = (points[last] - points[first])[stroke]
    bow = np.stack([-chord[:, 1], chord[:, 0]], 1) * (4 * along * (1 - along))[:, None]
    middle = np.stack([np.bincount(stroke, point[:, i], len(first)) for i in (0, 1)], 1)
    middle /= np.maximum(np.bincount(stroke, minlength=len(first)), 1)[:, None]
    number = stroke - np.repeat(np.cumsum(strokes_per_letter) - strokes_per_letter, POINTS)
    spare = own < 0.25 * np.repeat(length, POINTS)

    def shaped(values, dtype=torch.float32):
        return torch.from_numpy(values).to(dtype).view(len(length), POINTS, *values.shape[1:])

    return Letters(
        shaped(point),
        shaped(cut_corners(point, stroke)),
        shaped(bow),
        shaped(middle[stroke]),
        shaped(number % STROKES, torch.int64),
        shaped(along),
        shaped(spare),
        torch.from_numpy(length).float()[:, None],
    )


def cut_corners(point: np.ndarray, stroke: np.ndarray, times: int = 12) -> np.ndarray:
    """Each point moved towards the middle of its neighbours on the same stroke, many times."""
    inner = np.zeros(len(stroke), bool)
    inner[1:-1] = (stroke[1:-1] == stroke[:-2]) & (stroke[1:-1] == stroke[2:])
    for _ in range(times):
        mean = (np.roll(point, 1, 0) + np.roll(point, -1, 0)) / 4 + point / 2
        point = np.where(inner[:, None], mean, point)
    return point


@cache
def turns(device: torch.device) -> Tensor:
    """The symmetries of the square, the first of which changes nothing: (TURNS, 2, 2)."""
    quarter, mirror = torch.tensor([[0.0, 1.0], [-1.0, 0.0]]), torch.diag(torch.tensor([-1.0, 1.0]))
    four = [torch.linalg.matrix_power(quarter, k) for k in range(4)]
    return torch.stack([*four, *(mirror @ q for q in four)]).to(device)


# --- the hand -----------------------------------------------------------------------------------

STYLE = 6  # numbers that tell one drawer from another


def styles(*shape: int, generator: torch.Generator | None = None, device=None) -> Tensor:
    """Drawers, each a standard normal vector: (*shape, STYLE)."""
    return torch.randn(*shape, STYLE, generator=generator, device=device)


def written(letters: Letters, style: Tensor, generator: torch.Generator | None = None):
    """Each of B letters written once by its drawer, style (B, STYLE).

    Returns points (B, P, 2) in a picture of side 1, and the ink at each point (B, P): the length
    of line that it stands for, or 0 where the pen missed.
    """
    slant, wide, rounding, shaky, careless, _ = style.unsqueeze(-1).unbind(1)  # (B, 1) each
    b, device = len(style), style.device
    normal = torch.randn(b, 22 + 6 * STROKES + 2 * BENDS, generator=generator, device=device)
    own, strokes, bends = normal.split([22, 6 * STROKES, 2 * BENDS], 1)
    lot = torch.rand(b, 9 + 3 * STROKES, generator=generator, device=device)
    shaky, careless = (0.3 * shaky).exp(), (0.3 * careless).exp()

    # corners cut or sharpened, trembling
    cut = (0.5 + 0.35 * rounding + 0.2 * own[:, :1]).clamp(-0.2, 1.0).unsqueeze(2)
    x = letters.point + cut * (letters.rounded - letters.point)  # (B, P, 2)
    tremble = bends.view(b, 2, BENDS) @ ramps(device)  # (B, 2, P)
    x = x + (0.017 * shaky).unsqueeze(2) * tremble.transpose(1, 2)

    # every stroke a little displaced, turned, stretched and bent
    strokes = strokes.view(b, STROKES, 6) * careless.unsqueeze(2)
    strokes = torch.cat([strokes, lot[:, 9:].view(b, STROKES, 3)], 2)
    first = STROKES * torch.arange(b, device=device).unsqueeze(1)
    move, reach = strokes.flatten(0, 1)[letters.stroke + first].split([6, 3], 2)  # (B, P, 6)
    d = x - letters.centre
    turned = torch.stack([-d[..., 1], d[..., 0]], 2)
    x = letters.centre + d * (1 + 0.07 * move[..., 2:4]) + 0.07 * move[..., 4:5] * turned
    x = x + 0.02 * move[..., :2] + 0.055 * move[..., 5:] * letters.bow

    # the sheet of rubber: three slow waves
    pace, push = own[:, 1:7].view(b, 3, 2), own[:, 7:13].view(b, 3, 2)
    phase = 2 * torch.pi * lot[:, :3].unsqueeze(1)  # (B, 1, 3)
    x = x + 0.045 * torch.sin(3.2 * (x @ pace.transpose(1, 2)) + phase) @ push

    # slant, proportions, a turn
    shear = 0.16 * slant + 0.07 * own[:, 13:14]
    aspect = torch.exp(0.12 * wide + 0.09 * own[:, 14:15])
    angle = 0.09 * own[:, 15:16]
    skew = 0.07 * own[:, 16:17]
    right, down = x.unbind(2)  # (B, P) each
    right, down = aspect * (right - shear * down), down + skew * right
    x = torch.stack([right - angle * down, down + angle * right], 2)

    # ends that fall short, and small strokes forgotten
    short = (reach[..., :2] - 0.75).clamp(min=0) * (0.3 * careless).unsqueeze(2)
    there = (letters.along >= short[..., 0]) & (1 - letters.along >= short[..., 1])
    forgotten = (reach[..., 2] < 0.03 * careless) & (letters.spare > 0)
    there = there & ~forgotten

    x, scale = fitted(x, there, LONG_SIDE * torch.exp(0.03 * own[:, 17:18]))
    x = x + 0.5 + 0.012 * own[:, 18:20].unsqueeze(1)
    return x, there * (letters.length / POINTS * scale)


def fitted(x: Tensor, there: Tensor, long_side: Tensor | float, least: float = 0.15):
    """Points (B, P, 2) centred at 0 with this long side, and the scale (B, 1); those not there
    don't count, and what is smaller than `least` is enlarged as if it were that large."""
    far = torch.where(there, 0.0, torch.inf).unsqueeze(2)
    low, high = (x + far).amin(1), (x - far).amax(1)  # (B, 2)
    nothing = ~there.any(1, keepdim=True)
    low, high = low.masked_fill(nothing, 0.0), high.masked_fill(nothing, 0.0)
    scale = long_side / (high - low).amax(1, keepdim=True).clamp(min=least)
    return (x - ((low + high) / 2).unsqueeze(1)) * scale.unsqueeze(2), scale


@cache
def ramps(device: torch.device) -> Tensor:
    """Linear interpolation from BENDS values to POINTS: (BENDS, P)."""
    at = torch.linspace(0, BENDS - 1, POINTS, device=device)
    return (1 - (at - torch.arange(BENDS, device=device)[:, None]).abs()).clamp(min=0)


# --- the pen ------------------------------------------------------------------------------------


def pens(style: Tensor) -> Tensor:
    """How wide each drawer's pen is, (B,), in pictures of side 1."""
    return (1.7 + 0.3 * style[:, 5]).clamp(1.2, 2.6) / 28


def inked(points: Tensor, ink: Tensor, width: Tensor, size: int) -> Tensor:
    """Drawings (B, 1, size, size), antialiased: 1 within half a pen's width (B,) of the points.

    Around every point lies a Gaussian, weighted by the length of line the point stands for. Their
    sum at a pixel, one matrix product as Gaussians are separable, is exp(−d² / 2σ²) where d is
    the distance to a straight line; its logarithm is a smooth minimum of squared distances.
    """
    points, ink = points * size - 0.5, ink * size
    sigma = (0.5 * ink.amax(1)).clamp(min=0.45).view(-1, 1, 1)  # wider than the gaps
    unit = 2**0.5 * sigma
    pixels = torch.arange(size, device=points.device, dtype=points.dtype).view(1, -1, 1) / unit
    x, y = (p.unsqueeze(1) - pixels for p in (points / unit).unbind(2))  # (B, size, P)
    # far enough is far enough: smaller numbers than exp(-30) make processors slow
    x, y = (d.square_().clamp_(max=30).neg_().exp_() for d in (x, y))
    y *= ink.unsqueeze(1) / (torch.pi**0.5 * unit)
    field = torch.bmm(y, x.transpose(1, 2))  # (B, size, size)
    distance = (-2 * sigma**2 * torch.log(field.clamp(1e-30, 1.0))).sqrt()
    return (0.5 + 0.5 * size * width.view(-1, 1, 1) - distance).clamp(0, 1).unsqueeze(1)


def drawn(
    letters: Letters,
    rows: Tensor,
    style: Tensor,
    size: int,
    generator: torch.Generator | None = None,
    turn: Tensor | None = None,
) -> Tensor:
    """Letters number `rows` (B,), each written by its drawer (B, STYLE): (B, 1, size, size)."""
    sheets = []
    for start in range(0, len(rows), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        some = letters[rows[part]] if turn is None else letters[rows[part]].turned(turn[part])
        points, ink = written(some, style[part], generator)
        sheets.append(inked(points, ink, pens(style[part]), size))
    return torch.cat(sheets) if sheets else style.new_zeros(0, 1, size, size)
