"""The explorer's picture: curves of several learners, and their errors over gradient steps."""

import copy
import html
import math
from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from torch import Tensor

from course_utils import plots
from course_utils.learners import BayesOptimalSinusoid, MetaLearner
from course_utils.learners.gradient import GradientBased

STEPS = 10
GRID = torch.linspace(-5, 5, 201)
HUGE = 1e6  # a curve beyond this has diverged
SMALLEST = 1e-4  # errors below are drawn at the lower edge
SPARE = [  # looks that no learner of the course has
    (color, line)
    for line in ("-", (0, (6, 2, 1, 2)))
    for color in (plots.ORANGE, plots.GREEN, plots.RED, plots.PINK, plots.SKY, plots.BLACK)
]


def looks(learners: Mapping[str, MetaLearner]) -> dict[str, dict]:
    """How each learner is drawn: as everywhere in the course, but no two of them alike."""
    found, taken, spare = {}, set(), iter(SPARE)
    for label, learner in learners.items():
        look = {**plots.style(learner), "label": label}
        if (look["color"], look["linestyle"]) in taken:
            look["color"], look["linestyle"] = next(spare)
        taken.add((look["color"], look["linestyle"]))
        found[label] = look
    return found


def curves(
    learner: MetaLearner, points: list[list[float]], x: Tensor, rate: float, noise: float
) -> np.ndarray:
    """Predictions at x (n,) after each of 0..STEPS steps: (STEPS + 1, n).

    A learner with an inner rate that is a number takes `rate`, the Bayes optimum is told the
    noise; one without steps predicts the same throughout. Raises ValueError where a learner gives
    predictors of another number or predictions of another shape.
    """
    learner = copy.copy(learner)
    if isinstance(learner, BayesOptimalSinusoid):
        family = copy.copy(learner.task_set)
        family.noise = noise
        learner = BayesOptimalSinusoid(family)
    elif isinstance(learner, GradientBased):
        learner.inner_lr = rate
    support = torch.tensor(points, dtype=torch.float32).view(1, -1, 2)  # (1, S, 2)
    support_x, support_y = support[..., :1], support[..., 1:]
    # the course's own learners differentiate by themselves; a reader's may count on the graph
    with torch.set_grad_enabled(not isinstance(learner, GradientBased)):
        if hasattr(learner, "trajectory"):
            predictors = learner.trajectory(support_x, support_y, STEPS)
        else:
            predictors = [learner.adapt(support_x, support_y)] * (STEPS + 1)
        if len(predictors) != STEPS + 1:
            raise ValueError(f"trajectory must give {STEPS + 1} predictors, got {len(predictors)}")
        at = x.view(1, -1, 1)
        predictions = [predict(at).detach() for predict in predictors]
    if predictions[0].shape != at.shape:
        raise ValueError(
            f"predictions must have shape {tuple(at.shape)}, got {tuple(predictions[0].shape)}"
        )
    return torch.stack(predictions).flatten(1).numpy()


class View:
    """The figure, kept open and redrawn: curves on the left, error over steps on the right.

    `moving` are the artists that change, drawn over all the rest; `still` says that since the last
    time nothing but these has changed.
    """

    def __init__(self, learners: Mapping[str, MetaLearner], dpi: int = 96):
        self.learners, self.looks = learners, looks(learners)
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
        self.now = self.side.axvline(0, color="#cccccc", lw=1)
        self.lines, self.errors_drawn = {}, {}
        for label, look in self.looks.items():
            (self.lines[label],) = self.main.plot([], [], lw=2.2, **look)
            (self.errors_drawn[label],) = self.side.plot([], [], lw=2.2, **look)
        self.moving = [self.truth, self.now, *self.lines.values(), *self.errors_drawn.values()]
        self.reach = 0.0  # y runs from -reach to reach
        self.setting = None
        self.figure.legend(
            handles=[self.truth, *self.lines.values()],
            loc="upper center",
            ncols=len(learners) + 1,
            frameon=False,
            fontsize=9,
            handlelength=3,
        )

    def adapt(
        self,
        points: list[list[float]],
        rate: float,
        noise: float,
        truth: Tensor | None,
        dragged: bool = False,
    ) -> None:
        """Have every learner adapt; errors are to `truth`, or on the points where it is None.

        The axes fit the data; with `dragged` they stay as long as the points lie within.
        """
        self.points, self.known = points, truth is not None
        own = torch.tensor(points, dtype=torch.float32).view(-1, 2)
        x, y = (GRID, truth) if self.known else own.T
        self.trouble: dict[str, str] = {}
        self.paths: dict[str, np.ndarray] = {}  # (steps + 1, grid)
        self.errors: dict[str, np.ndarray] = {}  # (steps + 1,)
        for label, learner in self.learners.items():
            try:
                both = curves(learner, points, torch.cat([GRID, x]), rate, noise)
            except Exception as error:  # one learner's trouble leaves the others to go on
                self.trouble[label] = f"{type(error).__name__}: {error}"
                both = np.full((STEPS + 1, len(GRID) + len(x)), np.nan)
            both = np.where(np.abs(both) < HUGE, both, np.nan)
            self.paths[label] = both[:, : len(GRID)]
            difference = both[:, len(GRID) :] - y.numpy()
            self.errors[label] = (difference**2).mean(1) if len(x) else np.full(STEPS + 1, np.nan)
            self.errors_drawn[label].set_data(
                range(STEPS + 1), np.maximum(self.errors[label], SMALLEST)
            )
        self.truth.set_data(GRID, truth if self.known else np.full(len(GRID), np.nan))
        self._fit_axes(max([0.0, *torch.cat([own[:, 1], y]).abs().tolist()]), dragged)

    def _fit_axes(self, farthest: float, dragged: bool) -> None:
        if not (dragged and farthest <= self.reach):
            self.reach = math.ceil(1.2 * max(5.0, farthest))
        finite = [e for errors in self.errors.values() for e in errors if np.isfinite(e)]
        top = 10.0 ** math.ceil(math.log10(max([1.0, *finite])) + 0.1)
        self.still = self.setting == (setting := (self.reach, top, self.known))
        if not self.still:
            self.setting = setting
            self.main.set_ylim(-self.reach, self.reach)
            self.side.set_ylim(SMALLEST * 0.7, top)
            self.side.set_ylabel(f"mean squared error {self.against}")

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
        for label, look in self.looks.items():
            mark = f'<span style="color:{look["color"]}">&#9644;</span>'
            value = self.trouble.get(label) or written(self.errors[label][step], bool(self.points))
            heads += f'<th style="padding-right:1.5em">{mark} {html.escape(label)}</th>'
            cells += f'<td class="course-error">{html.escape(value)}</td>'
        caption = f"mean squared error {self.against}, after {step} steps"
        return (
            '<table class="course-errors" style="line-height:1.5;text-align:left">'
            f'<caption style="text-align:left">{caption}</caption>'
            f"<tr>{heads}</tr><tr>{cells}</tr></table>"
        )


def written(error: float, points: bool = True) -> str:
    """An error as the table shows it."""
    if np.isfinite(error):
        return f"{error:.3f}" if error < 100 else f"{error:.3g}"
    return "diverged" if points else "no points"
