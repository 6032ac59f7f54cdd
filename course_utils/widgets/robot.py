"""The robot explorer: damage its motors, let it wander, see its model learn and its gait return."""

from collections.abc import Callable, Mapping, Sequence

import ipywidgets as widgets
import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from course_utils import body, checkpoints, plots
from course_utils.learners import MetaLearner
from course_utils.learners.control import ModelPredictiveControl
from course_utils.learners.robots import ToldGains
from course_utils.tasks.robots import (
    MOTOR_NAMES,
    MOTORS,
    STEP,
    Record,
    RobotEnvironments,
    check_gains,
    examples,
    walk,
    wander,
)
from course_utils.widgets.board import png

MORE, MOST = 16, 128  # steps that are collected at once, and in all
ASKED = 64  # fresh steps on which the model is judged
STEPS = 100  # of a walk
EVERY = 10  # steps from one drawn pose to the next
WORST, BEST = 5.0, 0.005  # ends of the error's axis
GAINS = (-0.3, -0.1, -0.95, -0.5, 0.55, -0.25)  # a damage to begin with
LEARNERS = ("pooled_robots", "maml_robots", "recurrent_robots")


def default_learners() -> dict[str, MetaLearner]:
    """Joint training, MAML, the recurrent memory, and one who is told the gains; as shipped."""
    learners = [checkpoints.load(name) for name in LEARNERS]
    learners.append(ToldGains(checkpoints.load("told_robots"), torch.ones(1, MOTORS)))
    return {plots.style(learner)["label"]: learner for learner in learners}


def picture(
    learners: Mapping[str, MetaLearner] | None = None,
    gains: Sequence[float] = GAINS,
    shots: int = 64,
    learner: str | None = None,
    seed: int = 0,
) -> Figure:
    """The explorer's picture: `learner` (a label, at first the first) walks after 0 and `shots`."""
    view = View(dpi=100)
    try:
        trial = Trial(learners or default_learners(), gains, seed)
    except ImportError as error:
        view.figure.clear()
        view.figure.text(0.02, 0.5, str(error))
        return view.figure
    learner = learner or next(iter(trial.learners))
    for steps in (0, shots):
        trial.attempt(learner, steps)
    view.draw(trial, learner, shots)
    return view.figure


def explorer(
    learners: Mapping[str, MetaLearner] | None = None, **setting
) -> "RobotExplorer | widgets.HTML":
    """The widget; `setting` is where it starts: gains, shots, learner, seed."""
    try:
        return RobotExplorer(learners or default_learners(), **setting)
    except ImportError as error:
        return widgets.HTML(str(error))


def checked(gains: Sequence[float]) -> Tensor:
    """The gains as a tensor (1, 6); ValueError unless they are six numbers between −1 and 1."""
    return check_gains(torch.tensor([[float(gain) for gain in gains]]))


class Trial:
    """One robot, what it did while it wandered, and what each learner makes of that.

    A learner who is told gains (`ToldGains`) is told this robot's.
    """

    def __init__(self, learners: Mapping[str, MetaLearner], gains: Sequence[float], seed: int = 0):
        self.gains, self.seed = checked(gains), seed
        self.learners = {
            label: ToldGains(one.learner, self.gains) if isinstance(one, ToldGains) else one
            for label, one in learners.items()
        }
        self.first, self.support = self._wandered(MOST, seed)
        _, self.query = self._wandered(ASKED, seed + 1)
        self.errors: dict[tuple[str, int], float] = {}
        self.walks: dict[tuple[str, int], Record] = {}  # the newest last

    def _wandered(self, steps: int, seed: int) -> tuple[Record, tuple[Tensor, Tensor]]:
        with RobotEnvironments(self.gains, steps, seed) as robots:
            record = walk(wander(torch.Generator().manual_seed(seed)), robots)
        standing = Record(record.state[:, :1], record.command[:, :0], record.way[:, :0])
        return standing, examples(record)

    def collected(self, shots: int) -> tuple[Tensor, Tensor]:
        """The first `shots` steps, as `examples`; ValueError for more than there are."""
        if shots not in range(MOST + 1):
            raise ValueError(f"shots must be a whole number from 0 to {MOST}, got {shots}")
        x, y = self.support
        return x[:, :shots], y[:, :shots]

    def error(self, label: str, shots: int) -> float:
        """The mean squared error on fresh steps of the learner after `shots` collected ones."""
        if (label, shots) not in self.errors:
            with torch.no_grad():
                predict = self.learners[label].adapt(*self.collected(shots))
                found = F.mse_loss(predict(self.query[0]), self.query[1])
            self.errors[label, shots] = found.item()
        return self.errors[label, shots]

    def attempt(self, label: str, shots: int, tell: Callable[[], None] | None = None) -> Record:
        """The learner's walk after `shots` collected steps; `tell` is called at every step."""
        planner = ModelPredictiveControl(self.learners[label])

        def watched(state, memory):
            if tell:
                tell()
            return policy(state, memory)

        with (
            torch.random.fork_rng(devices=[]),
            RobotEnvironments(self.gains, STEPS, self.seed + 2) as robots,
        ):
            torch.manual_seed(self.seed)
            policy = planner.policy(*self.collected(shots))
            self.walks.pop((label, shots), None)
            self.walks[label, shots] = walk(watched, robots)
        return self.walks[label, shots]

    def metres(self, label: str) -> dict[int, float]:
        """How far the learner came, by the number of steps that it had collected."""
        found = {k: w.way.sum().item() for (name, k), w in self.walks.items() if name == label}
        return dict(sorted(found.items()))


