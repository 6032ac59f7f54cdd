"""The layer widget: let each layer of a MAML adapt, adapt more slowly, or not at all."""

from collections.abc import Sequence

import ipywidgets as widgets
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from course_utils import checkpoints, plots
from course_utils.interpret import relative_change, weights_by_layer
from course_utils.learners.gradient import GradientBased
from course_utils.learners.per_task import Parameters
from course_utils.tasks import sinusoid
from course_utils.widgets.adaptation import draw_points
from course_utils.widgets.board import png
from course_utils.widgets.curves import GRID

CHECKPOINT, STEPS = "maml_sinusoid", 10
SETTING = {"amplitude": 4.0, "phase": 2.5, "shots": 10, "steps": 5}


class ByLayer(GradientBased):
    """A trained learner whose layers each have a share of the inner rate: 0 holds a layer still."""

    def __init__(self, learner: GradientBased, shares: Sequence[float]):
        super().__init__(learner.network, learner.inner_lr, learner.inner_steps)
        layers = weights_by_layer(learner.network)
        if len(shares) != len(layers):
            raise ValueError(f"{len(layers)} layers need as many shares, got {len(shares)}")
        self.shares = {
            name: share
            for names, share in zip(layers.values(), shares, strict=True)
            for name in names
        }

    def update(self, parameters: Parameters, gradients: tuple[torch.Tensor, ...]) -> Parameters:
        """θ_i ← θ_i − α s ∇L_i(θ_i), s the share of the layer."""
        return {
            name: p - self.inner_lr * self.shares[name] * g
            for (name, p), g in zip(parameters.items(), gradients, strict=True)
        }


def picture(shares: Sequence[float] = (1.0, 1.0, 1.0), **setting: float) -> Figure:
    """The widget's picture at one setting, as a figure: amplitude, phase, shots, steps."""
    view = View(dpi=100)
    view.show(shares, **SETTING | setting)
    return view.figure


def explorer(shares: Sequence[float] = (1.0, 1.0, 1.0), **setting: float) -> "Explorer":
    """The widget, starting from these shares and this setting."""
    return Explorer(shares, **SETTING | setting)


class View:
    """Left the curve before and after adapting, right how far each layer went."""

    def __init__(self, dpi: int = 96):
        self.learner = checkpoints.load(CHECKPOINT)
        self.layers = list(weights_by_layer(self.learner.network))
        self.figure = plt.figure(figsize=(9.2, 3.8), dpi=dpi, facecolor="white")
        plt.close(self.figure)  # ours to show, not pyplot's
        FigureCanvasAgg(self.figure)
        self.main = self.figure.add_axes((0.06, 0.14, 0.55, 0.74))
        self.side = self.figure.add_axes((0.73, 0.14, 0.26, 0.74))

    def show(
        self, shares: Sequence[float], amplitude: float, phase: float, shots: int, steps: int
    ) -> None:
        """Adapt with these shares and draw."""
        points = torch.tensor(draw_points(amplitude, phase, int(shots), 0.0, 0)).view(1, -1, 2)
        x, y = points[..., :1], points[..., 1:]
        truth, at = sinusoid(GRID, amplitude, phase), GRID.view(1, -1, 1)
        with torch.no_grad():
            way = ByLayer(self.learner, shares).trajectory(x, y, int(steps))
            before, after = (p(at).flatten() for p in (way[0], way[-1]))
        self.errors = [(curve - truth).pow(2).mean().item() for curve in (before, after)]
        self.changes = [c.item() for c in relative_change(self.learner, way[-1]).values()]
        self._draw(points[0], truth, before, after)

    def _draw(self, points, truth, before, after) -> None:
        for ax in (self.main, self.side):
            ax.clear()
            ax.spines[["top", "right"]].set_visible(False)
        ax = self.main
        ax.plot(GRID, truth, color="#cccccc", lw=6, label="true curve")
        ax.plot(GRID, before, color=plots.GREY, ls=":", lw=2, label="before adapting")
        ax.plot(GRID, after, lw=2.2, **plots.style("MAML") | {"label": "after adapting"})
        ax.plot(*points.T, "o", color="black", ms=7, mec="white", zorder=5)
        reach = max(6.0, 1.2 * truth.abs().max().item())
        ax.set(xlabel="x", ylabel="y", xlim=(-5, 5), ylim=(-reach, reach))
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False, fontsize=9)
        names = [f"layer {i + 1}" for i in range(len(self.layers))]
        bars = self.side.barh(names, [100 * c for c in self.changes], color=plots.BLUE)
        self.side.bar_label(bars, [f"{100 * c:.1f} %" for c in self.changes], padding=3)
        self.side.invert_yaxis()
        self.side.set(xlabel="change of the weights, %", xlim=(0, max(8, 130 * max(self.changes))))

    def words(self) -> str:
        """The errors as a sentence."""
        before, after = (f"{e:.3f}" if e < 1e3 else f"{e:.2g}" for e in self.errors)
        return f"mean squared error {before} before adapting, {after} after"


class Explorer(widgets.VBox):
    """A slider for each layer's share of the inner rate, and what comes of it."""

    def __init__(self, shares: Sequence[float], **setting: float):
        self.view = View()
        wide = {"style": {"description_width": "105px"}, "layout": {"width": "330px"}}
        self.shares = [
            widgets.FloatSlider(
                share, min=0, max=1, step=0.1, description=f"layer {i + 1} adapts", **wide
            )
            for i, share in enumerate(shares)
        ]
        self.setting = {
            "steps": widgets.IntSlider(
                setting["steps"], min=0, max=STEPS, description="gradient steps", **wide
            ),
            "amplitude": widgets.FloatSlider(
                setting["amplitude"], min=0, max=10, step=0.1, description="amplitude", **wide
            ),
            "phase": widgets.FloatSlider(
                setting["phase"], min=0, max=6.2, step=0.1, description="phase", **wide
            ),
            "shots": widgets.IntSlider(
                setting["shots"], min=1, max=40, description="shots", **wide
            ),
        }
        self.presets = [
            self._preset("all layers", [1.0] * len(shares)),
            self._preset("last layer only", [0.0] * (len(shares) - 1) + [1.0]),
            self._preset("all but the last", [1.0] * (len(shares) - 1) + [0.0]),
        ]
        self.image, self.errors = widgets.Image(format="png"), widgets.HTML()
        self.image.add_class("course-layers-picture")
        for control in (*self.shares, *self.setting.values()):
            control.observe(self._show, "value")
        left = widgets.VBox([*self.shares, widgets.HBox(self.presets)])
        right = widgets.VBox(list(self.setting.values()))
        super().__init__(
            [widgets.HBox([left, right], layout={"flex_flow": "row wrap"}), self.image, self.errors]
        )
        self.add_class("course-layers")
        self._show()

    def __repr__(self) -> str:
        return "The layer widget needs a running kernel; a still picture of it stands beside."

    def _preset(self, name: str, shares: list[float]) -> widgets.Button:
        button = widgets.Button(description=name, layout={"width": "110px"})
        button.on_click(lambda _: self._set(shares))
        return button

    def _set(self, shares: list[float]) -> None:
        with self.hold_sync():
            for slider, share in zip(self.shares, shares, strict=True):
                slider.value = share

    def _show(self, _=None) -> None:
        setting = {name: control.value for name, control in self.setting.items()}
        self.view.show([slider.value for slider in self.shares], **setting)
        canvas = self.view.figure.canvas
        canvas.draw()
        self.image.value = png(np.asarray(canvas.buffer_rgba()))
        self.errors.value = f'<span class="course-layers-errors">{self.view.words()}</span>'
