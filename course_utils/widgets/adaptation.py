"""The adaptation explorer: watch several learners adapt to the same points, side by side."""

from collections.abc import Mapping

import ipywidgets as widgets
import numpy as np
import torch
from matplotlib.figure import Figure

from course_utils import checkpoints, plots
from course_utils.learners import BayesOptimalSinusoid, FromScratch, MetaLearner
from course_utils.networks import MLP
from course_utils.tasks import Sinusoids, sinusoid
from course_utils.widgets.board import Board
from course_utils.widgets.curves import GRID, STEPS, View

MOST_POINTS = 40
FARTHEST = 1e4  # coordinates beyond are cut off
LIMITS = {  # of the sliders
    "amplitude": (0, 10),
    "phase": (0, 6.2),
    "shots": (0, MOST_POINTS),
    "noise": (0, 2),
    "rate": (1e-4, 10),
    "step": (0, STEPS),
}
TRAINED_ON = Sinusoids()
BEYOND = (
    "The shipped learners were trained on amplitudes of 0.1 to 5 and phases of 0 to 3.1. Others the"
    " Bayes optimum holds impossible: it is none here."
)


def default_learners() -> dict[str, MetaLearner]:
    """MAML, joint training, from scratch and the Bayes optimum, as shipped."""
    learners = (
        checkpoints.load("maml_sinusoid"),
        checkpoints.load("joint_sinusoid"),
        FromScratch(MLP(1, 40, 40, 1)),
        BayesOptimalSinusoid(TRAINED_ON),
    )
    return {plots.style(learner)["label"]: learner for learner in learners}


def named(learners: Mapping[str, MetaLearner] | MetaLearner | None) -> Mapping[str, MetaLearner]:
    """Learners by label; a single one gets its usual label, None stands for the shipped ones."""
    if isinstance(learners, MetaLearner):
        return {plots.style(learners)["label"]: learners}
    return learners or default_learners()


def check_setting(**setting: float) -> None:
    """Raise ValueError for what no slider can be set to."""
    for name, value in setting.items():
        low, high = LIMITS[name]
        if not low <= value <= high:
            raise ValueError(f"{name} must be {low} to {high}, got {value}")


def picture(
    learners: Mapping[str, MetaLearner] | MetaLearner | None = None,
    amplitude: float = 3.0,
    phase: float = 1.0,
    shots: int = 5,
    noise: float = 0.0,
    rate: float = 0.01,
    step: int = 5,
    seed: int = 0,
) -> Figure:
    """The explorer's picture at one setting, as a figure; ValueError beyond the sliders' ends."""
    check_setting(amplitude=amplitude, phase=phase, shots=shots, noise=noise, rate=rate, step=step)
    points = draw_points(amplitude, phase, shots, noise, seed)
    view = View(named(learners), dpi=100)
    view.adapt(points, rate, noise, sinusoid(GRID, amplitude, phase))
    view.draw(step)
    x, y = torch.tensor(points).view(-1, 2).T
    view.main.plot(x, y, "o", color="black", ms=9, mec="white", zorder=5)
    return view.figure


def explorer(
    learners: Mapping[str, MetaLearner] | MetaLearner | None = None, **setting: float
) -> "Explorer":
    """The widget; `learners` maps a label to anything that adapts and predicts.

    `setting` is where it starts: amplitude, phase, shots, noise, rate, step, seed. Raises
    ValueError for what no slider can be set to.
    """
    return Explorer(named(learners), **setting)


def draw_points(
    amplitude: float, phase: float, shots: int, noise: float, seed: int
) -> list[list[float]]:
    """`shots` points on a sine, as [x, y]; with the same seed, more shots add to the same ones."""
    generator = torch.Generator().manual_seed(seed)
    x = 10 * torch.rand(MOST_POINTS, generator=generator) - 5
    y = sinusoid(x, amplitude, phase) + noise * torch.randn(MOST_POINTS, generator=generator)
    return torch.stack([x, y], 1)[:shots].tolist()


