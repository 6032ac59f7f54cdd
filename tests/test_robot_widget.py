"""The robot explorer shows what Python computes; what a robot did is forgotten with its body."""

import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F

pytest.importorskip("mujoco", reason="gymnasium[mujoco] is not installed: run `uv sync`")
pytest.importorskip("gymnasium", reason="gymnasium[mujoco] is not installed: run `uv sync`")

from course_utils.learners import MAML, FineTune, Recurrent
from course_utils.learners.control import ModelPredictiveControl
from course_utils.learners.robots import ToldGains
from course_utils.networks import MLP
from course_utils.tasks import robots as bodies
from course_utils.tasks.robots import RobotEnvironments, examples, walk, wander
from course_utils.widgets import robot

GAINS = torch.tensor([robot.GAINS])


@pytest.fixture(scope="module")
def learners():
    torch.manual_seed(0)
    told = ToldGains(FineTune(MLP(23, 8, 17), inner_steps=0), torch.ones(1, 6))
    return {
        "one": MAML(MLP(23, 8, 17), 0.1, 3),
        "two": Recurrent(23, 17, 8, 8),
        "told": told,
    }


@pytest.fixture(autouse=True)
def short_walks(monkeypatch):
    monkeypatch.setattr(robot, "STEPS", 12)


@pytest.fixture
def explorer(learners):
    return robot.explorer(learners)


def shown(explorer) -> dict:
    """The table: learner -> its error, its walks."""
    rows = re.findall(r"row'>(.*?)</th><td>(.*?)</td><td>(.*?)</td>", explorer.words.value)
    return {name: (error, walks) for name, error, walks in rows}


def collected(steps: int, seed: int):
    with RobotEnvironments(GAINS, steps, seed) as one:
        return examples(walk(wander(torch.Generator().manual_seed(seed)), one))


def test_the_error_shown_is_that_of_adapt_and_predict(explorer, learners):
    explorer.more.click()
    explorer.more.click()
    x, y = collected(32, 0)
    asked_x, asked_y = collected(64, 1)
    with torch.no_grad():
        for name in ("one", "two"):
            error = F.mse_loss(learners[name].adapt(x, y)(asked_x), asked_y).item()
            assert shown(explorer)[name] == (f"{error:.3f}", "–")
        told = learners["told"].learner.adapt(x[:, :0], y[:, :0])
        asked_x[..., 17:] *= GAINS
        assert shown(explorer)["told"][0] == f"{F.mse_loss(told(asked_x), asked_y).item():.3f}"
    lines = {line.get_label(): line for line in explorer.view.error.get_lines()}
    assert lines["one"].get_xdata().tolist() == [0, 16, 32]
    assert "32 of 128 steps" in explorer.words.value


def test_the_way_shown_is_that_of_planning_with_the_steps_collected(explorer, learners):
    explorer.more.click()
    explorer.learner.value = "two"
    explorer.walking.click()
    x, y = collected(16, 0)
    torch.manual_seed(0)
    with RobotEnvironments(GAINS, 12, 2) as one:
        record = walk(ModelPredictiveControl(learners["two"]).policy(x, y), one)
    way = record.way.sum().item()
    assert explorer.trial.metres("two") == pytest.approx({16: way}, abs=1e-6)
    assert shown(explorer)["two"][1].endswith(" m after 16")
    assert explorer.view.way.get_lines()[0].get_xydata() == pytest.approx(np.array([[16, way]]))
    assert explorer.view.track.get_title("left").startswith("two, 16 steps collected: ")
    assert explorer.progress.value == 12 and not explorer.walking.disabled


def test_walks_are_kept_until_the_body_changes(explorer):
    for _ in range(2):
        explorer.walking.click()
        explorer.more.click()
    assert shown(explorer)["one"][1].count(" m after ") == 2
    before = explorer.trial
    explorer.gains[2].value = -1
    assert explorer.shots == 0 and shown(explorer)["one"][1] == "–"
    assert explorer.trial is not before and explorer.trial.gains[0, 2] == -1
    assert "not walked yet" in explorer.view.track.get_title("left")


def test_intact_damaged_and_anew(explorer):
    explorer.intact.click()
    assert [s.value for s in explorer.gains] == [1] * 6 and (explorer.trial.gains == 1).all()
    explorer.damage.click()
    first = [s.value for s in explorer.gains]
    explorer.damage.click()
    assert first != [s.value for s in explorer.gains] and max(map(abs, first)) <= 1
    explorer.more.click()
    before = explorer.trial
    explorer.anew.click()
    assert explorer.shots == 0 and torch.equal(explorer.trial.gains, before.gains)
    assert not torch.equal(explorer.trial.support[0], before.support[0])


