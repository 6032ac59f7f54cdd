"""The loss landscape: two tasks, one θ, and four learners who each see another bowl in them."""

import html
from collections.abc import Sequence

import ipywidgets as widgets
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from course_utils import plots
from course_utils.widgets.board import Board
from course_utils.widgets.bowls import BOWLS, GRID, LEARNERS, REACH, Scene

START = ((-1.6, -1.2), (1.6, 1.2), (0.0, 0.0))  # A, B, θ
NAMES, COLORS = ("A", "B", "θ"), (plots.RED, plots.PINK, plots.BLACK)
TURN = np.linspace(0, 2 * np.pi, 61)
QUESTIONS = {
    "MAML, not joint": (
        "Find a θ that MAML calls optimal and joint training does not.",
        "MAML looks only at what is left after the step, joint training only at what there is"
        " before it. So MAML is content with an error that the step will remove.",
    ),
    "one step": (
        "Find an α, and a θ whose mean loss is above 1, and below 0.01 after one step.",
        "With α = 0.5 one step undoes the whole error across a steep valley. A θ that is wrong in"
        " the steep directions only is as good, for MAML, as one that is right.",
    ),
    "runs away": (
        "Find a rate at which first order has no optimum at all, and walk with it.",
        "The step overshoots, so the query gradient at θ_i points the other way. MAML's factor"
        " (I − αH) turns it back; first order has left the factor out, and runs away.",
    ),
    "all agree": (
        "Change one thing so that all four agree, wherever A and B lie.",
        "Where all tasks have the same curvature, each learner gives them equal weights, and the"
        " best θ is the middle. What tells the four apart is how differently tasks are curved.",
    ),
}


def picture(
    points: Sequence = START,
    bowls: str = "crossed valleys",
    rate: float = 0.4,
    steps: int = 1,
) -> Figure:
    """The landscape's picture at one setting; `points` are the places [x, y] of A, B and θ."""
    view = View(dpi=100)
    view.draw(Scene(points, bowls, rate, steps))
    for name, color, (x, y) in zip(NAMES, COLORS, points, strict=True):
        view.main.plot(x, y, "o", color=color, ms=15, mec="white", zorder=8)
        look = {"color": "white", "weight": "bold", "fontsize": 9, "zorder": 9}
        view.main.text(x, y, name, ha="center", va="center_baseline", **look)
    return view.figure


def landscape(**setting) -> "Landscape":
    """The widget; `setting` is where it starts: points, bowls, rate, steps."""
    return Landscape(**setting)