class Explorer(widgets.VBox):
    """Sliders, a board with the points, and the table of errors."""

    def __init__(
        self,
        learners: Mapping[str, MetaLearner],
        amplitude: float = 3.0,
        phase: float = 1.0,
        shots: int = 5,
        noise: float = 0.0,
        rate: float = 0.01,
        step: int = 0,
        seed: int = 0,
    ):
        check_setting(
            amplitude=amplitude, phase=phase, shots=shots, noise=noise, rate=rate, step=step
        )
        self.view, self.seed = View(learners), seed
        self.following = False  # True while the program, not the reader, moves points
        wide = {"style": {"description_width": "105px"}, "layout": {"width": "330px"}}

        def slider(kind, value, name, description=None, **more):
            low, high = LIMITS[name]
            return kind(value, min=low, max=high, description=description or name, **more, **wide)

        tenths = {"step": 0.1}
        self.amplitude = slider(widgets.FloatSlider, amplitude, "amplitude", **tenths)
        self.phase = slider(widgets.FloatSlider, phase, "phase", **tenths)
        self.shots = slider(widgets.IntSlider, shots, "shots")
        self.noise = slider(widgets.FloatSlider, noise, "noise", **tenths)
        self.rate = widgets.FloatLogSlider(
            rate, min=-4, max=1, description="inner rate α", readout_format=".4f", **tenths, **wide
        )
        self.step = slider(widgets.IntSlider, step, "step", "gradient steps")
        self.play = widgets.Play(step, min=0, max=STEPS, interval=600, layout={"width": "auto"})
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
        for control in (self.amplitude, self.phase, self.shots):
            control.observe(self._deal, "value")
        self.noise.observe(self._noise_changed, "value")
        self.rate.observe(self._adapt, "value")
        self.step.observe(self._draw, "value")
        self.board.observe(self._moved, "points")
        self.typed.observe(self._read, "value")
        self.again.on_click(self._another)
        self.clear.on_click(lambda _: self._take([]))
        buttons = widgets.HBox([self.play, self.again, self.clear])
        left = widgets.VBox([self.amplitude, self.phase, self.shots, self.noise])
        right = widgets.VBox([self.rate, self.step, buttons, self.typed])
        super().__init__(
            [widgets.HBox([left, right], layout={"flex_flow": "row wrap"}), self.board, self.errors]
        )
        self.add_class("course-explorer")
        self._deal()

    def __repr__(self) -> str:
        return "The explorer needs a running kernel; a still picture of it stands beside."

    def _deal(self, _=None) -> None:
        """Points from the sine that the sliders describe."""
        if self.following:
            return
        setting = (self.amplitude.value, self.phase.value, self.shots.value, self.noise.value)
        self._set(draw_points(*setting, self.seed))
        self.on_sine = True
        self._adapt()

    def _noise_changed(self, _) -> None:
        """On the reader's own points noise is only what the optimum is told of them."""
        if self.on_sine:
            self._deal()
        else:
            self._adapt()

    def _another(self, _) -> None:
        self.seed += 1
        self._deal()

    def _take(self, points: list, dragged: bool = False) -> None:
        """The reader's own points, on whatever curve."""
        inside = np.clip(np.array(points[:MOST_POINTS], float), -FARTHEST, FARTHEST)
        self._set(inside.tolist())
        self.on_sine = False
        self._adapt(dragged=dragged)

    def _set(self, points: list) -> None:
        self.following = True
        self.board.points = points
        self.typed.value = "; ".join(f"{x:.2f} {y:.2f}" for x, y in points)
        self.shots.value = len(points)
        self.following = False

    def _moved(self, change) -> None:
        if not self.following:
            self._take(change["new"], dragged=True)

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

    def _adapt(self, _=None, dragged: bool = False) -> None:
        truth = sinusoid(GRID, self.amplitude.value, self.phase.value) if self.on_sine else None
        self.view.adapt(self.board.points, self.rate.value, self.noise.value, truth, dragged)
        self._show(self.view.still)

    def _draw(self, _) -> None:
        self._show(still=True)

    def _show(self, still: bool) -> None:
        self.view.draw(self.step.value)
        self.board.show(self.view.figure, self.view.main, self.view.moving, still)
        self.errors.value = self.view.table(self.step.value) + self._beyond()

    def _beyond(self) -> str:
        """A remark where the sine is none of those that were trained on."""
        inside = (
            TRAINED_ON.amplitude[0] <= self.amplitude.value <= TRAINED_ON.amplitude[1]
            and TRAINED_ON.phase[0] <= self.phase.value <= TRAINED_ON.phase[1]
        )
        return f"<p>{BEYOND}</p>" if self.on_sine and not inside else ""