def test_no_more_than_there_is(explorer):
    for _ in range(8):
        assert not explorer.more.disabled
        explorer.more.click()
    assert explorer.shots == robot.MOST and explorer.more.disabled
    explorer.walking.click()
    assert explorer.more.disabled
    explorer.anew.click()
    assert not explorer.more.disabled


def test_everything_rests_while_a_robot_walks_and_wakes_even_if_it_falls(explorer, monkeypatch):
    seen = []

    def attempt(label, shots, tell):
        controls = [*explorer.gains, explorer.walking, explorer.more, explorer.learner]
        seen.extend(c.disabled for c in controls)
        seen.append("thinks and walks" in explorer.words.value)
        raise FloatingPointError

    monkeypatch.setattr(explorer.trial, "attempt", attempt)
    with pytest.raises(FloatingPointError):
        explorer._walk(None)
    assert len(seen) == 10 and all(seen)
    assert not (explorer.walking.disabled or explorer.gains[0].disabled)
    assert "0 of 128" in explorer.words.value


def test_a_model_that_diverges_is_said_to(learners):
    wild = {"wild": MAML(MLP(23, 8, 17), 1e4, 5)}
    explorer = robot.explorer(wild, shots=16)
    assert shown(explorer)["wild"][0] == "diverged"
    explorer.walking.click()
    assert " m after 16" in shown(explorer)["wild"][1]
    assert bytes(explorer.image.value).startswith(b"\x89PNG")


def test_simulations_are_closed(learners, monkeypatch):
    made, closed = [], []

    class Counted(RobotEnvironments):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            made.append(self)

        def close(self):
            super().close()
            closed.append(self)

    monkeypatch.setattr(robot, "RobotEnvironments", Counted)
    robot.explorer(learners).walking.click()
    assert len(made) == 3 and made == closed


def test_the_dice_of_others_are_left_alone(learners):
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    robot.Trial(learners, robot.GAINS).attempt("one", 16)
    assert torch.equal(torch.rand(2), expected)


def test_the_static_twin_is_the_same_picture(learners):
    explorer = robot.explorer(learners, learner="two")
    explorer.walking.click()
    for _ in range(3):
        explorer.more.click()
    explorer.walking.click()
    figure = robot.picture(learners, shots=48, learner="two")
    mine = (explorer.view.error, explorer.view.way, explorer.view.track)
    for ours, theirs in zip(mine, figure.axes, strict=True):
        assert ours.get_xlabel() == theirs.get_xlabel() != ""
        for a, b in zip(ours.get_lines(), theirs.get_lines(), strict=True):
            np.testing.assert_allclose(a.get_xydata(), b.get_xydata(), rtol=1e-6)
        for a, b in zip(ours.collections, theirs.collections, strict=True):
            np.testing.assert_allclose(a.get_paths()[0].vertices, b.get_paths()[0].vertices)
    assert [line.get_label() for line in figure.axes[0].get_lines()][:3] == [*learners]


@pytest.mark.parametrize("gains", [(1.0,) * 5, (1.0,) * 5 + (1.2,), (float("nan"),) * 6])
def test_gains_out_of_range_are_refused_in_words(learners, gains):
    with pytest.raises(ValueError, match="gains must have shape"):
        robot.picture(learners, gains=gains)
    with pytest.raises(ValueError, match="gains must have shape"):
        robot.explorer(learners, gains=gains)


@pytest.mark.parametrize("shots", [-16, 144, 0.5])
def test_more_steps_than_there_are_are_refused_in_words(learners, shots):
    with pytest.raises(ValueError, match="whole number from 0 to 128"):
        robot.picture(learners, shots=shots)


def test_without_the_simulation_it_says_so_in_a_line(learners, monkeypatch):
    def missing():
        raise ImportError("a simulated robot needs MuJoCo: run `uv sync`")

    monkeypatch.setattr(bodies, "make_body", missing)
    assert robot.explorer(learners).value == "a simulated robot needs MuJoCo: run `uv sync`"
    figure = robot.picture(learners)
    assert [text.get_text() for text in figure.texts] == [robot.explorer(learners).value]
