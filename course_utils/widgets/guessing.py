"""A game of few-shot learning: guess a curve at three places from five points, beside learners."""

import io
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import ipywidgets as widgets
import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from torch import Tensor

from course_utils import checkpoints, plots
from course_utils.learners import BayesOptimalSinusoid, MetaLearner
from course_utils.learners.reference import FromScratchAdam, NearestPoint
from course_utils.networks import MLP
from course_utils.tasks import Sinusoids, sinusoid

SHOTS = 5
NOISE = 0.3
LOW, HIGH, STEP = -6.0, 6.0, 0.1  # what can be guessed
GRID = torch.linspace(-5, 5, 201)


class Round(NamedTuple):
    """One curve of the game: five noisy points of it, three places, the true heights there."""

    x: Tensor  # (5,)
    y: Tensor  # (5,)
    places: Tensor  # (3,) in rising order
    answers: Tensor  # (3,) without noise
    curve: Tensor  # (201,) the whole curve on GRID, without noise


def deal(rounds: int = 6, seed: int = 7) -> list[Round]:
    """Seeded rounds from the family that chapter 01 is about: the ranges of `Sinusoids()`."""
    family, generator = Sinusoids(), torch.Generator().manual_seed(seed)

    def uniform(low, high, *shape):
        return low + (high - low) * torch.rand(shape, generator=generator)

    dealt = []
    for _ in range(rounds):
        amplitude, phase = uniform(*family.amplitude), uniform(*family.phase)
        x = uniform(*family.x_range, SHOTS)
        y = sinusoid(x, amplitude, phase) + NOISE * torch.randn(SHOTS, generator=generator)
        low, high = family.x_range
        third = (high - low) / 3
        places = low + third * (torch.arange(3) + uniform(0.15, 0.85, 3))  # one in each third
        places = (places * 10).round() / 10
        true = [sinusoid(at, amplitude, phase) for at in (places, GRID)]
        dealt.append(Round(x, y, places, *true))
    return dealt


def predict(learner: MetaLearner, dealt: Sequence[Round], at: Tensor) -> Tensor:
    """What `learner` says of each round at its own row of `at`: (rounds, n) -> (rounds, n)."""
    support_x = torch.stack([r.x for r in dealt]).unsqueeze(2)  # (rounds, 5, 1)
    support_y = torch.stack([r.y for r in dealt]).unsqueeze(2)
    with torch.no_grad():
        return learner.adapt(support_x, support_y)(at.unsqueeze(2)).squeeze(2)


def opponents() -> dict[str, MetaLearner]:
    """Who plays beside the reader, by the name of the learner's class.

    The network from scratch has the settings that serve it best on validation tasks of five
    points (chapter 01 chooses them); MAML is the shipped checkpoint, given ten steps.
    """
    maml = checkpoints.load("maml_sinusoid_noisy")
    maml.inner_steps = 10
    return {
        "NearestPoint": NearestPoint(),
        "FromScratch": FromScratchAdam(
            MLP(1, 40, 40, 1), inner_lr=0.01, inner_steps=1, weight_decay=1
        ),
        "MAML": maml,
        "BayesOptimalSinusoid": BayesOptimalSinusoid(Sinusoids(noise=NOISE), nodes=512),
    }


def typical_miss(guesses: Tensor, answers: Tensor) -> float:
    """The root of the mean squared distance between guesses and answers, in units of y."""
    return (guesses - answers).pow(2).mean().sqrt().item()


def draw_round(ax: Axes, dealt: Round, guesses: Sequence[float] | None = None) -> None:
    """The five points, the three marked places, and the guesses where there are some."""
    ax.plot(dealt.x, dealt.y, "o", color=plots.BLACK, label="five noisy points", zorder=4)
    for letter, place in zip("ABC", dealt.places.tolist(), strict=True):
        ax.axvline(place, color="0.85", linewidth=6, zorder=0)
        ax.text(place, HIGH + 0.3, letter, ha="center")
    if guesses is not None:
        ax.plot(dealt.places, guesses, "s", color=plots.RED, label="your guesses", zorder=5)
    ax.set(ylim=(LOW - 0.5, HIGH + 1), xlim=(-5.2, 5.2))


def draw_answer(ax: Axes, dealt: Round, curves: Mapping[str, Tensor]) -> None:
    """The true curve, and each learner's prediction (201,) over GRID."""
    ax.plot(GRID, dealt.curve, color="0.8", linewidth=7, zorder=1, label="the truth")
    for name, curve in curves.items():
        ax.plot(GRID, curve, zorder=3, **plots.style(name))


