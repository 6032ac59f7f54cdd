"""The navigation explorer: move the goal, step through adaptation, see the paths bend."""

from collections.abc import Mapping, Sequence

import ipywidgets as widgets
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from course_utils import checkpoints, plots
from course_utils.learners.policy_gradient import PolicyGradient, act
from course_utils.tasks.navigation import ARENA, NavigationEnvironments, best_return
from course_utils.widgets.board import Board

STEPS = 3
ROBOTS = 20
REACH = 0.75  # of the picture, beyond the arena
LEARNERS = ("maml_navigation", "context_navigation", "joint_navigation")


def default_learners() -> dict[str, PolicyGradient]:
    """MAML, the context vector and joint training, as shipped."""
    learners = map(checkpoints.load, LEARNERS)
    return {plots.style(learner)["label"]: learner for learner in learners}


def picture(
    learners: Mapping[str, PolicyGradient] | None = None,
    goal: Sequence[float] = (0.3, 0.35),
    learner: str | None = None,
    step: int = 1,
    seed: int = 0,
) -> Figure:
    """The explorer's picture at one setting; `learner` is one of the labels, at first the first."""
    learners = learners or default_learners()
    view = View(dpi=100)
    chosen = learners[learner or next(iter(learners))]
    view.draw(chosen, Film(chosen, checked(goal), seed), step)
    view.main.plot(*goal, "*", color=plots.RED, ms=18, mec="white", zorder=8)
    return view.figure


def explorer(
    learners: Mapping[str, PolicyGradient] | None = None, **setting
) -> "NavigationExplorer":
    """The widget; `setting` is where it starts: goal, learner, step, seed."""
    return NavigationExplorer(learners or default_learners(), **setting)


def checked(goal: Sequence[float]) -> tuple[float, float]:
    """The goal as two numbers; ValueError, in a sentence, unless it lies in the arena."""
    x, y = map(float, goal)
    if not max(abs(x), abs(y)) <= ARENA:  # nor for NaN
        raise ValueError(f"A goal lies between {-ARENA} and {ARENA} in both directions.")
    return x, y


class Film:
    """What a learner's robots did after 0 .. 3 steps of adaptation to one goal.

    The same seed throws the same dice, so that what changes is the goal's doing.
    """

    def __init__(self, learner: PolicyGradient, goal: Sequence[float], seed: int = 0):
        self.best = best_return(torch.tensor([goal])).item()
        arenas = NavigationEnvironments(torch.tensor([goal]), ROBOTS)
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(seed)
            policies = learner.trajectory(arenas, STEPS)
            episodes = [act(policy, arenas) for policy in policies]
        self.paths = [path_of(e.observation[0], e.counts[0]) for e in episodes]
        self.returns = [e.reward.sum(1).mean().item() for e in episodes]
        self.arrived = [int((e.counts[0, -1] == 0).sum()) for e in episodes]


def path_of(position: Tensor, counts: Tensor) -> np.ndarray:
    """The paths (H, E, 2) of all robots as one line, with gaps of NaN between them: (n, 2)."""
    shown = torch.where(counts.unsqueeze(2) > 0, position, torch.nan)  # (H, E, 2)
    gap = torch.full((1, *shown.shape[1:]), torch.nan)
    return torch.cat([shown, gap]).transpose(0, 1).flatten(0, 1).numpy()


class View:
    """The figure, kept open and redrawn: left the arena, right the cost after every step."""

    def __init__(self, dpi: int = 96):
        self.figure = plt.figure(figsize=(9.2, 4.7), dpi=dpi, facecolor="white")
        plt.close(self.figure)  # ours to show, not pyplot's
        FigureCanvasAgg(self.figure)
        self.main = self.figure.add_axes((0.07, 0.11, 0.44, 0.44 * 9.2 / 4.7))
        self.main.set(xlim=(-REACH, REACH), ylim=(-REACH, REACH), xlabel="x", ylabel="y")
        corner = ([-ARENA, ARENA, ARENA, -ARENA, -ARENA], [-ARENA, -ARENA, ARENA, ARENA, -ARENA])
        self.main.plot(*corner, ":", color=plots.GREY, lw=1)
        self.main.plot(0, 0, "o", color=plots.BLACK, ms=5)
        self.before = self.main.plot([], [], color="#c8c8c8", lw=0.8)[0]
        self.now = self.main.plot([], [], lw=1.1, alpha=0.75)[0]
        self.side = self.figure.add_axes((0.61, 0.11, 0.37, 0.8))
        self.side.set(xlabel="gradient steps", ylabel="minus the return (log scale)")
        self.side.set(yscale="log", ylim=(0.05, 200), xlim=(-0.3, STEPS + 0.3))
        self.side.set_xticks(range(STEPS + 1))
        self.side.set_yticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
        self.costs = self.side.plot([], [], marker="o", ms=4)[0]
        self.here = self.side.plot([], [], "o", ms=11, mfc="none", mew=2)[0]
        self.best = self.side.plot([], [], color=plots.BLACK, linestyle=(0, (1, 1)))[0]
        for ax in (self.main, self.side):
            ax.spines[["top", "right"]].set_visible(False)
        self.side.text(STEPS + 0.3, 0.06, "dotted: the best possible", ha="right", fontsize=9)
        self.moving = [self.before, self.now, self.costs, self.here, self.best]

    def draw(self, learner: PolicyGradient, film: Film, step: int) -> None:
        """Show what the robots do after `step` steps; in grey, what they learned it from."""
        look = plots.style(learner)
        empty = np.empty((0, 2))
        self.before.set_data(*(film.paths[step - 1] if step else empty).T)
        self.now.set_data(*film.paths[step].T)
        cost = [max(-r, 0.05) for r in film.returns]
        self.costs.set_data(range(STEPS + 1), cost)
        self.here.set_data([step], [cost[step]])
        self.best.set_data([-0.3, STEPS + 0.3], [max(-film.best, 0.05)] * 2)
        for line in (self.now, self.costs, self.here):
            line.set_color(look["color"])
        self.costs.set_linestyle(look["linestyle"])


