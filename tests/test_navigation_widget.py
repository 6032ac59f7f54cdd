"""The navigation explorer shows what the learners do, and takes goals in the arena only."""

import re

import numpy as np
import pytest
import torch

from course_utils.learners import ContextPolicy, JointPolicy, MAMLPolicy
from course_utils.learners.policy_gradient import act
from course_utils.networks import MLP
from course_utils.tasks.navigation import NavigationEnvironments, best_return
from course_utils.widgets import navigation


@pytest.fixture(scope="module")
def learners():
    torch.manual_seed(0)
    return {
        "one": MAMLPolicy(MLP(2, 8, 2)),
        "two": ContextPolicy(MLP(7, 8, 2), inner_lr=5.0),
        "three": JointPolicy(MLP(2, 8, 2)),
    }


@pytest.fixture
def explorer(learners):
    return navigation.explorer(learners)


def shown(explorer):
    """Step, return and best possible return, as read by the reader."""
    found = re.search(r"after (\d) steps?: (-[\d.]+); .*?: (-[\d.]+);", explorer.words.value)
    return [float(n) for n in found.groups()]


def test_what_is_shown_is_what_adapting_gives(explorer, learners):
    explorer.step.value = 2
    goal = torch.tensor([[0.3, 0.35]])
    arenas = NavigationEnvironments(goal, 20)
    torch.manual_seed(0)
    with torch.no_grad():
        path = learners["one"].trajectory(arenas, 3)
        episodes = [act(policy, arenas) for policy in path]
    earned = episodes[2].reward.sum(1).mean().item()
    assert shown(explorer) == pytest.approx([2, earned, best_return(goal).item()], abs=0.006)
    line = explorer.view.now.get_xydata()
    first = line[: np.flatnonzero(np.isnan(line[:, 0]))[0]]  # the first robot's path
    np.testing.assert_allclose(first, episodes[2].observation[0, : len(first), 0], atol=1e-6)
    assert explorer.view.here.get_ydata() == pytest.approx([-earned], rel=1e-5)


def test_the_grey_paths_are_what_it_learned_from(explorer):
    assert len(explorer.view.before.get_xydata()) == 0
    explorer.step.value = 1
    np.testing.assert_array_equal(explorer.view.before.get_xydata(), explorer.film.paths[0])


def test_the_goal_is_dragged_typed_and_kept_inside(explorer):
    first = shown(explorer)
    explorer.board.points = [[-0.2, 0.1]]
    assert explorer.typed.value == "-0.20 0.10" and shown(explorer) != first
    explorer.board.points = [[0.7, -9.0]]
    assert explorer.board.points == [[0.5, -0.5]]
    explorer.typed.value = "0.25 -0.4"
    assert explorer.board.points == [[0.25, -0.4]]


@pytest.mark.parametrize(
    "typed", ["0.6 0", "0 -0.51", "inf 0", "nan nan", "0.1", "a b", "1 2 3", ""]
)
def test_a_goal_outside_the_arena_is_refused_in_words(explorer, typed):
    explorer.typed.value = typed
    assert "Type two numbers" in explorer.words.value
    assert explorer.board.points == [[0.3, 0.35]]
    outside = typed in ("0.6 0", "0 -0.51", "inf 0", "nan nan")
    assert ("A goal lies between -0.5 and 0.5" in explorer.words.value) is outside


def test_learner_and_dice_can_be_changed(explorer):
    explorer.step.value = 3
    seen = [shown(explorer)]
    explorer.learner.value = "two"
    seen.append(shown(explorer))
    explorer.again.click()
    seen.append(shown(explorer))
    assert len({tuple(s) for s in seen}) == 3 and {s[0] for s in seen} == {3}
    assert explorer.board.image.startswith(b"\x89PNG")


@pytest.mark.parametrize("goal", [(0.0, 0.0), (0.5, 0.5), (-0.5, 0.005)])
def test_extreme_goals_never_break_it(learners, goal):
    explorer = navigation.explorer(learners, goal=goal, step=3)
    assert "return after 3 steps" in explorer.words.value
    assert np.isfinite(explorer.view.costs.get_ydata()).all()


def test_the_dice_of_others_are_left_alone(learners):
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    navigation.Film(learners["one"], (0.1, 0.1))
    assert torch.equal(torch.rand(2), expected)


def test_the_static_twin_is_the_same_picture(learners):
    explorer = navigation.explorer(learners, learner="three", step=2)
    figure = navigation.picture(learners, learner="three", step=2)
    for mine, theirs in zip((explorer.view.main, explorer.view.side), figure.axes, strict=True):
        for a, b in zip(mine.get_lines(), theirs.get_lines(), strict=False):
            np.testing.assert_allclose(a.get_xydata(), b.get_xydata(), rtol=1e-6)
    assert len(figure.axes[0].get_lines()) == len(explorer.view.main.get_lines()) + 1  # the goal
    assert figure.axes[0].get_xlabel() == "x" and figure.axes[1].get_xlabel() == "gradient steps"
    with pytest.raises(ValueError, match="A goal lies between"):
        navigation.picture(learners, goal=(0.6, 0.0))
