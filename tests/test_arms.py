"""The game of arms: the same coins for all, costs that are the optimum's, a board that obeys."""

import pytest
import torch

from course_utils.learners.bandits import Greedy, RandomArm
from course_utils.tasks.environments import play
from course_utils.widgets import arms


@pytest.fixture
def match():
    return arms.Match({"greedy": Greedy(), "optimum": arms.optimum()}, rounds=3, seed=2)


@pytest.fixture
def game(match):
    return arms.Arms(match)


def click(game, arm: int) -> None:
    game.board.asked = [*game.board.asked, arm]


def onward(game) -> None:
    game.board.number += 1


def test_whoever_pulls_the_same_arms_gets_the_same_coins(match):
    for number in range(3):
        theirs = match.played["greedy"][number]
        paid = [match.pull(number, arm) for arm in theirs.arms]
        assert paid == theirs.paid and match.my(number).paid == theirs.paid
        assert match.my(number).cost == pytest.approx(theirs.cost, abs=1e-6)
    scores = match.scores()
    assert scores["you"] == pytest.approx(scores["greedy"]) and scores["optimum"][1] == 0
    returns = play(Greedy().adapt(match.environments), match.environments)
    assert scores["greedy"][0] == returns.sum()


def test_a_choice_costs_what_the_optimum_says(match):
    """The puzzle of chapter 02: after one of two, the same arm again costs 5.18 − 4.99."""
    for number in range(3):
        match.pull(number, 0)
        match.pull(number, 0)
        if sum(match.my(number).paid) == 1:
            match.pull(number, 0)
            assert match.my(number).cost[2] == pytest.approx(0.185, abs=0.001)
            return
    raise AssertionError("no round of this seed shows the puzzle: choose another")


def test_impossible_pulls_are_refused(match):
    with pytest.raises(ValueError, match="there are arms 0 to 4, got 5"):
        match.pull(0, 5)
    for _ in range(10):
        match.pull(0, 1)
    with pytest.raises(ValueError, match="all 10 pulls of this round are made"):
        match.pull(0, 1)
    assert match.finished() == [0]


def test_the_board_shows_what_was_pulled_and_paid(game):
    pays = game.match.environments.pays[0]
    click(game, 3)
    click(game, 3)
    click(game, 1)
    expected = [""] * 5
    expected[3] = "".join("○●"[int(pays[3, i])] for i in range(2))
    expected[1] = "○●"[int(pays[1, 0])]
    assert game.board.records == expected and game.board.answered == 3
    assert "7 pulls left" in game.says.value
    assert ("Arm B pays a coin" in game.says.value) == bool(pays[1, 0])
    assert game.board.notes == [""] * 5 and game.scores.value == ""  # nothing given away


def test_a_round_ends_with_the_truth_and_the_scores(game):
    onward(game)  # too soon
    assert game.board.number == 0
    for _ in range(10):
        click(game, 2)
    assert "Round 1 is over" in game.says.value and "costliest choice" in game.says.value
    truth = game.match.environments.p[0, 2].item()
    assert game.board.notes[2] == f"pays {100 * truth:.0f} %"
    assert game.retold.value.count("course-arms-pull") == 30
    click(game, 2)  # one too many
    assert len(game.match.mine[0]) == 10
    coins, cost = game.match.scores()["you"]
    assert f'data-player="you">{coins}</td>' in game.scores.value
    assert f'data-player="you">{cost:.2f}</td>' in game.scores.value
    onward(game)
    assert game.board.number == 1 and game.board.asked == [] and "10 pulls left" in game.says.value
    assert "after 1 round<" in game.scores.value  # kept


def test_it_starts_again(game):
    for _ in range(10):
        click(game, 0)
    onward(game)
    click(game, 4)
    game.again.click()
    assert game.match.mine == [[], [], []] and game.board.number == 0
    assert game.board.records == [""] * 5 and game.scores.value == ""


def test_the_last_round_is_the_last(game):
    for number in range(3):
        for _ in range(10):
            click(game, 0)
        assert game.board.last == (number == 2)
        onward(game)
    assert game.board.number == 2 and "Round 3 is over" in game.says.value


def test_the_verdict_names_the_costliest_choice():
    played = arms.Played([0, 0, 1, 0], [1, 0, 0, 1], [0.0, 0.0, 0.1, 0.3])
    said = arms.verdict(played)
    assert "pull 4: arm A, which had paid 1 of 2 times" in said and "0.30 coins" in said
    assert "arm B, untouched" in arms.verdict(played._replace(cost=[0.0, 0.0, 0.1, 0.0]))
    assert "as good as the best" in arms.verdict(played._replace(cost=[0.0] * 4))


def test_the_picture_shows_what_the_players_did():
    players = {"greedy": Greedy(), "random": RandomArm()}
    figure = arms.picture(players, number=1, seed=2)
    match = arms.Match(players, 2, 2)
    bars, ax = figure.axes
    heights = torch.tensor([patch.get_height() for patch in bars.patches])
    assert torch.allclose(heights.float(), match.environments.p[1])
    letters = [text.get_text() for text in ax.texts]
    expected = []
    for rounds in match.played.values():
        expected += [arms.letter(arm) for arm in rounds[1].arms] + [f"{sum(rounds[1].paid)} paid"]
    assert letters == expected