class NavigationExplorer(widgets.VBox):
    """Choice of learner and step, a field and a board for the goal, and what came of it."""

    def __init__(
        self,
        learners: Mapping[str, PolicyGradient],
        goal: Sequence[float] = (0.3, 0.35),
        learner: str | None = None,
        step: int = 0,
        seed: int = 0,
    ):
        self.view, self.learners, self.seed = View(), dict(learners), seed
        self.following = False  # True while the program, not the reader, moves the goal
        wide = {"style": {"description_width": "105px"}, "layout": {"width": "330px"}}
        self.learner = widgets.Dropdown(
            options=list(self.learners), value=learner, description="learner", **wide
        )
        self.learner.value = learner or next(iter(self.learners))
        self.step = widgets.IntSlider(step, min=0, max=STEPS, description="gradient steps", **wide)
        self.typed = widgets.Text(description="goal x y", continuous_update=False, **wide)
        self.again = widgets.Button(description="new dice", layout={"width": "105px"})
        self.board = Board(
            label="The arena from above, the robots' paths, and the goal; drag the goal",
            growing=False,
            names=["★"],
            colors=[plots.RED],
        )
        self.words = widgets.HTML()
        self.learner.observe(self._adapt, "value")
        self.step.observe(self._show, "value")
        self.typed.observe(self._read, "value")
        self.board.observe(self._moved, "points")
        self.again.on_click(self._another)
        left, right = (
            widgets.VBox([self.learner, self.step]),
            widgets.VBox([self.typed, self.again]),
        )
        row = widgets.HBox([left, right], layout={"flex_flow": "row wrap"})
        super().__init__([row, self.board, self.words])
        self.add_class("course-navigation")
        self._set(checked(goal))
        self._adapt()

    def __repr__(self) -> str:
        return "The explorer needs a running kernel; a still picture of it stands beside."

    def _set(self, goal: Sequence[float]) -> None:
        self.following = True
        x, y = np.clip(np.array(goal, float), -ARENA, ARENA).tolist()
        self.board.points = [[x, y]]
        self.typed.value = f"{x:.2f} {y:.2f}"
        self.following = False

    def _moved(self, change) -> None:
        if not self.following:
            points = change["new"]
            self._set(points[0] if len(points) == 1 else change["old"][0])
            self._adapt()

    def _read(self, change) -> None:
        if self.following:
            return
        try:
            goal = checked(change["new"].split())
        except ValueError as error:
            outside = "A goal lies" in str(error)
            advice = "Type two numbers, such as 0.3 -0.2."
            self.words.value = f"{error} {advice}" if outside else advice
            return
        self._set(goal)
        self._adapt()

    def _another(self, _) -> None:
        self.seed += 1
        self._adapt()

    def _adapt(self, _=None) -> None:
        chosen = self.learners[self.learner.value]
        self.film = Film(chosen, self.board.points[0], self.seed)
        self._show()

    def _show(self, _=None) -> None:
        step, film = self.step.value, self.film
        self.view.draw(self.learners[self.learner.value], film, step)
        self.board.show(self.view.figure, self.view.main, self.view.moving, still=True)
        steps = "1 step" if step == 1 else f"{step} steps"
        self.words.value = (
            f'<div class="course-returns">return after {steps}: {film.returns[step]:.2f}; the best'
            f" possible: {film.best:.2f}; {film.arrived[step]} of {ROBOTS} robots arrived</div>"
        )