class View:
    """The figure, kept open and redrawn: left the tasks, right what each learner sees."""

    def __init__(self, dpi: int = 96):
        self.figure = plt.figure(figsize=(9.2, 4.9), dpi=dpi, facecolor="white")
        plt.close(self.figure)  # ours to show, not pyplot's
        FigureCanvasAgg(self.figure)
        self.main = self.figure.add_axes((0.06, 0.11, 0.46, 0.46 * 9.2 / 4.9))
        self.main.set(xlabel="first weight of θ", ylabel="second weight of θ")
        self.main.spines[["top", "right"]].set_visible(False)
        self.paths = [self.main.plot([], [], "-o", color=c, lw=2, ms=4)[0] for c in COLORS[:2]]
        self.ends = [
            self.main.plot([], [], "o", color=c, mfc="white", ms=11, mew=2.5)[0] for c in COLORS[:2]
        ]
        self.letters = [
            self.main.text(0, 0, name, color=c, weight="bold", fontsize=11, ha="center")
            for name, c in zip(("$θ_A$", "$θ_B$"), COLORS[:2], strict=True)
        ]
        arrow = {"angles": "xy", "scale_units": "xy", "scale": 1}
        colors = [plots.style(name)["color"] for name in LEARNERS]
        self.arrows = [  # of different width, so that one is seen beneath another
            self.main.quiver(0, 0, 0, 0, color=c, width=w, **arrow)
            for c, w in zip(colors, (0.018, 0.010, 0.010, 0.008), strict=True)
        ]
        self.panels, self.spots, self.pushes = {}, [], []
        for i, (name, color) in enumerate(zip(LEARNERS, colors, strict=True)):
            place = (0.58 + 0.21 * (i % 2), 0.535 - 0.43 * (i // 2), 0.20, 0.375)
            panel = self.figure.add_axes(place, xticks=[], yticks=[])
            panel.set_title(LEARNERS[name], color=color, weight="bold", fontsize=10, pad=4)
            self.pushes.append(panel.quiver(0, 0, 0, 0, color=color, width=0.025, **arrow))
            self.spots.append(panel.plot([], [], "o", color=plots.BLACK, ms=6, mec="white")[0])
            self.panels[name] = panel
        for ax in (self.main, *self.panels.values()):
            ax.set(xlim=(-REACH, REACH), ylim=(-REACH, REACH))
        self.drawn = []  # what belongs to the tasks, and goes when they change
        self.moving = [
            *self.paths, *self.arrows, *self.ends, *self.letters, *self.pushes, *self.spots,
        ]  # fmt: skip
        self.before = None

    def draw(self, scene: Scene) -> bool:
        """Show a scene; whether nothing but θ has changed since the last one."""
        ground = (scene.optima.tolist(), scene.hessians.tolist(), scene.rate, scene.steps)
        still, self.before = ground == self.before, ground
        if not still:
            self._ground(scene)
        x, y = scene.theta.tolist()
        for task, (line, end, letter) in enumerate(
            zip(self.paths, self.ends, self.letters, strict=True)
        ):
            path = scene.path(task).clamp(-9, 9).numpy()
            line.set_data(*path.T)
            end.set_data(*path[-1:].T)
            letter.set_position(path[-1] + (0, 0.22))
        rows = zip(LEARNERS, self.arrows, self.pushes, self.spots, strict=True)
        for learner, arrow, small, spot in rows:
            spot.set_data([x], [y])
            for quiver in (arrow, small):
                quiver.set_offsets([[x, y]])
                quiver.set_UVC(*shortened(scene.push(learner)))
        return still

    def _ground(self, scene: Scene) -> None:
        """The two tasks as ellipses of equal loss, and each learner's own contours."""
        for artist in self.drawn:
            artist.remove()
        self.drawn = []
        rows = zip(scene.optima.numpy(), scene.hessians, COLORS, ("-", "--"), strict=False)
        for optimum, hessian, color, line in rows:
            for loss in (0.1, 0.4, 0.9):
                radius = np.sqrt(2 * loss / hessian.diagonal().numpy())
                x, y = optimum[:, None] + radius[:, None] * (np.cos(TURN), np.sin(TURN))
                look = {"color": color, "ls": line, "lw": 1.1, "alpha": 0.6, "zorder": 1}
                self.drawn += self.main.plot(x, y, **look)
        for name, panel in self.panels.items():
            values = scene.objective(name)
            for place, letter, color in zip(scene.optima.numpy(), NAMES, COLORS, strict=False):
                look = {"color": color, "fontsize": 9, "weight": "bold", "alpha": 0.8}
                self.drawn.append(panel.text(*place, letter, ha="center", va="center", **look))
            depth = np.sqrt(np.maximum(values - values.min(), 0))  # cones, so that lines are even
            levels = np.linspace(0, max(depth.max(), 1e-9), 9)
            color = plots.style(name)["color"]
            self.drawn.append(
                panel.contour(GRID, GRID, depth, levels[1:], colors=color, linewidths=0.9)
            )
            optimum = scene.optimum(name)
            if optimum is not None:
                self.drawn += panel.plot(*optimum, "*", color=color, ms=13, mec="white", zorder=1.5)
            else:
                look = {"color": plots.BLACK, "fontsize": 9, "ha": "center"}
                self.drawn.append(panel.text(0, -2.7, "no optimum", **look))


def shortened(push: Tensor) -> np.ndarray:
    """An arrow in the direction of `push`, never longer than 1.7, and long enough to be seen."""
    length = push.norm().item()
    return push.numpy() * 1.7 / (length + 0.2)


class Landscape(widgets.VBox):
    """Sliders, a board on which A, B and θ are dragged, four walks, a table and four questions."""

    def __init__(
        self,
        points: Sequence = START,
        bowls: str = "crossed valleys",
        rate: float = 0.4,
        steps: int = 1,
    ):
        self.view, self.found = View(), {}
        self.following = False  # True while the program, not the reader, moves points
        wide = {"style": {"description_width": "105px"}, "layout": {"width": "330px"}}
        self.bowls = widgets.Dropdown(
            options=list(BOWLS), value=bowls, description="the two bowls", **wide
        )
        self.rate = widgets.FloatSlider(
            rate, min=0.05, max=0.9, step=0.05, description="inner rate α", **wide
        )
        self.steps = widgets.IntSlider(steps, min=1, max=5, description="inner steps", **wide)
        self.typed = widgets.Text(
            description="A; B; θ (x y)",
            continuous_update=False,
            style=wide["style"],
            layout={"width": "400px"},
        )
        self.board = Board(
            label="Two tasks A and B, and θ, in the plane of two weights; drag them",
            growing=False,
            names=NAMES,
            colors=COLORS,
        )
        self.walks = {
            learner: widgets.Button(description=f"walk with {name}", layout={"width": "185px"})
            for learner, name in LEARNERS.items()
        }
        self.words = widgets.HTML()
        for control in (self.bowls, self.rate, self.steps):
            control.observe(self._show, "value")
        self.board.observe(self._moved, "points")
        self.typed.observe(self._read, "value")
        for learner, button in self.walks.items():
            button.on_click(lambda _, learner=learner: self._walk(learner))
        left = widgets.VBox([self.bowls, self.typed])
        right = widgets.VBox([self.rate, self.steps])
        row = {"flex_flow": "row wrap"}
        super().__init__(
            [
                widgets.HBox([left, right], layout=row),
                widgets.HBox(list(self.walks.values()), layout=row),
                self.board,
                self.words,
            ]
        )
        self.add_class("course-landscape")
        self._set(points)
        self._show()

    def __repr__(self) -> str:
        return "The landscape needs a running kernel; a still picture of it stands beside."

    @property
    def scene(self) -> Scene:
        """What is shown."""
        return Scene(self.board.points, self.bowls.value, self.rate.value, self.steps.value)

    def _set(self, points: Sequence) -> None:
        self.following = True
        inside = np.clip(np.array(points, float), -REACH, REACH)
        self.board.points = inside.tolist()
        self.typed.value = "; ".join(f"{x:.2f} {y:.2f}" for x, y in inside)
        self.following = False

    def _moved(self, change) -> None:
        if not self.following:
            points = change["new"]
            self._set(points if len(points) == len(NAMES) else change["old"])
            self._show()

    def _read(self, change) -> None:
        if self.following:
            return
        try:
            points = np.array([list(map(float, p.split())) for p in change["new"].split(";")])
            if points.shape != (3, 2) or not np.isfinite(points).all():
                raise ValueError
        except ValueError:
            self.words.value = (
                "Type three pairs of numbers with ; between them: the places of A, B and θ, as in"
                " -1.6 -1.2; 1.6 1.2; 0 0"
            )
            return
        self._set(points)
        self._show()

    def _walk(self, learner: str) -> None:
        self._set([*self.board.points[:2], self.scene.walked(learner).tolist()])
        self._show()

    def _show(self, _=None) -> None:
        scene = self.scene
        still = self.view.draw(scene)
        self.board.show(self.view.figure, self.view.main, self.view.moving, still)
        for question in scene.answers():
            self.found.setdefault(question)
        self.words.value = table(scene) + questions(self.found)


def table(scene: Scene) -> str:
    """The mean loss before and after adapting, and what each learner says of θ, as HTML."""
    before, after = scene.losses()
    heads, cells = "", ""
    for learner, name in LEARNERS.items():
        mark = f'<span style="color:{plots.style(learner)["color"]}">&#9644;</span>'
        optimum = scene.optimum(learner)
        says = (
            "has no optimum"
            if optimum is None
            else "calls this θ optimal"
            if scene.at(learner)
            else "calls ({:.2f}, {:.2f}) optimal".format(*optimum)
        )
        heads += f'<th style="padding-right:1.5em">{mark} {name}</th>'
        cells += f'<td class="course-says" style="padding-right:1.5em">{says}</td>'
    steps = "1 step" if scene.steps == 1 else f"{scene.steps} steps"
    losses = f"mean loss at θ: {before:.2f}; after {steps}: {after:.2f}"
    return (
        f'<div class="course-losses">{losses}</div><table style="line-height:1.5;text-align:left">'
        f"<tr>{heads}</tr><tr>{cells}</tr></table>"
    )


def questions(found: Sequence[str]) -> str:
    """The questions as an HTML list; those in `found` are ticked and explained."""
    items = ""
    for name, (question, why) in QUESTIONS.items():
        yes = name in found
        more = f" <i>{html.escape(why, quote=False)}</i>" if yes else ""
        items += f"<li>{'✓' if yes else '○'} {html.escape(question, quote=False)}{more}</li>"
    style = "list-style:none;padding-left:0;line-height:1.5;max-width:920px"
    return f'<ul class="course-questions" style="{style}">{items}</ul>'
