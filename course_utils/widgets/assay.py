"""You choose which molecules to measure, a model ranks the rest anew after every result."""

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path

import anywidget
import ipywidgets as widgets
import matplotlib.pyplot as plt
import numpy as np
import torch
import traitlets
from IPython.display import HTML
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course_utils import checkpoints, plots
from course_utils.learners import MetaLearner
from course_utils.tasks import chemistry
from course_utils.tasks.molecules import library, targets_of

HERE = Path(__file__).parent
POOL, ACTIVES = 32, 8  # molecules that can be measured, and how many of them are active
ASSAYS = 12  # how many measurements there is money for
FOLD = 4  # the fold whose learner plays: it has seen none of these targets, and no relative


class Campaign:
    """A search for active molecules: a pool, two molecules known beforehand, a learner that ranks.

    `tested` holds the places in the pool that were measured, in order. The pool is drawn by `seed`
    from a target named `target`, which must be a test target of the learner.
    """

    def __init__(self, learner: MetaLearner, target: str = "coagulation factor Xa", seed: int = 3):
        found = {t.name: t for t in library().targets}
        if target not in found:
            raise ValueError(f"there is no target {target!r}; there are {', '.join(found)}")
        this, random = found[target], np.random.default_rng(seed)
        yes, no = (random.permutation(this.molecules[this.active == label]) for label in (1, 0))
        self.learner, self.target = learner, target
        self.known = np.array([yes[0], no[0]])
        self.pool = random.permutation(
            np.concatenate([yes[1 : 1 + ACTIVES], no[1 : 1 + POOL - ACTIVES]])
        )
        self.active = np.isin(self.pool, yes)  # (POOL,) the truth, unseen until measured
        self.x = library().features(self.pool)
        self.known_x = library().features(self.known)
        self.tested: list[int] = []

    def measure(self, place: int) -> bool:
        """Measure the molecule at `place` of the pool: whether it is active.

        Raises ValueError for a place that does not exist, was measured, or has no money left.
        """
        if place not in range(POOL):
            raise ValueError(f"the pool has places 0 to {POOL - 1}, got {place}")
        if place in self.tested:
            raise ValueError(f"the molecule at place {place} is already measured")
        if len(self.tested) == ASSAYS:
            raise ValueError(f"all {ASSAYS} measurements are spent")
        self.tested.append(place)
        return bool(self.active[place])

    def scores(self) -> np.ndarray:
        """How active the learner holds each molecule of the pool to be: (POOL,), larger is more."""
        x = torch.cat([self.known_x, self.x[self.tested]])
        y = torch.tensor([1, 0, *map(int, self.active[self.tested])])
        with torch.no_grad():
            logits = self.learner.adapt(x[None], y[None])(self.x[None])[0]
        return (logits[:, 1] - logits[:, 0]).numpy()

    def ranks(self) -> list[int]:
        """The rank of each molecule that is not yet measured, 1 the best; 0 for those that are."""
        ranks, scores = [0] * POOL, self.scores()
        rest = [i for i in np.argsort(-scores, kind="stable").tolist() if i not in self.tested]
        for rank, place in enumerate(rest, 1):
            ranks[place] = rank
        return ranks

    def hits(self) -> list[int]:
        """Active molecules found after 0, 1, 2, ... measurements."""
        return [0, *np.cumsum(self.active[self.tested]).tolist()]

    def run(self, assays: int = ASSAYS) -> "Campaign":
        """Measure what the learner ranks first, again and again."""
        while len(self.tested) < assays:
            self.measure(self.ranks().index(1))
        return self


def chance() -> list[float]:
    """Active molecules that random choice finds on average after 0, 1, 2, ... measurements."""
    return [k * ACTIVES / POOL for k in range(ASSAYS + 1)]


def player() -> MetaLearner:
    """The shipped Gaussian process that has seen no target of FOLD's test."""
    return checkpoints.load(f"gp_molecules_{FOLD}")


def targets() -> list[str]:
    """The names of the targets that the player has not seen."""
    return [library().targets[i].name for i in targets_of("test", FOLD)]


# --- what is seen --------------------------------------------------------------------------------


def draw_hits(ax: Axes, yours: Sequence[int], model: Sequence[int]) -> None:
    """Hits over measurements: the reader's so far, the model's, and chance."""
    ax.plot(chance(), color=plots.GREY, linestyle=":", label="chance, on average")
    ax.plot(model, color=plots.BLUE, marker="o", markersize=4, label="the model's choice")
    if len(yours) > 1:
        ax.plot(yours, color=plots.RED, linestyle="--", marker="s", markersize=4, label="yours")
    ax.set(xlim=(-0.3, ASSAYS + 0.3), ylim=(-0.2, ACTIVES + 0.4))
    ax.legend(loc="upper left", fontsize=8)


