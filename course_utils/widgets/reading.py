"""Paste a few sentences of any language; a model reads them and goes on writing in their manner."""

import copy
import html
from collections.abc import Sequence

import ipywidgets as widgets
import torch
from IPython.display import HTML
from torch import Tensor

from course_utils import checkpoints
from course_utils.learners.gradient import GradientBased
from course_utils.learners.language import write
from course_utils.losses import IGNORE
from course_utils.tasks.languages import (
    LETTERS,
    START,
    bits_per_character,
    decode,
    encode,
    find,
    plain,
)

STEPS = 10  # the most that are taken
FOREIGN = 0.2  # share of unknown symbols above which a text is refused


def readable(text: str) -> list[str]:
    """The lines of a text that have something in them, each a sentence; ValueError if unusable."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) < 2:
        raise ValueError("write two sentences or more, each on a line of its own")
    symbols = plain("".join(lines))
    share = sum(s not in LETTERS for s in symbols) / len(symbols)
    if share > FOREIGN:
        raise ValueError(
            f"the model knows the Latin script only, and {share:.0%} of these symbols are unknown"
            " to it"
        )
    return lines


def some(iso: str) -> list[str]:
    """Every fifth of a language's longer sentences, from the first article on."""
    return [s for s in find(iso).sentences if len(s) > 40][8::5]


def trajectory(learner: GradientBased, sentences: Sequence[str], steps: int = STEPS) -> list:
    """The predictors after 0 .. `steps` gradient steps on these sentences."""
    x, y = (side.unsqueeze(0) for side in encode(sentences))  # (1, S, L)
    with torch.no_grad():
        return learner.trajectory(x, y, steps)


def continuation(predict, beginning: str, length: int = 80, seed: int = 0) -> str:
    """`length` symbols that go on from `beginning`, drawn from the predictor."""
    x = torch.tensor([START]) if not beginning else _with_start(beginning)
    return decode(write(predict, x, length, torch.Generator().manual_seed(seed)))


def _with_start(text: str) -> Tensor:
    _, y = encode([text], len(plain(text)))
    return torch.cat([torch.tensor([START]), y[0].where(y[0] != IGNORE, 1)])


def score(predict, sentences: Sequence[str]) -> float:
    """Bits per character of sentences that were not read."""
    x, y = (side.unsqueeze(0) for side in encode(sentences))
    with torch.no_grad():
        return bits_per_character(predict(x), y).item()


def table(rows: Sequence[tuple[int, float, str]], beginning: str) -> str:
    """HTML: after how many steps, at how many bits per character, the model writes what."""
    head = "<th>steps</th><th>bits per character</th><th style='text-align:left'>it writes</th>"
    body = "".join(
        f"<tr><th scope='row'>{step}</th><td style='text-align:center'>{bits:.2f}</td>"
        f"<td style='text-align:left'><b>{html.escape(beginning)}</b>{html.escape(text)}</td></tr>"
        for step, bits, text in rows
    )
    return f"<table class='reading'><tr>{head}</tr>{body}</table>"


def rows(path: list, judged: Sequence[str], beginning: str, steps: Sequence[int]) -> list[tuple]:
    """What `table` shows, for the predictors of `trajectory`."""
    return [(s, score(path[s], judged), continuation(path[s], beginning)) for s in steps]


def picture(
    learner: GradientBased,
    iso: str = "eus",
    shots: int = 5,
    steps: Sequence[int] = (0, 1, 2, 5, 10),
) -> HTML:
    """The table for `some` sentences of a language: `shots` are read, the others judge."""
    sentences = some(iso)
    path = trajectory(learner, sentences[:shots], max(steps))
    found = rows(path, sentences[shots:], "", steps)
    return HTML(table(found, ""))


class Reader(widgets.VBox):
    """Reads all lines but the last, which judges, and shows what is written after each step.

    `found` holds what is shown: (steps, bits per character of the last line, what was written).
    """

    def __init__(self, learner: GradientBased | None = None, iso: str = "eus"):
        learner = checkpoints.load("fomaml_languages") if learner is None else learner
        self.learner = copy.copy(learner)  # its rate will be changed
        self.chosen_rate = learner.inner_lr
        sentences = some(iso)[:6]
        wide = {"width": "95%"}
        self.text = widgets.Textarea(
            "\n".join(sentences), description="Sentences", rows=8, layout=wide
        )
        self.beginning = widgets.Text("", description="Begin with", layout=wide)
        self.rate = widgets.FloatSlider(
            value=1,
            min=0.2,
            max=3,
            step=0.2,
            description="rate α ×",
            readout_format=".1f",
        )
        self.button = widgets.Button(description="Read and write", button_style="primary")
        self.shown = widgets.HTML()
        self.button.on_click(lambda _: self.read())
        self.read()
        row = widgets.HBox([self.rate, self.button])
        super().__init__(
            [self.text, self.beginning, row, self.shown], _dom_classes=["course-reader"]
        )

    def __repr__(self) -> str:
        return "The reader needs a kernel: run this cell to use it. The table shows one language."

    def read(self) -> None:
        """Adapt to the text as it stands and show the table, or what is wrong with the text."""
        try:
            *read, judge = readable(self.text.value)
        except ValueError as error:
            sentence = str(error)
            sentence = html.escape(sentence[0].upper() + sentence[1:])
            self.shown.value = f"<p role='alert'>{sentence}.</p>"
            return
        self.learner.inner_lr = self.chosen_rate * self.rate.value
        path = trajectory(self.learner, read)
        beginning = self.beginning.value
        self.found = rows(path, [judge], beginning, (0, 1, 2, 5, STEPS))
        known = f"{len(read)} sentence{'s' if len(read) > 1 else ''} read"
        shown = table(self.found, beginning)
        self.shown.value = f"<p>{known}; bits are of the last line.</p>{shown}"