class View:
    """Above the error and the way over the steps collected, beneath the last walk."""

    def __init__(self, dpi: int = 96):
        self.figure = plt.figure(figsize=(9.2, 5.6), dpi=dpi, facecolor="white")
        plt.close(self.figure)  # ours to show, not pyplot's
        FigureCanvasAgg(self.figure)
        self.error = self.figure.add_axes((0.08, 0.53, 0.38, 0.39))
        self.way = self.figure.add_axes((0.58, 0.53, 0.38, 0.39))
        self.track = self.figure.add_axes((0.02, 0.08, 0.96, 0.31), anchor="SW")

    def draw(self, trial: Trial, label: str, shots: int) -> None:
        """Show all learners after `shots` steps, with a ring on the one that is chosen."""
        for ax in self.figure.axes:
            ax.clear()
        steps, most = range(0, shots + 1, MORE), 2.5
        steps = [*steps] if shots in steps else [*steps, shots]
        for name, learner in trial.learners.items():
            look = plots.style(learner) | {"label": name, "marker": "o", "ms": 4}
            error = np.clip([trial.error(name, k) for k in steps], BEST, WORST)
            self.error.plot(steps, error, **look)
            if found := trial.metres(name):
                self.way.plot(*zip(*found.items(), strict=True), **look)
                most = max(most, *found.values())
        color = plots.style(trial.learners[label])["color"]
        ring = {"ms": 11, "mfc": "none", "mew": 2, "color": color}
        self.error.plot(shots, np.clip(trial.error(label, shots), BEST, WORST), "o", **ring)
        if shots in (found := trial.metres(label)):
            self.way.plot(shots, found[shots], "o", **ring)
        self.error.set(yscale="log", ylim=(BEST, WORST), ylabel="prediction error (log scale)")
        self.way.axhline(0, color=plots.GREY, lw=0.8)
        self.way.set(ylim=(-1, 1.1 * most), ylabel=f"metres forward in {STEPS * STEP:g} s")
        plots.plain_ticks(self.error, y=[0.01, 0.1, 1])
        for ax in (self.error, self.way):
            ax.set(xlim=(-4, MOST + 4), xlabel="steps collected")
            ax.set_xticks(range(0, MOST + 1, 2 * MORE))
            ax.spines[["top", "right"]].set_visible(False)
        names, labels = self.error.get_legend_handles_labels()
        self.figure.legends.clear()
        self.figure.legend(names, labels, loc="upper center", ncols=4, frameon=False, fontsize=9)
        self._draw_walk(trial)

    def _draw_walk(self, trial: Trial) -> None:
        if not trial.walks:
            body.strobe(self.track, trial.first, color=plots.BLACK)
            told = "It has not walked yet."
        else:
            (name, shots), walked = list(trial.walks.items())[-1]
            color = plots.style(trial.learners[name])["color"]
            body.strobe(self.track, walked, every=EVERY, color=color)
            told = f"{name}, {shots} steps collected: {body.metres(walked.way.sum())}"
        (left, right), (low, high) = self.track.get_xlim(), self.track.get_ylim()
        box = self.track.get_position(original=True)
        shape = box.width * self.figure.get_figwidth() / (box.height * self.figure.get_figheight())
        self.track.set_xlim(
            left, max(right, left + shape * (high - low))
        )  # as wide as there is room
        self.track.set_title(told, fontsize=10, loc="left")


