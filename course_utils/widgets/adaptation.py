"""The adaptation explorer: watch several learners adapt to the same points, side by side."""

import copy
import html

import ipywidgets as widgets
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from course_utils import checkpoints, plots
from course_utils.learners import BayesOptimalSinusoid, FromScratch, MetaLearner
from course_utils.networks import MLP
from course_utils.tasks import Sinusoids, sinusoid
from course_utils.widgets.board import Board

STEPS = 10
MOST_POINTS = 40
GRID = torch.linspace(-5, 5, 201)
HUGE = 1e6  # a curve beyond this has diverged


def default_learners() -> dict[str, MetaLearner]:
    """MAML, joint training, from scratch and the Bayes optimum, as shipped."""
    learners = (
        checkpoints.load("maml_sinusoid"),
        checkpoints.load("joint_sinusoid"),
        FromScratch(MLP(1, 40, 40, 1)),
        BayesOptimalSinusoid(Sinusoids()),
    )
    return {plots.style(learner)["label"]: learner for learner in learners}


def picture(
    learners: dict[str, MetaLearner] | None = None,
    amplitude: float = 3.0,
    phase: float = 1.0,
    shots: int = 5,
    noise: float = 0.0,
    rate: float = 0.01,
    step: int = 5,
    seed: int = 0,
) -> Figure:
    """The explorer's picture at one setting, as a figure."""
    points = draw_points(amplitude, phase, shots, noise, seed)
    view = View(learners or default_learners(), dpi=100)
    view.adapt(points, rate, noise, sinusoid(GRID, amplitude, phase))
    view.draw(step)
    return view.figure


def explorer(learners: dict[str, MetaLearner] | None = None) -> "Explorer":
    """The widget; `learners` maps a label to anything that adapts and predicts."""
    return Explorer(learners or default_learners())


def draw_points(
    amplitude: float, phase: float, shots: int, noise: float, seed: int
) -> list[list[float]]:
    """`shots` points on a sine, as [x, y]; with the same seed, more shots add to the same ones."""
    generator = torch.Generator().manual_seed(seed)
    x = 10 * torch.rand(MOST_POINTS, generator=generator) - 5
    y = sinusoid(x, amplitude, phase) + noise * torch.randn(MOST_POINTS, generator=generator)
    return torch.stack([x, y], 1)[:shots].tolist()


def curves(
    learner: MetaLearner, points: list[list[float]], x: torch.Tensor, rate: float, noise: float
) -> np.ndarray:
    """Predictions at x (n,) after each step: (STEPS + 1, n), or (1, n) for a learner without steps.

    Gradient-based learners take inner rate `rate`; the Bayes optimum is told the noise.
    """
    if isinstance(learner, BayesOptimalSinusoid):
        learner = BayesOptimalSinusoid(Sinusoids(noise=noise))
    elif hasattr(learner, "inner_lr"):
        learner = copy.copy(learner)
        learner.inner_lr = rate
    support = torch.tensor(points, dtype=torch.float32).view(1, -1, 2)  # (1, S, 2)
    support_x, support_y = support[..., :1], support[..., 1:]
    with torch.no_grad():
        if hasattr(learner, "trajectory"):
            predictors = learner.trajectory(support_x, support_y, STEPS)
        else:
            predictors = [learner.adapt(support_x, support_y)]
        return np.stack([predict(x.view(1, -1, 1)).flatten().numpy() for predict in predictors])


