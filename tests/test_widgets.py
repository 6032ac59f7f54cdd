"""The explorer shows what Python computes, takes any learner, and survives extremes."""

import copy
import io
import re

import numpy as np
import pytest
import torch
from PIL import Image

from course_utils import checkpoints, plots
from course_utils.learners import MAML, BayesOptimalSinusoid, FromScratch, MetaLearner
from course_utils.networks import MLP
from course_utils.tasks import Sinusoids, sinusoid
from course_utils.widgets import adaptation
from course_utils.widgets.curves import looks

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
    assert "to the true curve" in explorer.errors.value and len(explorer.board.points) == 3


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
        assert len(shown(explorer)) == 4 and not explorer.view.trouble
        assert explorer.board.image.startswith(b"\x89PNG")
    if setting.get("rate") == 10.0:
        assert shown(explorer)["MAML"] == "diverged"


def test_noise_and_the_number_of_shots_leave_the_readers_points_alone(explorer):
    explorer.typed.value = "-2 1; 0 0; 2 -1"
    assert explorer.shots.value == 3
    before = shown(explorer)["Bayes optimum"]
    explorer.noise.value = 1.0  # the optimum now knows that points may lie beside the curve
    assert explorer.board.points == [[-2.0, 1.0], [0.0, 0.0], [2.0, -1.0]]
    assert shown(explorer)["Bayes optimum"] != before
    explorer.shots.value = 7
    assert len(explorer.board.points) == 7 and explorer.on_sine


def test_beyond_what_was_trained_on_it_says_so(explorer):
    assert adaptation.BEYOND not in explorer.errors.value
    for name, beyond, within in (("amplitude", 8.0, 5.0), ("phase", 4.0, 3.1), ("amplitude", 0, 1)):
        getattr(explorer, name).value = beyond
        assert adaptation.BEYOND in explorer.errors.value
        getattr(explorer, name).value = within
        assert adaptation.BEYOND not in explorer.errors.value


@pytest.mark.parametrize("setting", [{"shots": -1}, {"step": 11}, {"rate": 0}, {"noise": -0.1}])
def test_what_no_slider_can_be_set_to_is_refused(learners, setting):
    (name,) = setting
    for show in (adaptation.picture, adaptation.explorer):
        with pytest.raises(ValueError, match=f"{name} must be"):
            show(learners, **setting)


def test_a_single_learner_gets_its_usual_name(learners):
    assert list(adaptation.explorer(learners["MAML"]).view.learners) == ["MAML"]


def test_beyond_all_bounds(explorer):
    explorer.typed.value = "0 1e300; 1e39 -1"
    assert explorer.board.points == [[0.0, 1e4], [1e4, -1.0]]
    explorer.clear.click()
    assert explorer.board.limits == [-5, 5, -6, 6]


def test_the_axes_stay_while_a_point_is_dragged_along_their_edge(explorer):
    explorer.amplitude.value = 10.0
    assert explorer.board.limits[3] == 12
    for y in (12.0, 11.9, 6.0, 3.0):
        explorer.board.points = [[0.0, y]]
        assert explorer.board.limits[3] == 12
    explorer.typed.value = "0 3"
    assert explorer.board.limits[3] == 6


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


class ByHand(MetaLearner):
    """A reader's own: one gradient step on a slope, with a rate that is itself learned."""

    def __init__(self):
        super().__init__()
        self.slope = torch.nn.Parameter(torch.zeros(()))
        self.inner_lr = torch.nn.Parameter(torch.tensor(0.1))

    def adapt(self, support_x, support_y):
        loss = (self.slope * support_x - support_y).pow(2).mean()
        (gradient,) = torch.autograd.grad(loss, self.slope, create_graph=True)
        slope = self.slope - self.inner_lr * gradient
        return lambda x: slope * x


class WrongShape(MetaLearner):
    def adapt(self, support_x, support_y):
        return lambda x: x[:, :3]


class TooFewSteps(Mean):
    def trajectory(self, support_x, support_y, steps):
        return [self.adapt(support_x, support_y)] * 3


def test_any_learner_that_adapts_and_predicts_will_do():
    explorer = adaptation.explorer({"mean": Mean(), "own": ByHand(), "new": MAML(MLP(1, 8, 1))})
    cells = shown(explorer)
    x, y = np.array(explorer.board.points).T
    truth = sinusoid(X, 3.0, 1.0).numpy()
    assert cells["mean"] == f"{((truth - y.mean()) ** 2).mean():.3f}"
    slope = 0.1 * 2 * (x * y).mean()
    assert cells["own"] == f"{((truth - slope * X.numpy()) ** 2).mean():.3f}"
    assert float(cells["new"]) > 0


