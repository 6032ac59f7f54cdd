"""The layer widget in chapter 08, worked by mouse and keyboard in a real browser."""

import pytest
import torch

from course_utils import checkpoints
from course_utils.interpret import freeze
from course_utils.tasks import sinusoid
from course_utils.widgets.adaptation import draw_points
from course_utils.widgets.curves import GRID


def expected(held: list[str], steps: int = 5) -> str:
    learner = freeze(checkpoints.load("maml_sinusoid"), held)
    points = torch.tensor(draw_points(4.0, 2.5, 10, 0.0, 0)).view(1, -1, 2)
    predict = learner.adapt(points[..., :1], points[..., 1:], steps=steps)
    difference = predict(GRID.view(1, -1, 1)).flatten() - sinusoid(GRID, 4.0, 2.5)
    return f"{difference.pow(2).mean().item():.3f} after"


@pytest.fixture
def page(open_cell):
    cell = "from course_utils.widgets import layers\nlayers.explorer()"
    return open_cell(cell, ".course-layers-errors")


def wait_for_error(page, text: str) -> None:
    page.wait_for_function(
        "t => document.querySelector('.course-layers-errors').textContent.includes(t)", arg=text
    )


def test_layers_by_mouse_and_keyboard(page, still_box, settle):
    source = page.locator(".course-layers-picture")
    wait_for_error(page, expected([]))
    first = source.get_attribute("src")

    # the mouse drags the first layer's slider to nought
    handle = page.locator(".widget-inline-hbox", has_text="layer 1 adapts").locator(".noUi-handle")
    box = still_box(handle)
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, middle)
    page.mouse.down()
    page.mouse.move(box["x"] - 400, middle, steps=8)
    page.mouse.up()
    settle(page)
    wait_for_error(page, expected(["0"]))
    assert source.get_attribute("src") != first

    # a button sets all of them
    page.get_by_role("button", name="last layer only").click()
    settle(page)
    wait_for_error(page, expected(["0", "2"]))

    # the keyboard: five steps become three
    steps = page.locator(".widget-inline-hbox", has_text="gradient steps").locator(".noUi-handle")
    for _ in range(2):
        steps.press("ArrowLeft")
    settle(page)
    wait_for_error(page, expected(["0", "2"], steps=3))
    assert page.outside == []