class RobotExplorer(widgets.VBox):
    """Six gains, the steps collected, the choice of a learner, and what came of its walks."""

    def __init__(
        self,
        learners: Mapping[str, MetaLearner],
        gains: Sequence[float] = GAINS,
        shots: int = 0,
        learner: str | None = None,
        seed: int = 0,
    ):
        self.view, self.known, self.seed, self.shots = View(), dict(learners), seed, shots
        self.dice = torch.Generator().manual_seed(seed)  # of the damages
        self.following = False  # True while the program, not the reader, moves the gains
        wide = {"style": {"description_width": "105px"}, "layout": {"width": "330px"}}
        checked(gains)
        self.gains = [
            widgets.FloatSlider(
                gain,
                min=-1,
                max=1,
                step=0.05,
                description=name,
                continuous_update=False,
                **wide,
            )
            for name, gain in zip(MOTOR_NAMES, gains, strict=True)
        ]
        self.learner = widgets.Dropdown(
            options=list(self.known), value=learner or next(iter(self.known)), **wide
        )
        self.learner.description = "learner"
        self.damage = self._button("damage it at random", self._damaged)
        self.intact = self._button("intact", lambda _: self._set([1.0] * MOTORS))
        self.more = self._button(f"wander {MORE} steps more", self._collect)
        self.anew = self._button("begin anew", self._begin_anew)
        self.walking = self._button("walk", self._walk)
        self.progress = widgets.IntProgress(max=STEPS, layout={"width": "170px"})
        self.image, self.words = widgets.Image(format="png"), widgets.HTML()
        for slider in self.gains:
            slider.observe(self._changed, "value")
        self.learner.observe(self._show, "value")
        left = widgets.VBox([*self.gains, widgets.HBox([self.damage, self.intact])])
        right = widgets.VBox(
            [
                widgets.HBox([self.more, self.anew]),
                self.learner,
                widgets.HBox([self.walking, self.progress]),
                self.words,
            ]
        )
        row = widgets.HBox([left, right], layout={"flex_flow": "row wrap"})
        super().__init__([row, self.image])
        self.add_class("course-robot")
        self._begin(shots)

    def __repr__(self) -> str:
        return "The robot explorer needs a running kernel; a still picture of it stands beside."

    def _button(self, name: str, press: Callable) -> widgets.Button:
        button = widgets.Button(description=name, layout={"width": "170px"})
        button.on_click(press)
        return button

    def _begin(self, shots: int = 0) -> None:
        """Another robot, or the same with other dice: nothing is known of it."""
        self.shots = shots
        self.trial = Trial(self.known, [slider.value for slider in self.gains], self.seed)
        self._show()

    def _changed(self, _) -> None:
        if not self.following:
            self._begin()

    def _set(self, gains: Sequence[float]) -> None:
        self.following = True
        for slider, gain in zip(self.gains, gains, strict=True):
            slider.value = gain
        self.following = False
        self._begin()

    def _damaged(self, _) -> None:
        random = 2 * torch.rand(MOTORS, generator=self.dice) - 1
        self._set([round(20 * gain) / 20 for gain in random.tolist()])

    def _collect(self, _) -> None:
        self.shots = min(self.shots + MORE, MOST)
        self._show()

    def _begin_anew(self, _) -> None:
        self.seed += 3  # a trial uses three
        self._begin()

    def _walk(self, _) -> None:
        controls = [*self.gains, self.learner, self.damage, self.intact, self.anew]
        controls += [self.more, self.walking]
        self.progress.value = 0
        self.words.value = f"<b>{self.learner.value}</b> thinks and walks ..."

        def tell():
            self.progress.value += 1

        for control in controls:
            control.disabled = True
        try:
            self.trial.attempt(self.learner.value, self.shots, tell)
        finally:
            for control in controls:
                control.disabled = False
            self._show()

    def _show(self, _=None) -> None:
        self.more.disabled = self.shots >= MOST
        self.view.draw(self.trial, self.learner.value, self.shots)
        canvas = self.view.figure.canvas
        canvas.draw()
        self.image.value = png(np.asarray(canvas.buffer_rgba()))
        self.words.value = self._table()

    def _table(self) -> str:
        """HTML: each learner's error now, and how far it came in all its walks."""
        rows = ""
        for name in self.trial.learners:
            error = self.trial.error(name, self.shots)
            error = f"{error:.3f}" if error < 1e3 else "diverged"
            walks = self.trial.metres(name).items()
            told = "; ".join(f"{body.metres(way)} after {shots}" for shots, way in walks)
            rows += f"<tr><th scope='row'>{name}</th><td>{error}</td><td>{told or '–'}</td></tr>"
        return (
            f"<div class='course-robot-words'>{self.shots} of {MOST} steps collected</div>"
            "<table style='line-height:1.4;text-align:left'><tr><th>learner</th><th>error now</th>"
            f"<th>its walks</th></tr>{rows}</table>"
        )
