"""You against RL² and the optimum: the same arms for all, scored with and without luck."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import anywidget
import ipywidgets as widgets
import matplotlib.pyplot as plt
import torch
import traitlets
from matplotlib.figure import Figure

from course_utils import checkpoints, plots
from course_utils.learners import MetaLearner
from course_utils.learners.audit import audit
from course_utils.learners.planning import BayesOptimalBandit
from course_utils.tasks.bandits import Bandits

HERE = Path(__file__).parent
COLORS = (plots.BLUE, plots.ORANGE, plots.GREEN, plots.PINK, plots.GREY)  # of arms A, B, ...


class Played(NamedTuple):
    """One player's round, pull by pull."""

    arms: list[int]
    paid: list[int]
    cost: list[float]  # of each choice beside the best one, in coins


def game(
    players: Mapping[str, MetaLearner] | None = None, rounds: int = 20, seed: int = 1
) -> "Arms":
    """The game against `players`, by their names, on seeded bandits."""
    return Arms(Match(players, rounds, seed))


def picture(
    players: Mapping[str, MetaLearner] | None = None, number: int = 0, seed: int = 1
) -> Figure:
    """Round `number` of the game as the players play it: which arms they pull, and what is paid."""
    match = Match(players, number + 1, seed)
    rows = {name: rounds[number] for name, rounds in match.played.items()}
    p = match.environments.p[number].tolist()
    figure, (left, ax) = plt.subplots(
        1, 2, figsize=(8, 0.9 + 0.55 * len(rows)), width_ratios=(1, 3), layout="constrained",
        facecolor="white",
    )  # fmt: skip
    plt.close(figure)  # ours to show, not pyplot's
    left.bar([letter(a) for a in range(len(p))], p, color=COLORS)
    left.set(ylim=(0, 1), ylabel="pays with\nprobability", xlabel="arm")
    left.spines[["top", "right"]].set_visible(False)
    for y, played in enumerate(rows.values()):
        for x, (arm, paid) in enumerate(zip(played.arms, played.paid, strict=True), 1):
            look = {
                "facecolor": COLORS[arm] if paid else "white",
                "edgecolor": COLORS[arm],
                "lw": 2,
            }
            ax.text(
                x, y, letter(arm), ha="center", va="center", color="white" if paid else "black",
                bbox={"boxstyle": "circle", **look}, fontsize=9,
            )  # fmt: skip
        ax.text(match.pulls + 0.8, y, f"{sum(played.paid)} paid", va="center", fontsize=9)
    ax.set(xlim=(0.4, match.pulls + 1.9), ylim=(len(rows) - 0.5, -0.5), xlabel="pull")
    ax.set(xticks=range(1, match.pulls + 1), yticks=range(len(rows)))
    ax.set_yticklabels(rows)
    ax.spines[["top", "right", "left"]].set_visible(False)
    return figure


@lru_cache(maxsize=1)
def optimum() -> BayesOptimalBandit:
    """The best player of five arms and ten pulls."""
    return BayesOptimalBandit(Bandits(5, 10))


def letter(arm: int) -> str:
    return "ABCDEFGHIJ"[arm]


# --- the match -----------------------------------------------------------------------------------


