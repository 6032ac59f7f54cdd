"""The embedding explorer: move support examples in the plane, and see what each comparison does."""

from collections.abc import Sequence

import ipywidgets as widgets
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from torch import nn

from course_utils import plots
from course_utils.learners import MatchingNet, NearestCentroid, ProtoNet
from course_utils.learners.metric import one_hot, prototypes
from course_utils.widgets.board import Board

CLASSES, SHOTS = "ABC", 3
COLORS = (plots.BLUE, plots.RED, plots.GREEN)
LABELS = torch.arange(len(CLASSES)).repeat_interleave(SHOTS).unsqueeze(0)  # (1, S)
START = [
    [-2.6, 1.2], [-1.5, 2.3], [-1.2, 0.8],
    [0.4, 1.1], [1.0, 0.2], [1.2, 1.2],
    [2.3, 2.6], [3.3, 2.2], [2.9, 1.2],
    [1.8, 1.5],
]  # fmt: skip
REACH, CELLS = 4.0, 100  # the plane goes from -REACH to REACH
EUCLIDEAN = "squared distance to prototypes (ProtoNet)"
COSINE = "cosine to prototypes"
ATTENTION = "cosine to every example (MatchingNet)"
KINDS = (EUCLIDEAN, COSINE, ATTENTION)

Points = Sequence[Sequence[float]]  # [x, y] of A1 A2 A3 B1 B2 B3 C1 C2 C3 and, last, the query