class GuessingGame(widgets.VBox):
    """Guess three heights of each curve with sliders or number fields; the learners guess too.

    `learners` maps the name of a learner's class to the learner (default: `opponents()`). All
    learn from the same five points. `guesses` holds the reader's numbers of the rounds checked so
    far, `table()` the scores.
    """

    def __init__(
        self, learners: Mapping[str, MetaLearner] | None = None, rounds: int = 6, seed: int = 7
    ):
        learners = opponents() if learners is None else learners
        self.dealt, self.grid = deal(rounds, seed), GRID
        places = torch.stack([r.places for r in self.dealt])  # (rounds, 3)
        grid = GRID.expand(rounds, -1)
        self.says = {name: predict(x, self.dealt, places) for name, x in learners.items()}
        self.curves = {name: predict(x, self.dealt, grid) for name, x in learners.items()}
        self.guesses: list[list[float]] = []

        self.ax = plots.axes("x", "y", 7.2, 3.4)
        self.ax.figure.set_layout_engine(None)  # laid out once, not at every movement
        self.ax.figure.subplots_adjust(left=0.08, right=0.77, bottom=0.14, top=0.97)
        plt.close(self.ax.figure)  # ours to show, not pyplot's
        FigureCanvasAgg(self.ax.figure)
        self.picture = widgets.Image(format="png", layout={"width": "720px", "max_width": "100%"})
        self.sliders = [self._slider() for _ in range(3)]
        self.check = widgets.Button(description="Check", button_style="primary")
        self.next = widgets.Button(description="Next curve")
        self.again = widgets.Button(description="Start again")
        self.says_so = widgets.HTML()
        self.scores = widgets.HTML()
        self.check.on_click(lambda _: self.answer())
        self.next.on_click(lambda _: self.show(len(self.guesses)))
        self.again.on_click(lambda _: self.restart())
        self.restart()
        buttons = widgets.HBox([self.check, self.next, self.again])
        super().__init__(
            [self.says_so, self.picture, *self.sliders, buttons, self.scores], _dom_classes=["game"]
        )

    def __repr__(self) -> str:
        return "The game needs a kernel: run this cell to play. The figure shows its first curve."

    def _slider(self) -> widgets.FloatSlider:
        slider = widgets.FloatSlider(
            0, min=LOW, max=HIGH, step=STEP, readout_format=".1f", layout={"width": "95%"}
        )
        slider.observe(lambda _: self.asking and self.draw(), "value")
        return slider

    # --- the course of the game ------------------------------------------------------------------

    def restart(self) -> None:
        """Forget all guesses and show the first curve."""
        self.guesses.clear()
        self.show(0)

    def show(self, number: int) -> None:
        """Ask for round `number`, counted from 0."""
        self.number, self.answered, self.asking = number, False, False
        for letter, place, slider in zip(
            "ABC", self.dealt[number].places.tolist(), self.sliders, strict=True
        ):
            slider.description, slider.value, slider.disabled = f"{letter}: x={place:.1f}", 0, False
        self.check.disabled, self.next.disabled, self.asking = False, True, True
        self.says_so.value = (
            f"<b>Curve {number + 1} of {len(self.dealt)}.</b> Where does the curve pass through the"
            " grey bars A, B and C? Set your three guesses, then press Check."
        )
        self.draw()

    def answer(self) -> None:
        """Take the sliders' values as this round's guesses and show what was right."""
        self.guesses.append([slider.value for slider in self.sliders])
        self.answered, self.asking = True, False
        for slider in self.sliders:
            slider.disabled = True
        self.check.disabled = True
        self.next.disabled = len(self.guesses) == len(self.dealt)
        dealt = self.dealt[self.number]
        miss = typical_miss(torch.tensor(self.guesses[-1]), dealt.answers)
        heights = ", ".join(f"{y:.1f}" for y in dealt.answers.tolist())
        self.says_so.value = f"The true heights are {heights}. Your typical miss is {miss:.2f}."
        if self.next.disabled:
            self.says_so.value += " That was the last curve."
        self.draw()

    def table(self) -> list[list[float]]:
        """Typical misses: a row for each round checked, the last row over them all together.

        Columns: the reader, then the learners in their order. Empty before the first check.
        """
        done = len(self.guesses)
        if not done:
            return []
        answers = torch.stack([r.answers for r in self.dealt[:done]])
        columns = [torch.tensor(self.guesses), *(says[:done] for says in self.says.values())]
        parts = [slice(i, i + 1) for i in range(done)] + [slice(0, done)]
        return [[typical_miss(c[p], answers[p]) for c in columns] for p in parts]

    # --- what is seen ----------------------------------------------------------------------------

    def draw(self) -> None:
        """Redraw the picture and the table."""
        self.ax.clear()
        draw_round(self.ax, self.dealt[self.number], [s.value for s in self.sliders])
        if self.answered:
            curves = {name: curve[self.number] for name, curve in self.curves.items()}
            draw_answer(self.ax, self.dealt[self.number], curves)
        self.ax.set(xlabel="x", ylabel="y")
        self.ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize="small", frameon=False)
        buffer = io.BytesIO()
        self.ax.figure.savefig(buffer, format="png", dpi=100)
        self.picture.value = buffer.getvalue()
        self.picture.alt = f"Curve {self.number + 1}: five points and three places to guess"
        self.scores.value = score_table(self.table(), list(self.says))


def score_table(rows: Sequence[Sequence[float]], learners: Sequence[str]) -> str:
    """An HTML table of typical misses, its last row the score of all rounds together."""
    if not rows:
        return ""
    heads = ["", "you", *(plots.LABELS.get(name, name) for name in learners)]
    names = [f"curve {i + 1}" for i in range(len(rows) - 1)] + ["<b>all so far</b>"]
    text = "".join(f"<th style='padding:0 0.7em'>{head}</th>" for head in heads)
    html = f"<table><caption>Typical miss, in units of y</caption><tr>{text}</tr>"
    for name, row in zip(names, rows, strict=True):
        cells = "".join(f"<td style='text-align:right;padding:0 0.7em'>{v:.2f}</td>" for v in row)
        html += f"<tr><th scope='row'>{name}</th>{cells}</tr>"
    return html + "</table>"