class Match:
    """Rounds that the reader plays arm by arm, and all others have played beforehand.

    The j-th pull of an arm pays the same to everybody. `mine` holds the arms pulled in each round.
    """

    def __init__(self, players: Mapping[str, MetaLearner] | None, rounds: int, seed: int):
        if players is None:
            players = {"RL²": checkpoints.load("rl2_bandit10"), "optimum": optimum()}
        self.pulls, self.rounds = optimum().task_set.pulls, rounds
        generator = torch.Generator().manual_seed(seed)
        self.environments = optimum().task_set.sample(rounds, generator)
        self.played = {
            name: [
                Played(a.tolist(), paid.int().tolist(), cost.tolist())
                for a, paid, cost in zip(*audit(x, optimum(), self.environments)[1:], strict=True)
            ]
            for name, x in players.items()
        }
        self.mine: list[list[int]] = [[] for _ in range(rounds)]

    def pull(self, number: int, arm: int) -> bool:
        """Pull an arm in round `number`: whether it pays.

        Raises ValueError for an arm that is not there, and after the last pull.
        """
        arms = self.environments.arms
        if arm not in range(arms):
            raise ValueError(f"there are arms 0 to {arms - 1}, got {arm}")
        if len(self.mine[number]) == self.pulls:
            raise ValueError(f"all {self.pulls} pulls of this round are made")
        self.mine[number].append(arm)
        return bool(self.my(number).paid[-1])

    def my(self, number: int) -> Played:
        """What the reader did so far in round `number`."""
        pays, belief = self.environments.pays[number], torch.zeros(1, self.environments.arms, 2)
        paid, cost = [], []
        for arm in self.mine[number]:
            q = optimum().values(belief)[0]
            cost.append((q.max() - q[arm]).item())
            paid.append(int(pays[arm, int(belief[0, arm].sum())]))
            belief[0, arm, 1 - paid[-1]] += 1
        return Played(list(self.mine[number]), paid, cost)

    def finished(self) -> list[int]:
        """The rounds that the reader has played to the end."""
        return [i for i, arms in enumerate(self.mine) if len(arms) == self.pulls]

    def scores(self) -> dict[str, tuple[int, float]]:
        """Over the finished rounds, the coins of each player and what its choices cost a round."""
        done = self.finished()
        everybody = {"you": [self.my(i) for i in done]}
        everybody |= {name: [rounds[i] for i in done] for name, rounds in self.played.items()}
        return {
            name: (sum(sum(r.paid) for r in rounds), sum(sum(r.cost) for r in rounds) / len(done))
            for name, rounds in everybody.items()
            if done
        }


def verdict(played: Played) -> str:
    """What the reader's costliest choice was, in a sentence."""
    cost = max(played.cost)
    if cost < 0.005:
        return "Every choice of yours was as good as the best."
    turn = played.cost.index(cost)
    arm, before = played.arms[turn], played.arms[:turn]
    times = before.count(arm)
    paid = sum(played.paid[i] for i in range(turn) if before[i] == arm)
    record = f"which had paid {paid} of {times} times" if times else "untouched till then"
    return (
        f"Your costliest choice was pull {turn + 1}: arm {letter(arm)}, {record}. From there on it"
        f" was worth {cost:.2f} coins less than the best choice."
    )


def token(arm: int, paid: int) -> str:
    """One pull as a table cell: the arm's letter, filled where it paid."""
    ground, ink = (COLORS[arm], "#fff") if paid else ("#fff", "#000")
    look = f"border-color:{COLORS[arm]};background:{ground};color:{ink}"
    said = f"{letter(arm)} {'paid' if paid else 'did not pay'}"
    name = letter(arm)
    return f'<td><span class="course-arms-pull" style="{look}" title="{said}">{name}</span></td>'


# --- the widget ----------------------------------------------------------------------------------


class Board(anywidget.AnyWidget):
    """The arms as buttons, each with its record and a note beneath, and the button Next."""

    _esm = HERE / "arms.js"
    _css = HERE / "arms.css"
    records = traitlets.List().tag(sync=True)  # of each arm: a string of ● (paid) and ○
    notes = traitlets.List().tag(sync=True)  # of each arm
    colors = traitlets.List(list(COLORS)).tag(sync=True)
    asked = traitlets.List().tag(sync=True)  # arms pulled in this round; a click adds one
    answered = traitlets.Int(0).tag(sync=True)  # how many of them have been answered
    limit = traitlets.Int(10).tag(sync=True)
    number = traitlets.Int(0).tag(sync=True)  # which round; Next adds one
    last = traitlets.Bool(False).tag(sync=True)