def test_a_learner_in_trouble_says_so_in_its_row_and_the_others_go_on():
    learners = {"broken": Broken(), "shape": WrongShape(), "few": TooFewSteps(), "mean": Mean()}
    explorer = adaptation.explorer(learners)
    explorer.step.value = 10
    cells = shown(explorer)
    assert cells["broken"] == "RuntimeError: no &lt;idea&gt;"
    assert "must have shape (1, 402, 1), got (1, 3, 1)" in cells["shape"]
    assert "must give 11 predictors, got 3" in cells["few"]
    assert float(cells["mean"]) > 0


def test_the_bayes_optimum_keeps_its_own_prior_and_is_told_the_noise():
    explorer = adaptation.explorer(
        {"tall": BayesOptimalSinusoid(Sinusoids(amplitude=(8.0, 9.0)))}, noise=0.3, shots=2
    )
    told = BayesOptimalSinusoid(Sinusoids(amplitude=(8.0, 9.0), noise=0.3))
    points = torch.tensor(explorer.board.points).view(1, -1, 2)
    expected = told.adapt(points[..., :1], points[..., 1:])(X.view(1, -1, 1)).flatten()
    np.testing.assert_allclose(explorer.view.paths["tall"][0], expected, atol=1e-5)


def test_two_learners_of_one_kind_can_be_told_apart():
    kinds = {"MAML": MAML(MLP(1, 1)), "twin": MAML(MLP(1, 1)), "a": Mean(), "b": Mean()}
    found = looks(kinds)
    assert found["MAML"]["color"] == plots.BLUE
    assert len({(look["color"], str(look["linestyle"])) for look in found.values()}) == 4


def test_the_explorer_starts_where_it_is_told():
    explorer = adaptation.explorer({"mean": Mean()}, amplitude=8.0, step=10, seed=3)
    assert explorer.board.points == adaptation.draw_points(8.0, 1.0, 5, 0.0, seed=3)
    assert "after 10 steps" in explorer.errors.value


def test_what_moves_is_redrawn_over_the_rest_as_a_whole_drawing_would_be(explorer):
    explorer.amplitude.value, explorer.step.value = 4.0, 3
    quick = np.asarray(Image.open(io.BytesIO(explorer.board.image))).astype(int)
    for artist in explorer.view.moving:
        artist.set_animated(False)
    explorer.view.figure.canvas.draw()
    whole = np.asarray(explorer.view.figure.canvas.buffer_rgba())[..., :3].astype(int)
    assert (np.abs(quick - whole).max(-1) > 40).mean() < 0.002  # curves over spines and ticks


def test_the_static_twin_is_the_same_picture(learners):
    explorer = adaptation.Explorer(learners)
    explorer.step.value = 5
    figure = adaptation.picture(learners, step=5)
    for mine, theirs in zip((explorer.view.main, explorer.view.side), figure.axes, strict=True):
        twins = {line.get_label(): line for line in theirs.get_lines()}
        for line in mine.get_lines():  # all but the points, which the board shows
            np.testing.assert_allclose(
                line.get_ydata(), twins[line.get_label()].get_ydata(), rtol=1e-6
            )
    assert len(figure.axes[0].get_lines()) == len(explorer.view.main.get_lines()) + 1
    assert figure.axes[0].get_xlabel() == "x" and figure.axes[1].get_xlabel() == "gradient steps"


TOGETHER = (  # learners that meet in one picture
    "MAML FOMAML Reptile ANIL MetaSGD FineTune FromScratch NearestPoint BayesOptimalSinusoid"
    " RandomFeatures LinearProbe FrozenFeatures MultiHead InContext RidgeOnWaves",
    "LearnedOptimizer Adam SGD",
    "MAML RecomputingMAML FOMAML ANIL ImplicitMAML Reptile",
    "ProtoNet MatchingNet RelationNet NearestCentroid LinearHead pixels",
    "RandomArm UCB1 ThompsonSampling Greedy LearnedIndex BayesOptimalBandit EpsilonGreedy"
    " GittinsIndex RL2",
    "MAMLPolicy ContextPolicy JointPolicy Trilateration ToldGoal",
    "MAML FOMAML Reptile FineTune Unadapted Recurrent ToldGains Simulator",
    "TanimotoGP RidgeHead TanimotoNeighbor PriorLogistic",
    "FromScratch FineTune FOMAML Reptile NGram",
)


def test_each_learner_looks_the_same_everywhere():
    assert plots.style(FromScratch(MLP(1, 1)))["color"] == plots.style("FromScratch")["color"]


@pytest.mark.parametrize("names", TOGETHER)
def test_learners_that_meet_can_be_told_apart(names):
    looks = [str(plots.STYLES[name]) for name in names.split()]
    assert len(set(looks)) == len(looks)