def picture(campaign: Campaign) -> Figure:
    """The hits of a campaign that the model played, beside chance."""
    ax = plots.axes("molecules measured", f"active ones found, of {ACTIVES}", 6, 3)
    draw_hits(ax, [], campaign.hits())
    plt.close(ax.figure)  # ours to show, not pyplot's
    return ax.figure


def gallery(smiles: Sequence[str], captions: Sequence[str], alt: str = "molecule") -> HTML:
    """Molecules drawn side by side, a caption under each."""
    cells = "".join(
        "<figure style='display:inline-block;margin:4px;text-align:center;background:white;"
        "color:black;border:1px solid #ccc'>"
        f"<img alt='{html.escape(alt, True)}: {html.escape(s, True)}' src='{address(s)}'>"
        f"<figcaption style='font-size:12px'>{html.escape(c)}</figcaption></figure>"
        for s, c in zip(smiles, captions, strict=True)
    )
    return HTML(f"<div>{cells}</div>")


def strip(campaign: Campaign) -> HTML:
    """The molecules of a campaign in the order in which they were measured."""
    found = campaign.active[campaign.tested]
    names = [f"{i}: {'active' if a else 'inactive'}" for i, a in enumerate(found, 1)]
    return gallery([library().smiles[m] for m in campaign.pool[campaign.tested]], names)


def address(smiles: str) -> str:
    """A drawing as an address that an <img> shows."""
    return "data:image/svg+xml;base64," + base64.b64encode(chemistry.draw(smiles).encode()).decode()


class Bench(anywidget.AnyWidget):
    """The pool as a grid of buttons; `tested` grows with each press, `ranks` and `notes` answer."""

    _esm = HERE / "assay.js"
    _css = HERE / "assay.css"
    pictures = traitlets.List().tag(sync=True)
    tested = traitlets.List().tag(sync=True)
    ranks = traitlets.List().tag(sync=True)
    notes = traitlets.List().tag(sync=True)  # "active", "inactive", or "" where not measured
    spent = traitlets.Bool(False).tag(sync=True)


class Assay(widgets.VBox):
    """Twelve measurements in a pool of 32 molecules: the reader's hits beside the model's."""

    def __init__(self, learner: MetaLearner | None = None, target: str = "coagulation factor Xa"):
        self.learner = learner or player()
        self.seed = 3
        self.choose = widgets.Dropdown(options=targets(), value=target, description="protein")
        self.again = widgets.Button(description="Start again")
        self.other = widgets.Button(description="Other molecules")
        self.bench = Bench()
        self.says = widgets.HTML()
        self.image = widgets.Image(format="png", layout={"width": "600px", "max_width": "100%"})
        self.choose.observe(lambda _: self.deal(), "value")
        self.again.on_click(lambda _: self.deal())
        self.other.on_click(lambda _: self.deal(self.seed + 1))
        self.bench.observe(self.follow, "tested")
        self.deal()
        top = widgets.HBox([self.choose, self.again, self.other])
        super().__init__([top, self.says, self.bench, self.image], _dom_classes=["assay"])

    def __repr__(self) -> str:
        return "The assay needs a kernel: run this cell to choose molecules yourself."

    def deal(self, seed: int | None = None) -> None:
        """Lay out a pool, with nothing measured yet."""
        self.seed = self.seed if seed is None else seed
        self.yours = Campaign(self.learner, self.choose.value, self.seed)
        self.model = Campaign(self.learner, self.choose.value, self.seed).run()
        self.bench.tested = []
        self.bench.pictures = [address(library().smiles[m]) for m in self.yours.pool]
        self.show()

    def follow(self, change: dict) -> None:
        """Measure what was chosen in the browser."""
        for place in change["new"]:
            if place not in self.yours.tested and len(self.yours.tested) < ASSAYS:
                self.yours.measure(place)
        self.show()

    def show(self) -> None:
        """Tell the browser the results so far, the new ranking and the hits."""
        yours, done = self.yours, len(self.yours.tested)
        said = {i: "active" if yours.active[i] else "inactive" for i in yours.tested}
        self.bench.notes = [said.get(i, "") for i in range(POOL)]
        self.bench.ranks = yours.ranks()
        self.bench.spent = done == ASSAYS
        self.says.value = (
            f"<b>{ASSAYS - done} of {ASSAYS} measurements left.</b> You found {yours.hits()[-1]}"
            f" active molecules; after as many, the model had {self.model.hits()[done]} and chance"
            f" {chance()[done]:.1f}. {ACTIVES} of the {POOL} are active. The number on a molecule"
            " is its rank by the model, given what you measured."
        )
        ax = plots.axes("molecules measured", f"active ones found, of {ACTIVES}", 6, 3)
        draw_hits(ax, yours.hits(), self.model.hits()[: done + 1])
        self.image.value = as_png(ax.figure)
        self.image.alt = self.says.value


def as_png(figure: Figure) -> bytes:
    """A figure as PNG, closed."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    plt.close(figure)
    return buffer.getvalue()
