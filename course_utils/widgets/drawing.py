"""Draw symbols of your own: a learner learns them from a few examples and reads the next one."""

import html
import string
from collections.abc import Mapping, Sequence

import ipywidgets as widgets
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from torch import Tensor

from course_utils import checkpoints, plots
from course_utils.learners import MetaLearner
from course_utils.widgets.board import png
from course_utils.widgets.pad import Pad, Strokes, character, data_uri, parse, stored, written

MOST_SYMBOLS, MOST_EXAMPLES = 10, 5
COLORS = (plots.BLUE, plots.RED, plots.GREEN, plots.PINK, plots.ORANGE, plots.SKY)

Examples = Mapping[str, Sequence[Tensor]]  # symbol -> its characters, each (1, 28, 28)


def draw_your_own(learners: Mapping[str, MetaLearner] | None = None) -> "DrawYourOwn":
    """The widget; `learners` maps a label to anything that adapts and predicts."""
    return DrawYourOwn(learners or {"ProtoNet": checkpoints.load("protonet_characters")})


def picture(learner: MetaLearner | None = None) -> Figure:
    """The same as a figure: the stored drawings, their probabilities, and the map."""
    learner = learner or checkpoints.load("protonet_characters")
    drawings, last = stored()
    examples, query = as_examples(drawings), character(last)
    found = probabilities(learner, examples, query)
    figure = plt.figure(figsize=(9.2, 4.2), dpi=100, facecolor="white")
    plt.close(figure)  # ours to show, not pyplot's
    grid = figure.add_gridspec(len(examples), 2, left=0.04, right=0.19, top=0.88, bottom=0.04)
    for row, (name, images) in enumerate(examples.items()):
        for column, image in enumerate(images[:2]):
            ax = show(figure.add_subplot(grid[row, column]), image)
            if column == 0:
                ax.set_ylabel(name, rotation=0, labelpad=12, va="center", color=color_of(row))
    figure.text(0.115, 0.92, "examples", ha="center", fontsize=10)
    show(figure.add_axes((0.28, 0.44, 0.18, 0.40)), query).set_title("what is it?", fontsize=10)
    for row, (name, share) in enumerate(found.items()):
        line = f"{name}  {share:6.1%}"
        figure.text(0.31, 0.35 - 0.07 * row, line, color=color_of(row), family="monospace")
    draw_map(figure.add_axes((0.52, 0.04, 0.46, 0.84)), learner, examples, query, found)
    return figure


def show(ax: Axes, image: Tensor) -> Axes:
    """A character (1, 28, 28), black on white, without ticks."""
    ax.imshow(image[0].numpy(), cmap="gray_r", vmin=0, vmax=1)
    ax.set(xticks=[], yticks=[])
    return ax


# --- what a learner makes of them ----------------------------------------------------------------


def as_examples(drawings: Mapping[str, Sequence[Strokes]]) -> dict[str, list[Tensor]]:
    """Drawings as characters."""
    return {name: list(map(character, kept)) for name, kept in drawings.items()}


def support_of(examples: Examples) -> tuple[Tensor, Tensor]:
    """All examples as one task's support set: (1, S, 1, 28, 28) and (1, S)."""
    labels = [i for i, images in enumerate(examples.values()) for _ in images]
    x = torch.stack([image for images in examples.values() for image in images])
    return x.unsqueeze(0), torch.tensor([labels])


def probabilities(learner: MetaLearner, examples: Examples, query: Tensor) -> dict[str, float]:
    """For each symbol, how likely `query` (1, 28, 28) is one.

    Raises ValueError where the learner gives no logits for that many symbols.
    """
    with torch.no_grad():
        logits = learner.adapt(*support_of(examples))(query.view(1, 1, 1, 28, 28))
    if logits.shape[:2] != (1, 1) or logits.shape[2] < len(examples):
        raise ValueError(f"no logits for {len(examples)} symbols: shape {tuple(logits.shape)}")
    shares = logits[0, 0, : len(examples)].softmax(0)  # outputs that no symbol uses are left out
    return dict(zip(examples, shares.tolist(), strict=True))


def embed(learner: MetaLearner, x: Tensor) -> Tensor:
    """Where a learner's encoder puts images: (n, 1, 28, 28) -> (n, D); without one, the pixels."""
    with torch.no_grad():
        return getattr(learner, "encoder", torch.nn.Flatten())(x).flatten(1)


