"""The layer widget shows what Python computes, for every setting of its sliders."""

import pytest
import torch

from course_utils import checkpoints
from course_utils.interpret import freeze
from course_utils.tasks import sinusoid
from course_utils.widgets import layers
from course_utils.widgets.adaptation import draw_points
from course_utils.widgets.curves import GRID


@pytest.fixture
def explorer():
    return layers.explorer()


def error_of(learner, steps: int, amplitude=4.0, phase=2.5, shots=10) -> str:
    points = torch.tensor(draw_points(amplitude, phase, shots, 0.0, 0)).view(1, -1, 2)
    predict = learner.adapt(points[..., :1], points[..., 1:], steps=steps)
    truth = sinusoid(GRID, amplitude, phase)
    return f"{(predict(GRID.view(1, -1, 1)).flatten() - truth).pow(2).mean().item():.3f} after"


def test_all_sliders_up_is_maml(explorer):
    assert error_of(checkpoints.load("maml_sinusoid"), 5) in explorer.errors.value


def test_a_slider_at_nought_holds_its_layer_still(explorer):
    explorer.shares[0].value = 0
    held = freeze(checkpoints.load("maml_sinusoid"), ["0"])
    assert error_of(held, 5) in explorer.errors.value
    assert explorer.view.changes[0] == 0 < explorer.view.changes[1]


def test_buttons_set_all_layers(explorer):
    explorer.presets[1].click()
    assert [slider.value for slider in explorer.shares] == [0, 0, 1]
    held = freeze(checkpoints.load("maml_sinusoid"), ["0", "2"])
    assert error_of(held, 5) in explorer.errors.value
    explorer.presets[0].click()
    assert [slider.value for slider in explorer.shares] == [1, 1, 1]


def test_a_share_is_a_share_of_the_rate(explorer):
    for slider in explorer.shares:
        slider.value = 0.5
    maml = checkpoints.load("maml_sinusoid")
    maml.inner_lr /= 2
    assert error_of(maml, 5) in explorer.errors.value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("amplitude", 0),
        ("amplitude", 10),
        ("phase", 6.2),
        ("steps", 0),
        ("steps", 10),
        ("shots", 1),
    ],
)
def test_extremes(explorer, name, value):
    before = explorer.image.value
    explorer.setting[name].value = value
    assert explorer.image.value != before and bytes(explorer.image.value[:4]) == b"\x89PNG"
    if name == "steps":
        assert error_of(checkpoints.load("maml_sinusoid"), value) in explorer.errors.value


def test_the_still_picture_is_of_the_same_numbers():
    figure = layers.picture((0.0, 0.0, 1.0))
    assert len(figure.axes) == 2 and figure.axes[1].patches[0].get_width() == 0
    assert "running kernel" in repr(layers.explorer())


def test_as_many_shares_as_layers():
    with pytest.raises(ValueError, match="3 layers need as many shares, got 2"):
        layers.ByLayer(checkpoints.load("maml_sinusoid"), (1.0, 0.0))