class Arms(widgets.VBox):
    """The game: the reader's pulls, the others' pulls afterwards, and the score of all."""

    def __init__(self, match: Match):
        self.match, self.asking = match, False  # True while the program, not the reader, moves
        self.says, self.retold, self.scores = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self.board = Board(limit=match.pulls)
        self.again = widgets.Button(description="Start again")
        self.board.observe(self._asked, "asked")
        self.board.observe(self._next, "number")
        self.again.on_click(lambda _: self.restart())
        super().__init__([self.says, self.board, self.retold, self.scores, self.again])
        self.add_class("course-arms-game")
        self.show(0)

    def __repr__(self) -> str:
        return "The game needs a running kernel; a still picture of a round stands beside."

    def restart(self) -> None:
        """Forget all pulls and begin with the first round."""
        self.match.mine = [[] for _ in self.match.mine]
        self.show(0)

    def show(self, number: int, said: str = "") -> None:
        """Round `number` as it stands."""
        my, arms = self.match.my(number), self.match.environments.arms
        over = len(my.arms) == self.match.pulls
        records = ["".join("○●"[q] for b, q in zip(my.arms, my.paid, strict=True) if b == a)
                   for a in range(arms)]  # fmt: skip
        self.asking = True
        with self.board.hold_sync():
            self.board.number, self.board.last = number, number == self.match.rounds - 1
            self.board.records = records
            self.board.notes = self._truth(number) if over else [""] * arms
            self.board.asked, self.board.answered = my.arms, len(my.arms)
        self.asking = False
        where = f"<b>Round {number + 1} of {self.match.rounds}, "
        left = self.match.pulls - len(my.arms)
        where += f"{'last pull' if left == 1 else f'{left} pulls left'}.</b> "
        if over:
            coins = {"you": sum(my.paid)}
            coins |= {n: sum(r[number].paid) for n, r in self.match.played.items()}
            where = f"<b>Round {number + 1} is over</b>: "
            where += ", ".join(f"{name} {n} coins" for name, n in coins.items())
            where += f". {verdict(my)}"
        self.says.value = where + ("" if over else said)
        self.retold.value = self._retold(number, my) if over else ""
        self.scores.value = self.table()

    def _asked(self, change) -> None:
        number, done = self.board.number, len(self.match.mine[self.board.number])
        if self.asking or len(change["new"]) != done + 1 or done == self.match.pulls:
            return
        arm = change["new"][-1]
        paid = self.match.pull(number, arm)
        self.show(number, f"Arm {letter(arm)} {'pays a coin' if paid else 'pays nothing'}.")

    def _next(self, change) -> None:
        if self.asking:
            return
        before = change["old"]
        finished = len(self.match.mine[before]) == self.match.pulls
        self.show(min(before + 1, self.match.rounds - 1) if finished else before)

    # --- what is seen ----------------------------------------------------------------------------

    def _truth(self, number: int) -> list[str]:
        return [f"pays {100 * p:.0f} %" for p in self.match.environments.p[number].tolist()]

    def _retold(self, number: int, my: Played) -> str:
        """All players' pulls as rows of letters, filled where the arm paid."""
        rows = ""
        everybody = {"you": my} | {n: r[number] for n, r in self.match.played.items()}
        for name, played in everybody.items():
            cells = "".join(map(token, played.arms, played.paid))
            rows += f'<tr><th scope="row" style="text-align:left">{name}</th>{cells}</tr>'
        caption = "pull by pull, filled where the arm paid"
        return f'<table><caption style="text-align:left">{caption}</caption>{rows}</table>'

    def table(self) -> str:
        """The scores of the finished rounds as an HTML table, and how to read it."""
        scores, done = self.match.scores(), len(self.match.finished())
        if not done:
            return ""
        rows = ""
        for name, (coins, cost) in scores.items():
            rows += f'<tr><th scope="row" style="text-align:left">{name}</th>'
            for kind, value in (("score", coins), ("cost", f"{cost:.2f}")):
                rows += f'<td class="course-{kind}" data-player="{name}">{value}</td>'
            rows += "</tr>"
        heads = "<th></th>" + "".join(
            f'<th style="padding:0 1em">{head}</th>'
            for head in ("coins", "lost by choices, a round")
        )
        caption = f"after {done} round{'s' if done > 1 else ''}"
        return (
            f'<table><caption style="text-align:left">{caption}</caption><tr>{heads}</tr>{rows}'
            "</table><p>Coins are choices and luck, two coins a round up or down; the last column"
            " leaves the luck out: what your choices were worth less than the best, on average over"
            " all that the arms might have paid.</p>"
        )