def project(support: Tensor, others: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """(S, D) and (n, D) along the two directions in which `support` varies most: (S, 2), (n, 2)."""
    mean = support.mean(0)
    directions = torch.linalg.svd(support - mean, full_matrices=False).Vh[:2]  # (2, D)
    return ((support - mean) @ directions.T).numpy(), ((others - mean) @ directions.T).numpy()


def draw_map(
    ax: Axes,
    learner: MetaLearner,
    examples: Examples,
    query: Tensor | None,
    found: Mapping[str, float],
) -> None:
    """Each character where the encoder puts it; lines from the query, as strong as its shares."""
    ax.clear()
    ax.set(xticks=[], yticks=[], aspect="equal")
    ax.set_title("the embeddings, flattened to two dimensions", fontsize=10)
    if sum(map(len, examples.values())) < 3:
        ax.text(0.5, 0.5, "appears with the third example", ha="center", va="center")
        return
    x, y = (t[0] for t in support_of(examples))
    vectors = embed(learner, x if query is None else torch.cat([x, query.unsqueeze(0)]))
    places, asked = project(vectors[: len(x)], vectors[len(x) :])
    everything = np.concatenate([places, asked])
    low, high = everything.min(0), everything.max(0)
    reach = (high - low).max() + 1e-6
    names, half = list(examples), 0.05 * reach
    for image, number, place in zip(x, y.tolist(), places, strict=True):
        stamp(ax, image[0], color_of(number), place, half)
        ax.text(*(place + half), names[number], color=color_of(number), fontsize=11, zorder=4)
    for place in asked:
        for number, share in enumerate(found.values()):
            centre = places[y.numpy() == number].mean(0)
            ax.plot(*zip(place, centre, strict=True), color=color_of(number), alpha=share)
        stamp(ax, query[0], plots.BLACK, place, 1.3 * half)
        corner = place - 1.3 * half
        ax.add_patch(plt.Rectangle(corner, 2.6 * half, 2.6 * half, fill=False, zorder=5))
    for middle, limit in zip((low + high) / 2, (ax.set_xlim, ax.set_ylim), strict=True):
        limit(middle - 0.62 * reach, middle + 0.62 * reach)


def stamp(ax: Axes, image: Tensor, color: str, place: np.ndarray, half: float) -> None:
    """A character (28, 28) in colour, without paper, `half` as wide to each side of `place`."""
    ink = np.empty((*image.shape, 4))
    ink[..., :3], ink[..., 3] = to_rgb(color), image.numpy()
    (x, y), limits = place, (ax.get_xlim(), ax.get_ylim())
    ax.imshow(ink, extent=(x - half, x + half, y - half, y + half), zorder=3)
    ax.set(xlim=limits[0], ylim=limits[1])


def color_of(number: int) -> str:
    """The colour of a symbol; letters tell apart what shares one."""
    return COLORS[number % len(COLORS)]


# --- the widget ----------------------------------------------------------------------------------


class Row(widgets.HBox):
    """One symbol: the button that names a drawing, its share of the query, its examples."""

    def __init__(self, name: str, number: int):
        self.name, self.number = name, number
        self.learn = widgets.Button(description=f"It is {name}", layout={"width": "72px"})
        self.learn.tooltip = f"Keep the drawing as an example of {name}"
        self.forget = widgets.Button(description="✕", layout={"width": "34px"})
        self.forget.tooltip = f"Forget the last example of {name}"
        self.share, self.examples = widgets.HTML(), widgets.HTML(layout={"width": "164px"})
        super().__init__([self.learn, self.share, self.examples, self.forget])

    def show(self, images: Sequence[Tensor], share: float | None) -> None:
        """Show the examples (each (1, 28, 28)) and the share, or none."""
        self.layout.display = "flex" if images else "none"
        self.learn.disabled = len(images) >= MOST_EXAMPLES
        self.examples.value = "".join(
            f'<img src="{data_uri(image[0])}" width="28" height="28" alt="example of {self.name}"'
            ' style="border:1px solid #ccc;margin-right:2px">'
            for image in images
        )
        wide, text = (0, "") if share is None else (100 * share, f"{share:.1%}")
        self.share.value = (
            f'<div style="display:flex;width:150px" title="probability of {self.name}">'
            '<div style="width:90px;background:#8882;margin:6px 6px 6px 0">'
            f'<div style="width:{wide:.1f}%;height:14px;background:{color_of(self.number)}"></div>'
            f'</div><b class="course-share" data-symbol="{self.name}">{text}</b></div>'
        )


class DrawYourOwn(widgets.HBox):
    """A pad, with what to do with the drawing; the symbols so far; and the embedding map."""

    def __init__(self, learners: Mapping[str, MetaLearner]):
        self.learners = dict(learners)
        self.examples: dict[str, list[Tensor]] = {}
        self.found: dict[str, float] = {}
        self.figure = plt.figure(figsize=(4.4, 4.4), dpi=80, facecolor="white")
        plt.close(self.figure)  # ours to show, not pyplot's
        FigureCanvasAgg(self.figure)
        self.ax = self.figure.add_axes((0.02, 0.02, 0.96, 0.91))
        self.pad = Pad()
        narrow, half = {"width": "66px"}, {"width": "138px"}
        self.undo = widgets.Button(description="Undo", layout=narrow)
        self.clear = widgets.Button(description="Clear", layout=narrow)
        self.new = widgets.Button(description="It is a new symbol", layout={"width": "142px"})
        self.new.button_style = "primary"
        self.typed = widgets.Text(
            description="strokes",
            continuous_update=False,
            placeholder="20 20, 80 80; 80 20, 20 80",
            style={"description_width": "50px"},
            layout={"width": "280px"},
        )
        self.fill = widgets.Button(description="Stored symbols", layout=half)
        self.restart = widgets.Button(description="Start again", layout=half)
        self.which = widgets.ToggleButtons(options=list(self.learners))
        self.which.style.button_width = "130px"
        self.which.layout.display = "none" if len(self.learners) == 1 else "flex"
        self.says = widgets.HTML()
        names = string.ascii_uppercase[:MOST_SYMBOLS]
        self.rows = {name: Row(name, i) for i, name in enumerate(names)}
        self.map = widgets.Image(format="png", layout={"width": "352px", "max_width": "100%"})
        self.map.alt = "Map of the embeddings of all drawings"
        self._listen()
        buttons = widgets.HBox([self.undo, self.clear, self.new])
        more = widgets.HBox([self.fill, self.restart])
        left = widgets.VBox([self.pad, buttons, self.typed, more])
        right = widgets.VBox([self.which, self.says, *self.rows.values(), self.map])
        super().__init__([left, right], layout={"flex_flow": "row wrap"})
        self.add_class("course-drawing")
        self.update()

    def __repr__(self) -> str:
        return "Drawing needs a running kernel; a still picture of it stands beside."

    def _listen(self) -> None:
        self.pad.observe(lambda _: self.update(), "strokes")
        self.which.observe(lambda _: self.update(), "value")
        self.typed.observe(self._read, "value")
        self.undo.on_click(lambda _: self._put(self.pad.strokes[:-1]))
        self.clear.on_click(lambda _: self._put([]))
        self.new.on_click(lambda _: self.learn(self._free()))
        self.fill.on_click(lambda _: self._load(*stored()))
        self.restart.on_click(lambda _: self._load({}, []))
        for row in self.rows.values():
            row.learn.on_click(lambda _, name=row.name: self.learn(name))
            row.forget.on_click(lambda _, name=row.name: self.forget(name))

    # --- what the reader does --------------------------------------------------------------------

    def learn(self, name: str) -> None:
        """Keep the drawing as an example of `name`, and clear the pad."""
        if not self.pad.strokes:
            self.says.value = "First draw something on the pad."
        elif name and len(self.examples.get(name, ())) < MOST_EXAMPLES:
            kept = [*self.examples.get(name, ()), character(self.pad.strokes)]
            together = self.examples | {name: kept}
            self.examples = {n: together[n] for n in self.rows if n in together}  # A before B
            self._put([])

    def forget(self, name: str) -> None:
        """Forget the last example of `name`, and with the only one the symbol."""
        self.examples[name].pop()
        self.examples = {n: kept for n, kept in self.examples.items() if kept}
        self.update()

    def _load(self, drawings: Mapping[str, Sequence[Strokes]], query: Strokes) -> None:
        self.examples = as_examples(drawings)
        self._put(query)

    def _free(self) -> str:
        """The first letter that names no symbol yet; none is left after the last."""
        return next((name for name in self.rows if name not in self.examples), "")

    def _put(self, strokes: Strokes) -> None:
        """Have these strokes on the pad, and everything up to date."""
        if strokes == self.pad.strokes:
            self.update()
        else:
            self.pad.strokes = strokes

    def _read(self, change) -> None:
        if change["new"] == written(self.pad.strokes):
            return  # it only follows the pad
        try:
            self._put(parse(change["new"]))
        except ValueError as error:
            self.says.value = f"The strokes could not be read: {error}."

    # --- what the reader sees --------------------------------------------------------------------

    def update(self) -> None:
        """Have the learner adapt and predict anew, and show what came of it."""
        learner = self.learners[self.which.value]
        query = character(self.pad.strokes) if self.pad.strokes else None
        self.typed.value = written(self.pad.strokes)
        self.new.disabled = not self._free()
        self.found, trouble = {}, ""
        try:
            if query is not None and self.examples:
                self.found = probabilities(learner, self.examples, query)
            draw_map(self.ax, learner, self.examples, query, self.found)
        except Exception as error:  # a learner's trouble is told, and drawing goes on
            trouble = f"{html.escape(self.which.value)}: {html.escape(str(error))}"
        for name, row in self.rows.items():
            row.show(self.examples.get(name, ()), self.found.get(name))
        self.says.value = trouble or self._advice()
        self.figure.canvas.draw()
        self.map.value = png(np.asarray(self.figure.canvas.buffer_rgba()))

    def _advice(self) -> str:
        if not self.examples:
            return "Draw a symbol that nobody has seen, then press <b>It is a new symbol</b>."
        if len(self.examples) == 1:
            return "Draw a second symbol, so that there is something to choose from."
        if not self.found:
            return "Draw one of your symbols again, and watch."
        best = max(self.found, key=self.found.get)
        return f"It reads <b>{best}</b>. If that is wrong, tell it what it was."