def picture(points: Points | None = None, temperature: float = 1.0) -> Figure:
    """The explorer's picture as a figure, once for each comparison."""
    points = start_from(points)
    figure = Figure(figsize=(9.6, 3.6), dpi=100, facecolor="white", layout="constrained")
    for ax, kind in zip(figure.subplots(1, len(KINDS)), KINDS, strict=True):
        view = View(ax)
        view.show(points, kind, temperature)
        for i, (x, y) in enumerate(points[:-1]):
            ax.plot(x, y, "o", color=COLORS[i // SHOTS], mec="white", ms=8)
        ax.plot(*points[-1], marker="$?$", color="black", ms=12)
        view.stars.set_markersize(24)  # room for a letter
        for name, centre in zip(CLASSES, view.centres.tolist(), strict=True):
            ax.text(*centre, name, ha="center", va="center", fontsize=7, weight="bold")
        ax.set_title(kind, fontsize=9)
    return figure


def explorer(points: Points | None = None) -> "Explorer":
    """The widget; `points` are ten pairs, in the order A1 A2 A3 B1 B2 B3 C1 C2 C3 query."""
    return Explorer(start_from(points))


def start_from(points: Points | None) -> list[list[float]]:
    """Ten pairs of floats within the plane; ValueError for anything else."""
    array = np.asarray(START if points is None else points, dtype=float)
    if array.shape != (len(START), 2) or not np.isfinite(array).all():
        raise ValueError(
            f"the explorer wants {len(START)} pairs of numbers, three each of A, B and C and then"
            f" the query; got shape {array.shape}"
        )
    return array.clip(-REACH, REACH).tolist()


def probabilities(points: Points, at: torch.Tensor, kind: str, temperature: float) -> torch.Tensor:
    """The classes' probabilities at places (n, 2), adapted to `points`: (n, 3)."""
    learner = {
        EUCLIDEAN: ProtoNet(nn.Identity()),
        COSINE: NearestCentroid(nn.Identity(), nn.Identity(), temperature),
        ATTENTION: MatchingNet(nn.Identity(), temperature=temperature),
    }[kind]
    support = torch.tensor(points[:-1], dtype=torch.float32).unsqueeze(0)  # (1, S, 2)
    logits = learner.adapt(support, LABELS)(at.unsqueeze(0))[0]
    return (logits / temperature if kind == EUCLIDEAN else logits).softmax(-1)


class View:
    """One plane: regions, shaded by how sure the learner is, prototypes and spokes to them."""

    def __init__(self, ax: Axes):
        self.ax = ax
        ax.set(xlim=(-REACH, REACH), ylim=(-REACH, REACH), aspect="equal")
        ax.set(xlabel="first coordinate of z", ylabel="second coordinate of z")
        extent = (-REACH, REACH, -REACH, REACH)
        blank = np.ones((CELLS, CELLS, 3))
        self.regions = ax.imshow(blank, extent=extent, origin="lower", interpolation="bilinear")
        ax.plot(0, 0, "+", color="black", ms=9)
        self.spokes = [ax.plot([], [], color=c, lw=1)[0] for c in COLORS]
        (self.stars,) = ax.plot([], [], "*", color="white", mec="black", ms=15)
        self.centres = torch.zeros(len(CLASSES), 2)  # the prototypes
        step = REACH / CELLS
        steps = torch.linspace(-REACH + step, REACH - step, CELLS)
        self.grid = torch.cartesian_prod(steps, steps).flip(1)  # row after row, from below

    def show(self, points: Points, kind: str, temperature: float) -> None:
        """Adapt to the points and draw what becomes of the plane."""
        p = probabilities(points, self.grid, kind, temperature).numpy()  # (CELLS², 3)
        light = 0.15 + 0.85 * np.array([to_rgb(c) for c in COLORS])
        strength = 0.65 * (p.max(1, keepdims=True) - 1 / 3) / (2 / 3) + 0.06  # sure: strong
        color = 1 - strength * (1 - light[p.argmax(1)])
        self.regions.set_data(color.reshape(CELLS, CELLS, 3))
        support = torch.tensor(points[:-1], dtype=torch.float32).unsqueeze(0)
        self.centres = centres = prototypes(support, one_hot(LABELS).float())[0]
        self.stars.set_data(*([], []) if kind == ATTENTION else centres.T)
        for c, line in enumerate(self.spokes):
            mine = support[0, LABELS[0] == c]
            ends = torch.stack([mine, centres[c].expand_as(mine)], 1).flatten(0, 1)
            line.set_data(*([], []) if kind == ATTENTION else ends.T)


class Explorer(widgets.VBox):
    """A board with the points, a choice of comparison, a temperature, and the query's verdict."""

    def __init__(self, points: list[list[float]]):
        self.first = points
        self.following = False  # True while the program, not the reader, moves points
        figure = plt.figure(figsize=(6.4, 6.0), dpi=100, facecolor="white")
        plt.close(figure)  # ours to show, not pyplot's
        FigureCanvasAgg(figure)
        self.view = View(figure.add_axes((0.11, 0.10, 0.87, 0.87)))
        wide = {"style": {"description_width": "95px"}, "layout": {"width": "420px"}}
        self.kind = widgets.Dropdown(options=KINDS, description="compares by", **wide)
        self.temperature = widgets.FloatLogSlider(
            1.0, base=10, min=-2, max=1.5, step=0.1, description="temperature τ", **wide
        )
        self.typed = widgets.Text(description="points x y;", continuous_update=False, **wide)
        self.reset = widgets.Button(description="as at first", layout={"width": "105px"})
        self.board = Board(
            growing=False,
            names=[f"{c}{k + 1}" for c in CLASSES for k in range(SHOTS)] + ["?"],
            colors=[c for c in COLORS for _ in range(SHOTS)] + ["#000"],
            label="The plane of embeddings: drag an example, or move it with the arrow keys",
            layout={"max_width": "640px"},
        )
        self.verdict = widgets.HTML()
        self.kind.observe(self._draw, "value")
        self.temperature.observe(self._draw, "value")
        self.board.observe(self._moved, "points")
        self.typed.observe(self._read, "value")
        self.reset.on_click(lambda _: self._take(self.first))
        super().__init__(
            [self.kind, self.temperature, widgets.HBox([self.typed, self.reset]), self.board,
             self.verdict]
        )  # fmt: skip
        self.add_class("course-embedding")
        self._take(points)

    def __repr__(self) -> str:
        return "The explorer needs a running kernel; a still picture of it stands beside."

    def _take(self, points: list[list[float]]) -> None:
        self.following = True
        self.board.points = points
        self.typed.value = "; ".join(f"{x:.2f} {y:.2f}" for x, y in points)
        self.following = False
        self._draw()

    def _moved(self, change) -> None:
        if not self.following:
            self._take(change["new"])

    def _read(self, change) -> None:
        if self.following:
            return
        try:
            rows = [list(map(float, p.split())) for p in change["new"].split(";") if p.strip()]
            self._take(start_from(rows))
        except ValueError:
            self.verdict.value = (
                "Ten pairs of numbers with ; between them are wanted: A1 A2 A3 B1 B2 B3 C1 C2 C3"
                " and the query"
            )

    def _draw(self, _=None) -> None:
        setting = self.board.points, self.kind.value, self.temperature.value
        self.view.show(*setting)
        self.board.show(self.view.ax.figure, self.view.ax)
        self.verdict.value = verdict(*setting)


def verdict(points: Points, kind: str, temperature: float) -> str:
    """How the query is read, as an HTML table."""
    query = torch.tensor(points[-1:], dtype=torch.float32)
    (p,) = probabilities(points, query, kind, temperature).tolist()
    cells = "".join(
        f'<td style="padding-right:1.5em"><span style="color:{color}">&#9632;</span> {name} '
        f'<span class="course-share">{share:.3f}</span></td>'
        for name, color, share in zip(CLASSES, COLORS, p, strict=True)
    )
    best = CLASSES[p.index(max(p))]
    return (
        f'<table><caption style="text-align:left">The query ? is read as '
        f'<b class="course-read">{best}</b>; probabilities:</caption><tr>{cells}</tr></table>'
    )
