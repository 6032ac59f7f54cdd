"""The explorer shows what Python computes, takes any learner, and survives extremes."""

import copy
import re

import numpy as np
import pytest
import torch

from course_utils import checkpoints, plots
from course_utils.learners import MAML, FromScratch, MetaLearner
from course_utils.networks import MLP
from course_utils.tasks import sinusoid
from course_utils.widgets import adaptation

X = torch.linspace(-5, 5, 201)


@pytest.fixture(scope="module")
def learners():
    return adaptation.default_learners()


@pytest.fixture
def explorer(learners):
    return adaptation.Explorer(learners)


def shown(explorer):
    """The table's cells: label -> text."""
    labels = re.findall(r"</span> (.*?)</th>", explorer.errors.value)
    return dict(zip(labels, re.findall(r"<td[^>]*>(.*?)</td>", explorer.errors.value), strict=True))


def test_the_error_shown_is_the_error_of_adapt_and_predict(explorer):
    explorer.amplitude.value, explorer.phase.value = 2.0, 0.5
    explorer.rate.value, explorer.step.value = 0.02, 3
    maml = checkpoints.load("maml_sinusoid")
    maml.inner_lr = explorer.rate.value
    points = torch.tensor(explorer.board.points).view(1, -1, 2)
    predict = maml.adapt(points[..., :1], points[..., 1:], steps=3)
    error = (predict(X.view(1, -1, 1)).flatten() - sinusoid(X, 2.0, 0.5)).pow(2).mean().item()
    assert shown(explorer)["MAML"] == f"{error:.3f}"
    assert "to the true curve, after 3 steps" in explorer.errors.value


def test_points_of_ones_own_are_kept_and_judged_on_themselves(explorer):
    explorer.board.points = [[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]]
    assert "on your points" in explorer.errors.value
    assert explorer.typed.value == "0.00 1.00; 1.00 1.00; 2.00 1.00"
    before = shown(explorer)
    explorer.step.value = 10
    assert explorer.board.points == [[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]]
    assert float(shown(explorer)["MAML"]) < float(before["MAML"])
    explorer.amplitude.value = 1.0  # back to a sine
    assert "to the true curve" in explorer.errors.value and len(explorer.board.points) == 5


def test_points_can_be_typed(explorer):
    explorer.typed.value = "-2 1; 0 3.5; 2 -1"
    assert explorer.board.points == [[-2.0, 1.0], [0.0, 3.5], [2.0, -1.0]]
    explorer.typed.value = "-2 1; zero 3"
    assert "pairs of numbers" in explorer.errors.value
    assert len(explorer.board.points) == 3


def test_buttons(explorer):
    first = explorer.board.points
    explorer.again.click()
    assert explorer.board.points != first and len(explorer.board.points) == 5
    explorer.clear.click()
    assert explorer.board.points == []
    assert set(shown(explorer).values()) == {"no points"}


@pytest.mark.parametrize("setting", [
    {"shots": 0}, {"shots": 40, "noise": 2.0}, {"amplitude": 0.0},
    {"amplitude": 10.0, "rate": 10.0}, {"rate": 1e-4}, {"shots": 1, "noise": 0.0},
    {"phase": 6.2, "noise": 0.1},
])  # fmt: skip
def test_extreme_values_never_break_it(explorer, setting):
    for name, value in setting.items():
        getattr(explorer, name).value = value
    for explorer.step.value in (0, 10):
        assert len(shown(explorer)) == 4
        assert explorer.board.image.startswith(b"\x89PNG")
    if setting.get("rate") == 10.0:
        assert shown(explorer)["MAML"] == "diverged"


def test_far_points_and_more_points_than_fit(explorer):
    explorer.board.points = [[0.0, 1e4], [1.0, -1e4]]
    assert explorer.board.limits[3] > 1e4
    explorer.board.points = [[0.1 * i, 0.0] for i in range(60)]
    assert len(explorer.board.points) == adaptation.MOST_POINTS


def test_the_callers_learners_stay_as_they_are(learners):
    before = copy.deepcopy(learners["MAML"].state_dict())
    rate = learners["MAML"].inner_lr
    explorer = adaptation.explorer(learners)
    explorer.rate.value, explorer.step.value = 1.0, 10
    assert learners["MAML"].inner_lr == rate
    for name, value in learners["MAML"].state_dict().items():
        assert torch.equal(value, before[name])


class Mean(MetaLearner):
    """The smallest learner: predicts the mean of what it saw."""

    def adapt(self, support_x, support_y):
        mean = support_y.mean(1, keepdim=True)
        return lambda x: mean.expand(-1, x.shape[1], -1)


class Broken(MetaLearner):
    def adapt(self, support_x, support_y):
        raise RuntimeError("no <idea>")


def test_any_learner_that_adapts_and_predicts_will_do():
    explorer = adaptation.explorer({"mean": Mean(), "broken": Broken(), "new": MAML(MLP(1, 8, 1))})
    cells = shown(explorer)
    y = np.array(explorer.board.points)[:, 1]
    truth = sinusoid(X, 3.0, 1.0).numpy()
    assert cells["mean"] == f"{((truth - y.mean()) ** 2).mean():.3f}"
    assert cells["broken"] == "RuntimeError: no &lt;idea&gt;"
    assert float(cells["new"]) > 0


def test_the_static_twin_is_the_same_picture(learners):
    explorer = adaptation.Explorer(learners)
    explorer.step.value = 5
    figure = adaptation.picture(learners, step=5)
    twin = figure.axes[0].get_lines()
    for mine, theirs in zip(explorer.view.main.get_lines(), twin, strict=True):
        np.testing.assert_allclose(mine.get_ydata(), theirs.get_ydata(), rtol=1e-6)
    assert figure.axes[0].get_xlabel() == "x" and figure.axes[1].get_xlabel() == "gradient steps"


def test_each_learner_looks_the_same_everywhere():
    assert plots.style(FromScratch(MLP(1, 1)))["color"] == plots.style("FromScratch")["color"]
    looks = {name: str(look) for name, look in plots.STYLES.items() if name != "FromScratchAdam"}
    assert len(set(looks.values())) == len(looks)  # FromScratchAdam is from scratch as well