class View:
    """The figure, kept open and redrawn: curves on the left, error over steps on the right."""

    def __init__(self, learners: dict[str, MetaLearner], dpi: int = 96):
        self.learners = learners
        self.figure = plt.figure(figsize=(9.2, 4.2), dpi=dpi, facecolor="white")
        plt.close(self.figure)  # ours to show, not pyplot's
        FigureCanvasAgg(self.figure)
        self.main = self.figure.add_axes((0.06, 0.13, 0.55, 0.72))
        self.side = self.figure.add_axes((0.70, 0.13, 0.28, 0.72))
        self.main.set(xlabel="x", ylabel="y", xlim=(-5, 5))
        self.side.set(xlabel="gradient steps", xlim=(-0.3, STEPS + 0.3), yscale="log")
        for ax in (self.main, self.side):
            ax.spines[["top", "right"]].set_visible(False)
        (self.truth,) = self.main.plot([], [], color="#cccccc", lw=6, label="true curve")
        (self.dots,) = self.main.plot([], [], "o", color="black", ms=9, mec="white", zorder=5)
        self.lines, self.errors_drawn = {}, {}
        for label, learner in learners.items():
            look = {**plots.style(learner), "label": label, "lw": 2.2}
            (self.lines[label],) = self.main.plot([], [], **look)
            (self.errors_drawn[label],) = self.side.plot([], [], **look)
        self.now = self.side.axvline(0, color="#cccccc", lw=1, zorder=0)
        self.figure.legend(
            handles=[self.truth, *self.lines.values()],
            loc="upper center",
            ncols=len(learners) + 1,
            frameon=False,
            fontsize=9,
            handlelength=3,
        )

    def adapt(self, points: list, rate: float, noise: float, truth: torch.Tensor | None) -> None:
        """Have every learner adapt; errors are to `truth`, or on the points where it is None."""
        self.points, self.known = points, truth is not None
        self.trouble: dict[str, str] = {}
        self.paths: dict[str, np.ndarray] = {}  # (steps + 1, grid)
        self.errors: dict[str, np.ndarray] = {}  # (steps + 1,)
        own = torch.tensor(points, dtype=torch.float32).view(-1, 2)
        x, y = (GRID, truth) if self.known else own.T
        for label, learner in self.learners.items():
            try:
                both = curves(learner, points, torch.cat([GRID, x]), rate, noise)
            except Exception as error:  # one learner's trouble leaves the others to go on
                self.trouble[label] = f"{type(error).__name__}: {error}"
                both = np.full((1, len(GRID) + len(x)), np.nan)
            both = np.where(np.abs(both) < HUGE, both, np.nan).repeat(
                1 if len(both) > 1 else STEPS + 1, axis=0
            )
            self.paths[label] = both[:, : len(GRID)]
            difference = both[:, len(GRID) :] - y.numpy()
            self.errors[label] = (difference**2).mean(1) if len(x) else np.full(STEPS + 1, np.nan)
        self.truth.set_data(GRID, truth if self.known else np.full(len(GRID), np.nan))
        self.dots.set_data(own[:, 0], own[:, 1])
        reach = max([5.5, *own[:, 1].abs().tolist(), *(truth.abs().tolist() if self.known else [])])
        self.main.set_ylim(-1.1 * reach, 1.1 * reach)
        self.side.set_ylabel(f"mean squared error {self.against}")
        for label, line in self.errors_drawn.items():
            line.set_data(range(STEPS + 1), np.maximum(self.errors[label], 1e-4))
        finite = [e for errors in self.errors.values() for e in errors if np.isfinite(e)]
        self.side.set_ylim(1e-4 * 0.7, 2 * max([1.0, *finite]))

    @property
    def against(self) -> str:
        """What the errors are measured against."""
        return "to the true curve" if self.known else "on your points"

    def draw(self, step: int) -> None:
        """Show the curves after `step` gradient steps."""
        for label, line in self.lines.items():
            line.set_data(GRID, self.paths[label][step])
        self.now.set_xdata([step, step])

    def table(self, step: int) -> str:
        """The errors after `step` steps as an HTML table, to three digits."""
        heads, cells = "", ""
        for label, learner in self.learners.items():
            mark = f'<span style="color:{plots.style(learner)["color"]}">&#9644;</span>'
            value = self.trouble.get(label) or written(self.errors[label][step], bool(self.points))
            heads += f'<th style="padding-right:1.5em">{mark} {html.escape(label)}</th>'
            cells += f'<td class="course-error">{html.escape(value)}</td>'
        caption = f"mean squared error {self.against}, after {step} steps"
        style = "line-height:1.5;text-align:left"
        return (
            f'<table class="course-errors" style="{style}"><caption style="text-align:left">'
            f"{caption}</caption><tr>{heads}</tr><tr>{cells}</tr></table>"
        )


def written(error: float, points: bool = True) -> str:
    """An error as the table shows it."""
    if np.isfinite(error):
        return f"{error:.3f}" if error < 100 else f"{error:.3g}"
    return "diverged" if points else "no points"


