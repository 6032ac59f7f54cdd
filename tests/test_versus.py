"""The game against the model: fair rounds, right scores, honest remarks."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from course_utils.learners import MetaLearner, ProtoNet
from course_utils.tasks.base import Tasks, TaskSet
from course_utils.widgets import versus

PIXELS = ProtoNet(nn.Flatten())


class Squares(TaskSet):
    """Class c of a task is a picture of one grey; the labels are in disorder."""

    def __init__(self, ways: int):
        self.ways = ways

    def sample(self, num_tasks, generator=None):
        grey = torch.rand(num_tasks, 1, generator=generator) * 0.1
        order = torch.stack([torch.randperm(self.ways, generator=generator) for _ in grey])
        flat = order.view(num_tasks, -1, 1, 1, 1).expand(-1, -1, 1, 28, 28) / self.ways
        queries = torch.arange(self.ways).expand(num_tasks, -1)
        asked = queries.view(num_tasks, -1, 1, 1, 1).expand(-1, -1, 1, 28, 28) / self.ways
        shade = grey.view(-1, 1, 1, 1, 1)
        return Tasks(flat + shade, order, asked + shade, queries)


class Last(MetaLearner):
    """Always says the last class."""

    def adapt(self, support_x, support_y):
        ways = int(support_y.max()) + 1
        return lambda x: (torch.arange(ways) == ways - 1).float().expand(*x.shape[:2], -1)


@pytest.fixture
def game():
    sets = {"5-way": Squares(5), "20-way": Squares(20)}
    return versus.versus({"good": PIXELS, "last": Last()}, sets, rounds=4)


def choose(game, number: int) -> None:
    game.board.chosen = number


def onward(game) -> None:
    game.board.number += 1


def test_the_right_option_is_the_same_character_whatever_the_order_of_labels():
    for dealt in versus.deal(Squares(6), {"good": PIXELS, "last": Last()}, 8, seed=1):
        assert torch.equal(dealt.options[dealt.right], dealt.asked)
        assert dealt.answers["good"] == dealt.right
        assert dealt.options[dealt.answers["last"]].max() == dealt.options.max()


def test_the_same_seed_deals_the_same_and_every_class_is_asked_for():
    one, two = (versus.deal(versus.scripts()["5-way"], {"p": PIXELS}, 12, seed=3) for _ in range(2))
    assert all(
        torch.equal(a.options, b.options) and a.right == b.right
        for a, b in zip(one, two, strict=True)
    )
    assert len({dealt.right for dealt in one}) > 2
    assert all(not torch.equal(d.options[d.right], d.asked) for d in one)  # drawn by another hand


def test_scores_of_both_sides(game):
    rounds = game.dealt["5-way"]
    choose(game, rounds[0].right)
    assert "Right." in game.says.value and game.board.notes[rounds[0].right] == [
        "you, good" + (", last" if rounds[0].answers["last"] == rounds[0].right else ""),
        "right",
    ]
    onward(game)
    wrong = (rounds[1].right + 1) % 5
    choose(game, wrong)
    assert "another character" in game.says.value and game.board.notes[wrong][1] == "wrong"
    results = game.results("5-way")
    assert results["you"] == [True, False] and results["good"] == [True, True]
    assert results["last"] == [d.answers["last"] == d.right for d in rounds[:2]]
    assert game.results("20-way") == {"you": [], "good": [], "last": []}
    table = game.table()
    assert versus.share([True, False]) in table and versus.share([True, True]) in table


def test_a_choice_stands_and_next_waits_for_it(game):
    onward(game)  # without a choice
    assert game.board.number == 0 and "Round 1" in game.says.value
    right = game.dealt["5-way"][0].right
    choose(game, (right + 1) % 5)
    choose(game, right)
    assert game.results("5-way")["you"] == [False]
    onward(game)
    assert game.board.number == 1 and game.board.chosen == -1
    assert game.board.notes == [["", ""]] * 5


def test_each_kind_goes_on_where_it_was_left(game):
    choose(game, 2)
    onward(game)
    game.which.value = "20-way"
    assert game.board.number == 0 and len(game.board.options) == 20 and game.board.columns == 7
    choose(game, 11)
    game.which.value = "5-way"
    assert game.board.number == 1 and len(game.board.options) == 5
    assert game.chosen == {"5-way": [2], "20-way": [11]}


def test_the_game_ends_and_starts_again(game):
    for dealt in game.dealt["5-way"]:
        choose(game, dealt.right)
        onward(game)
    assert game.results("5-way")["you"] == [True] * 4 and game.board.last
    game.which.value = "20-way"
    game.which.value = "5-way"  # the last round is shown, answered
    assert game.board.chosen == game.dealt["5-way"][3].right and game.board.number == 3
    choose(game, -1)
    assert len(game.chosen["5-way"]) == 4
    game.again.click()
    assert game.chosen == {"5-way": [], "20-way": []} and game.board.number == 0
    assert game.board.chosen == -1 and "–" in game.table()


@pytest.mark.parametrize(("right", "played"), [(0, 5), (3, 8), (20, 20)])
def test_the_interval_is_wilsons(right, played):
    z, p = stats.norm.ppf(0.975), right / played
    middle = (p + z**2 / (2 * played)) / (1 + z**2 / played)
    half = z / (1 + z**2 / played) * np.sqrt(p * (1 - p) / played + z**2 / (4 * played**2))
    low, high = 100 * max(0, middle - half), 100 * min(1, middle + half)
    answers = [True] * right + [False] * (played - right)
    assert versus.share(answers) == f"{right} of {played} [{low:.0f}, {high:.0f}] %"
    assert versus.share([]) == "–"


def test_a_winner_is_named_only_where_the_rounds_say_so():
    few = versus.remark([True, False, True], [True, True, False], "it")
    assert "differ in 2 of 3 rounds, 1 of them in your favour" in few and "no winner yet" in few
    many = versus.remark([True] * 9 + [False], [False] * 9 + [False], "it")
    assert "p = 0.004" in many and "no winner" not in many  # 2 · 0.5⁹
    assert "nothing tells you apart" in versus.remark([True, False], [True, False], "it")
    assert versus.remark([], [], "it") == ""


def test_the_picture_shows_a_round_and_its_answers():
    sets = {"5-way": Squares(5)}
    learners = {"good": PIXELS, "last": Last()}
    figure = versus.picture(learners, sets["5-way"], number=0)
    again = versus.deal(sets["5-way"], learners, 1, seed=7)[0]
    assert len(figure.axes) == 6
    np.testing.assert_allclose(figure.axes[0].images[0].get_array(), again.asked[0])
    assert f"right: {again.right + 1}" in figure.texts[0].get_text()
    assert f"last: {again.answers['last'] + 1}" in figure.texts[0].get_text()
