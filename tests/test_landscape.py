"""The landscape shows what the course's learners do, and its questions are answered rightly."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from course_utils.learners import FOMAML, MAML, FineTune, Reptile
from course_utils.tasks import Tasks
from course_utils.widgets import landscape
from course_utils.widgets.landscape import BOWLS, GRID, LEARNERS, START, Scene

CLASSES = {"FineTune": FineTune, "MAML": MAML, "FOMAML": FOMAML, "Reptile": Reptile}
A, B = START[:2]
CORNER = (B[0], A[1])  # wrong for both tasks, but only in their steep directions


@pytest.fixture
def widget():
    return landscape.landscape()


def learner_at(scene, name):
    """The course's own class on a linear regression with the scene's losses, and its tasks."""
    x = scene.hessians.sqrt()  # (2, 2, 2): xᵀx = H, as the bowls lie along the axes
    y = x @ scene.optima.unsqueeze(-1)
    network = nn.Linear(2, 1, bias=False, dtype=torch.float64)
    network.weight.data = scene.theta.view(1, 2).clone()
    return CLASSES[name](network, scene.rate, scene.steps), Tasks(x, y, x, y)


SCENES = [
    Scene([(-1.0, 0.5), (2.0, -2.5), (0.3, 1.7)], bowls, rate, steps)
    for bowls in BOWLS
    for rate, steps in ((0.4, 1), (0.15, 4), (0.6, 1))
]


@pytest.mark.parametrize("name", LEARNERS)
@pytest.mark.parametrize("scene", SCENES)
def test_arrows_are_the_gradients_of_the_courses_learners(scene, name):
    learner, tasks = learner_at(scene, name)
    learner(tasks).mean().backward()
    torch.testing.assert_close(scene.push(name), -learner.network.weight.grad.flatten())


@pytest.mark.parametrize("scene", SCENES)
def test_adapted_points_and_losses_are_those_of_maml(scene):
    learner, tasks = learner_at(scene, "MAML")
    adapted = learner.adapt(tasks.support_x, tasks.support_y).parameters["weight"].squeeze(1)
    for task in (0, 1):
        torch.testing.assert_close(scene.path(task)[-1], adapted[task])
    before = FineTune.forward(learner, tasks).mean().item()
    assert scene.losses() == pytest.approx((before, learner(tasks).mean().item()))


@pytest.mark.parametrize("scene", SCENES)
def test_contours_are_the_meta_objective(scene):
    values = {name: scene.objective(name) for name in LEARNERS}
    for row, column in ((3, 7), (40, 0), (20, 33)):
        there = Scene(
            [*scene.optima.tolist(), (GRID[column], GRID[row])], "equal and round", 0.1, 1
        )
        there.hessians, there.rate, there.steps = scene.hessians, scene.rate, scene.steps
        assert (values["FineTune"][row, column], values["MAML"][row, column]) == pytest.approx(
            there.losses()
        )


@pytest.mark.parametrize("name", LEARNERS)
@pytest.mark.parametrize("scene", SCENES)
def test_an_optimum_is_where_the_push_ends_and_walks_lead(scene, name):
    optimum = scene.optimum(name)
    slopes = np.gradient(scene.objective(name), GRID, GRID)
    if optimum is None:  # then, along some direction, the way down leads to the edge
        curved = [np.gradient(s, GRID, axis=i)[5:-5, 5:-5].min() for i, s in enumerate(slopes)]
        assert name == "FOMAML" and min(curved) < 0
        return
    torch.testing.assert_close(
        scene.push(name, optimum), torch.zeros(2).double(), atol=1e-9, rtol=0
    )
    for _ in range(60):
        scene.theta = scene.walked(name)
    torch.testing.assert_close(scene.theta, optimum.clamp(-3, 3), atol=0.02, rtol=0)


ANSWERS = {  # question -> a setting that answers it
    "MAML, not joint": {"points": (A, B, CORNER), "rate": 0.5},
    "one step": {"points": (A, B, CORNER), "rate": 0.5},
    "runs away": {"rate": 0.6},
    "all agree": {"bowls": "equal and round"},
}


def test_no_question_is_answered_at_the_start(widget):
    assert widget.scene.answers() == set() and "✓" not in widget.words.value
    assert widget.words.value.count("○") == len(ANSWERS) == len(landscape.QUESTIONS)


@pytest.mark.parametrize("question", ANSWERS)
def test_each_question_has_an_answer_that_stays_found(question):
    widget = landscape.landscape(**ANSWERS[question])
    text, why = landscape.QUESTIONS[question]
    assert question in widget.found and f"✓ {text}" in widget.words.value
    assert why in widget.words.value
    widget.board.points = [list(p) for p in START]
    widget.bowls.value, widget.rate.value = "crossed valleys", 0.4
    assert f"✓ {text}" in widget.words.value and question not in widget.scene.answers()


@pytest.mark.parametrize(("question", "setting"), [
    ("MAML, not joint", {"bowls": "equal and round"}),  # optimal for all
    ("MAML, not joint", {"points": (A, B, (A[0], B[1])), "rate": 0.5}),  # optimal for joint only
    ("one step", {"points": (A, B, CORNER), "rate": 0.5, "steps": 2}),  # two steps
    ("one step", {"points": (A, A, A), "rate": 0.5}),  # nothing to be learned
    ("runs away", {"rate": 0.6, "steps": 2}),  # an even number of steps turns back
    ("all agree", {"points": (A, A, B)}),  # one task
])  # fmt: skip
def test_what_is_no_answer_is_not_taken_for_one(question, setting):
    assert question not in landscape.landscape(**setting).found


def test_points_are_dragged_typed_and_never_lost(widget):
    widget.board.points = [list(A), list(B), [0.5, -2.0]]
    assert widget.typed.value == "-1.60 -1.20; 1.60 1.20; 0.50 -2.00"
    before, after = widget.scene.losses()
    assert f"mean loss at θ: {before:.2f}; after 1 step: {after:.2f}" in widget.words.value
    widget.typed.value = "0 0; 1 1; 9 -2"
    assert widget.board.points == [[0, 0], [1, 1], [3, -2]]  # cut off at the edge
    widget.typed.value = "0 0; 1 1"
    assert "three pairs of numbers" in widget.words.value and len(widget.board.points) == 3
    widget.board.points = [[0.0, 0.0]]
    assert widget.board.points == [[0, 0], [1, 1], [3, -2]]


def test_a_walk_ends_where_its_learner_calls_it_optimal(widget):
    for learner, button in widget.walks.items():
        for _ in range(15):
            button.click()
        assert widget.scene.at(learner) and "calls this θ optimal" in widget.words.value
    assert "MAML, not joint" in widget.found


def test_first_order_runs_away_past_the_overshoot(widget):
    widget.rate.value = 0.6
    for _ in range(15):
        widget.walks["FOMAML"].click()
    assert max(map(abs, widget.board.points[2])) == landscape.REACH
    assert "has no optimum" in widget.words.value


@pytest.mark.parametrize("bowls", BOWLS)
@pytest.mark.parametrize(("rate", "steps"), [(0.05, 1), (0.9, 5), (0.5, 1)])
def test_extreme_values_never_break_it(widget, bowls, rate, steps):
    widget.bowls.value, widget.rate.value, widget.steps.value = bowls, rate, steps
    widget.typed.value = "3 3; 3 3; -3 -3"
    assert widget.board.image.startswith(b"\x89PNG") and "nan" not in widget.words.value


def test_what_moves_is_redrawn_over_the_rest_as_a_whole_drawing_would_be(widget):
    widget.board.points = [list(A), list(B), [0.7, 0.4]]
    quick = np.asarray(Image.open(io.BytesIO(widget.board.image))).astype(int)
    for artist in widget.view.moving:
        artist.set_animated(False)
    widget.view.figure.canvas.draw()
    whole = np.asarray(widget.view.figure.canvas.buffer_rgba())[..., :3].astype(int)
    assert (np.abs(quick - whole).max(-1) > 40).mean() < 0.005


def test_the_static_twin_is_the_same_picture(widget):
    points = [list(A), list(B), [1.0, 0.5]]
    widget.board.points = points
    widget.rate.value, widget.steps.value = 0.2, 3
    figure = landscape.picture(points, rate=0.2, steps=3)
    mine, twin = (f.axes[0].get_lines() for f in (widget.view.figure, figure))
    assert len(twin) == len(mine) + 3  # A, B and θ, which the board shows
    for ours, theirs in zip(mine, twin, strict=False):
        np.testing.assert_allclose(ours.get_xydata(), theirs.get_xydata())
    for ours, theirs in zip(widget.view.figure.axes[1:], figure.axes[1:], strict=True):
        np.testing.assert_allclose(ours.lines[0].get_xydata(), theirs.lines[0].get_xydata())
        assert ours.get_title() == theirs.get_title()