class Explorer(widgets.VBox):
    """Sliders, a board with the points, and the table of errors."""

    def __init__(self, learners: dict[str, MetaLearner]):
        self.view = View(learners)
        self.seed = 0
        self.following = False  # True while the program, not the reader, moves points
        wide = {"style": {"description_width": "105px"}, "layout": {"width": "330px"}}
        self.amplitude = widgets.FloatSlider(
            3, min=0, max=10, step=0.1, description="amplitude", **wide
        )
        self.phase = widgets.FloatSlider(1, min=0, max=6.2, step=0.1, description="phase", **wide)
        self.shots = widgets.IntSlider(5, min=0, max=MOST_POINTS, description="shots", **wide)
        self.noise = widgets.FloatSlider(0, min=0, max=2, step=0.1, description="noise", **wide)
        self.rate = widgets.FloatLogSlider(
            0.01,
            base=10,
            min=-4,
            max=1,
            step=0.1,
            description="inner rate α",
            readout_format=".4f",
            **wide,
        )
        self.step = widgets.IntSlider(0, min=0, max=STEPS, description="gradient steps", **wide)
        self.play = widgets.Play(min=0, max=STEPS, interval=600, layout={"width": "auto"})
        widgets.jslink((self.play, "value"), (self.step, "value"))
        self.again = widgets.Button(description="new points", layout={"width": "105px"})
        self.clear = widgets.Button(description="no points", layout={"width": "105px"})
        self.typed = widgets.Text(
            description="points x y;",
            continuous_update=False,
            placeholder="-2 1; 0 3; 2 -1",
            **wide,
        )
        self.board = Board(label="Curves of the learners; click to add a point, drag to move it")
        self.errors = widgets.HTML()
        for slider in (self.amplitude, self.phase, self.shots, self.noise):
            slider.observe(self._deal, "value")
        self.rate.observe(self._adapt, "value")
        self.step.observe(self._draw, "value")
        self.board.observe(self._moved, "points")
        self.typed.observe(self._read, "value")
        self.again.on_click(self._another)
        self.clear.on_click(lambda _: self._take([]))
        left = widgets.VBox([self.amplitude, self.phase, self.shots, self.noise])
        right = widgets.VBox(
            [
                self.rate,
                widgets.HBox([self.step]),
                widgets.HBox([self.play, self.again, self.clear]),
                self.typed,
            ]
        )
        super().__init__(
            [widgets.HBox([left, right], layout={"flex_flow": "row wrap"}), self.board, self.errors]
        )
        self.add_class("course-explorer")
        self._deal()

    def __repr__(self) -> str:
        return "The explorer needs a running kernel; a still picture of it stands beside."

    def _deal(self, _=None) -> None:
        """Points from the sine that the sliders describe."""
        setting = (self.amplitude.value, self.phase.value, self.shots.value, self.noise.value)
        self._set(draw_points(*setting, self.seed))
        self.on_sine = True
        self._adapt()

    def _another(self, _) -> None:
        self.seed += 1
        self._deal()

    def _take(self, points: list) -> None:
        """The reader's own points, on whatever curve."""
        self._set([[float(x), float(y)] for x, y in points[:MOST_POINTS]])
        self.on_sine = False
        self._adapt()

    def _set(self, points: list) -> None:
        self.following = True
        self.board.points = points
        self.typed.value = "; ".join(f"{x:.2f} {y:.2f}" for x, y in points)
        self.following = False

    def _moved(self, change) -> None:
        if not self.following:
            self._take(change["new"])

    def _read(self, change) -> None:
        if self.following:
            return
        try:
            rows = [
                tuple(map(float, pair.split())) for pair in change["new"].split(";") if pair.strip()
            ]
            if any(len(row) != 2 or not np.isfinite(row).all() for row in rows):
                raise ValueError
        except ValueError:
            self.errors.value = "Points are pairs of numbers with ; between them, as in -2 1; 0 3"
            return
        self._take(rows)

    def _adapt(self, _=None) -> None:
        truth = sinusoid(GRID, self.amplitude.value, self.phase.value) if self.on_sine else None
        self.view.adapt(self.board.points, self.rate.value, self.noise.value, truth)
        self._draw()

    def _draw(self, _=None) -> None:
        self.view.draw(self.step.value)
        self.board.show(self.view.figure, self.view.main)
        self.errors.value = self.view.table(self.step.value)
