"""You against the model: which of these is it? Few-shot tasks by click, scored for both sides."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import anywidget
import ipywidgets as widgets
import matplotlib.pyplot as plt
import torch
import traitlets
from matplotlib.figure import Figure
from scipy.stats import binomtest
from torch import Tensor

from course_utils import checkpoints
from course_utils.learners import MetaLearner, ProtoNet
from course_utils.tasks import TaskSet
from course_utils.tasks.characters import Characters
from course_utils.widgets.pad import data_uri

HERE = Path(__file__).parent


class Round(NamedTuple):
    """One drawing, what to choose from, and which of these is right."""

    asked: Tensor  # (1, 28, 28)
    options: Tensor  # (ways, 1, 28, 28), one example of each character
    right: int
    answers: dict[str, int]  # what each learner chose


def versus(
    learners: Mapping[str, MetaLearner] | None = None,
    task_sets: Mapping[str, TaskSet] | None = None,
    rounds: int = 20,
    seed: int = 7,
) -> "Versus":
    """The game; `learners` and one-shot `task_sets` by their labels."""
    return Versus(learners or opponents(), task_sets or scripts(), rounds, seed)


def picture(
    learners: Mapping[str, MetaLearner] | None = None,
    task_set: TaskSet | None = None,
    number: int = 0,
    seed: int = 7,
) -> Figure:
    """Round `number` of the game as a figure, with everybody's answers beneath."""
    task_set = task_set or scripts()["20-way"]
    dealt = deal(task_set, learners or opponents(), number + 1, seed)[number]
    ways, columns = len(dealt.options), columns_for(len(dealt.options))
    rows = -(-ways // columns)
    figure = plt.figure(figsize=(2.6 + 0.9 * columns, 0.5 + 0.95 * rows), facecolor="white")
    plt.close(figure)  # ours to show, not pyplot's
    grid = figure.add_gridspec(rows, columns + 2, bottom=0.1, left=0.02, right=0.98, top=0.95)
    for i, image in enumerate((dealt.asked, *dealt.options)):
        place = grid[:, :2] if i == 0 else grid[(i - 1) // columns, 2 + (i - 1) % columns]
        ax = figure.add_subplot(place)
        ax.imshow(image[0].numpy(), cmap="gray_r", vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[])
        ax.set_xlabel("which is it?" if i == 0 else str(i), fontsize=9, labelpad=2)
    said = [f"right: {dealt.right + 1}"]
    said += [f"{name}: {answer + 1}" for name, answer in dealt.answers.items()]
    figure.text(0.5, 0.01, "   ".join(said), ha="center", fontsize=9)
    return figure


def opponents() -> dict[str, MetaLearner]:
    """Who plays: the shipped ProtoNet, and the nearest picture, pixel by pixel."""
    pixels = ProtoNet(torch.nn.Flatten())
    return {"ProtoNet": checkpoints.load("protonet_characters"), "pixels": pixels}


def scripts() -> dict[str, TaskSet]:
    """Five and twenty characters of one script that no learner was trained on."""
    return {
        f"{ways}-way": Characters("test", ways=ways, shots=1, queries=1, within_script=True)
        for ways in (5, 20)
    }


def deal(
    task_set: TaskSet, learners: Mapping[str, MetaLearner], rounds: int, seed: int
) -> list[Round]:
    """Seeded rounds, each with the learners' answers."""
    generator = torch.Generator().manual_seed(seed)
    tasks = task_set.sample(rounds, generator)
    every = torch.arange(rounds)
    one = torch.randint(tasks.query_y.shape[1], (rounds,), generator=generator)
    asked, wanted = tasks.query_x[every, one], tasks.query_y[every, one]  # (rounds, 1, 28, 28)
    with torch.no_grad():
        said = {  # (rounds,) labels
            name: x.adapt(tasks.support_x, tasks.support_y)(asked.unsqueeze(1))[:, 0].argmax(1)
            for name, x in learners.items()
        }

    def place(t: int, label: Tensor) -> int:
        """Where among the options of round t the character with this label is."""
        return (tasks.support_y[t] == label).nonzero()[0, 0].item()

    return [
        Round(
            asked[t],
            tasks.support_x[t],
            place(t, wanted[t]),
            {name: place(t, labels[t]) for name, labels in said.items()},
        )
        for t in range(rounds)
    ]


def columns_for(ways: int) -> int:
    """How many options stand side by side."""
    return ways if ways <= 5 else 7


# --- the score -----------------------------------------------------------------------------------


def share(right: Sequence[bool]) -> str:
    """How many were right, with the 95 % interval of the share (Wilson 1927): 7 of 8 [53, 98] %."""
    if not right:
        return "–"
    low, high = binomtest(sum(right), len(right)).proportion_ci(method="wilson")
    return f"{sum(right)} of {len(right)} [{100 * low:.0f}, {100 * high:.0f}] %"


def remark(yours: Sequence[bool], theirs: Sequence[bool], name: str) -> str:
    """What these rounds say of who is better: a sign test on the rounds where the two differ."""
    you = sum(a and not b for a, b in zip(yours, theirs, strict=True))
    it = sum(b and not a for a, b in zip(yours, theirs, strict=True))
    if not yours:
        return ""
    if you + it == 0:
        return f"You and {name} were right and wrong together so far: nothing tells you apart."
    chance = binomtest(you, you + it).pvalue
    where = (
        f"You and {name} differ in {you + it} of {len(yours)} rounds, {you} of them in your favour."
    )
    if chance < 0.05:
        return f"{where} Chance alone would seldom do that (p = {chance:.3f})."
    return (
        f"{where} Two equal players would differ so often enough (p = {chance:.2f}): no winner yet."
    )


# --- the widgets ---------------------------------------------------------------------------------


class Choice(anywidget.AnyWidget):
    """The drawing asked for, the options as buttons with a note each, and the button Next."""

    _esm = HERE / "versus.js"
    _css = HERE / "versus.css"
    asked = traitlets.Unicode("").tag(sync=True)  # address of a picture
    options = traitlets.List().tag(sync=True)  # addresses
    notes = traitlets.List().tag(sync=True)  # of each option: [text, "right", "wrong" or ""]
    columns = traitlets.Int(5).tag(sync=True)
    chosen = traitlets.Int(-1).tag(sync=True)  # set by a click
    number = traitlets.Int(0).tag(sync=True)  # which round; Next adds one
    last = traitlets.Bool(False).tag(sync=True)


class Versus(widgets.VBox):
    """The game: rounds of each task set, the reader's choices, and the score of all."""

    def __init__(
        self,
        learners: Mapping[str, MetaLearner],
        task_sets: Mapping[str, TaskSet],
        rounds: int,
        seed: int,
    ):
        self.learners = list(learners)
        self.dealt = {name: deal(x, learners, rounds, seed) for name, x in task_sets.items()}
        self.chosen: dict[str, list[int]] = {name: [] for name in task_sets}
        self.asking = False  # True while the program, not the reader, moves on
        self.which = widgets.ToggleButtons(options=list(task_sets))
        self.which.style.button_width = "90px"
        self.says, self.scores = widgets.HTML(), widgets.HTML()
        self.board = Choice()
        self.again = widgets.Button(description="Start again")
        self.which.observe(lambda _: self.show(), "value")
        self.board.observe(self._choose, "chosen")
        self.board.observe(self._next, "number")
        self.again.on_click(lambda _: self.restart())
        super().__init__([self.which, self.says, self.board, self.scores, self.again])
        self.add_class("course-versus-game")
        self.show()

    def __repr__(self) -> str:
        return "The game needs a running kernel; a still picture of a round stands beside."

    # --- the course of the game ------------------------------------------------------------------

    def restart(self) -> None:
        """Forget all choices."""
        self.chosen = {name: [] for name in self.chosen}
        self.show()

    def show(self) -> None:
        """Ask for the first round of this kind that was not answered, or show the last."""
        dealt, done = self.dealt[self.which.value], self.chosen[self.which.value]
        number = min(len(done), len(dealt) - 1)
        self._at(number, done[number] if number < len(done) else -1)

    def _at(self, number: int, chosen: int) -> None:
        dealt = self.dealt[self.which.value][number]
        self.asking = True
        with self.board.hold_sync():
            self.board.number, self.board.chosen = number, chosen
            self.board.last = number == len(self.dealt[self.which.value]) - 1
            self.board.columns = columns_for(len(dealt.options))
            self.board.asked = data_uri(dealt.asked[0], 3)
            self.board.notes = [["", ""]] * len(dealt.options)
            self.board.options = [data_uri(option[0], 2) for option in dealt.options]
        self.asking = False
        self._tell(number, chosen)

    def _choose(self, change) -> None:
        done = self.chosen[self.which.value]
        if not self.asking and change["new"] >= 0 and self.board.number == len(done):
            done.append(change["new"])
            self._tell(self.board.number, change["new"])

    def _next(self, change) -> None:
        if not self.asking:
            self.show()

    # --- what is seen ----------------------------------------------------------------------------

    def _tell(self, number: int, chosen: int) -> None:
        dealt = self.dealt[self.which.value][number]
        where = f"<b>Round {number + 1} of {len(self.dealt[self.which.value])}.</b> "
        if chosen < 0:
            self.says.value = (
                f"{where}Which of the drawings is the same character as the framed one?"
            )
        else:
            notes = [["", ""] for _ in dealt.options]
            for name, place in (("you", chosen), *dealt.answers.items()):
                notes[place][0] += f"{', ' if notes[place][0] else ''}{name}"
            notes[chosen][1] = "wrong"
            notes[dealt.right][1] = "right"
            self.board.notes = notes
            verdict = "Right." if chosen == dealt.right else "That was another character."
            self.says.value = f"{where}{verdict}"
        self.scores.value = self.table()

    def results(self, name: str) -> dict[str, list[bool]]:
        """For the rounds of task set `name` played so far: who was right, the reader first."""
        played = list(zip(self.dealt[name], self.chosen[name], strict=False))
        mine = {"you": [chosen == dealt.right for dealt, chosen in played]}
        theirs = {n: [d.answers[n] == d.right for d, _ in played] for n in self.learners}
        return mine | theirs

    def table(self) -> str:
        """The scores as an HTML table, and what they say of the first opponent."""
        results = {name: self.results(name) for name in self.dealt}
        heads = "".join(f'<th style="padding:0 1em">{name}</th>' for name in results)
        rows = ""
        for player in ("you", *self.learners):
            cells = "".join(
                f'<td style="padding:0 1em" class="course-score" data-player="{player}"'
                f' data-kind="{name}">{share(by[player])}</td>'
                for name, by in results.items()
            )
            rows += f'<tr><th scope="row" style="text-align:left">{player}</th>{cells}</tr>'
        now = results[self.which.value]
        said = remark(now["you"], now[self.learners[0]], self.learners[0])
        caption = "right answers, and in brackets the 95 % interval of the share"
        return (
            f'<table><caption style="text-align:left">{caption}</caption>'
            f"<tr><th></th>{heads}</tr>{rows}</table><p>{said}</p>"
        )
