"""The loss landscape, worked by mouse and keyboard in a real browser."""

import io
import re
import time

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from course_utils.widgets.landscape import REACH, START, Scene

CELL = "from course_utils.widgets import landscape\nlandscape.landscape()"


@pytest.fixture
def page(open_cell):
    return open_cell(CELL, ".course-landscape")


def handle(page, name: str):
    return page.locator(".course-board-point", has_text=name)


def place(page, name: str) -> list[float]:
    label = handle(page, name).evaluate("e => e.ariaLabel")
    return [float(v) for v in re.search(r"x (-?[\d.]+), y (-?[\d.]+)", label).groups()]


def drag(page, name: str, to: tuple[float, float], still_box) -> None:
    """With the mouse, from where the handle is to a place in data coordinates."""
    box, unit = still_box(handle(page, name)), unit_of(page)
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    here = place(page, name)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + unit * (to[0] - here[0]), y - unit * (to[1] - here[1]), steps=8)
    page.mouse.up()


def unit_of(page) -> float:
    """Pixels on the screen for one unit of the main axes."""
    width = page.locator(".course-board img").bounding_box()["width"]
    return 0.46 * width / (2 * REACH)


def shows_losses_of(page, points, steps: int = 1, seconds: float = 30) -> None:
    """Wait until the losses shown are those of `points`, known to two digits of each place."""
    expected = Scene(points, "crossed valleys", 0.4, steps).losses()
    deadline, shown = time.monotonic() + seconds, None
    while time.monotonic() < deadline:
        text = page.locator(".course-losses").text_content()
        shown = [float(n) for n in re.findall(r": (\d+\.\d+)", text)]
        if shown == pytest.approx(expected, abs=0.04):
            assert f"after {steps} step" in text
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"the losses shown are {shown}, not {expected}")


def found(page) -> int:
    return page.locator(".course-questions li").evaluate_all(
        "all => all.filter(e => e.textContent.startsWith('✓')).length"
    )


def pixels(page) -> np.ndarray:
    picture = page.locator(".course-board img").screenshot()
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")).astype(int)


def test_the_landscape_by_mouse_and_keyboard(page, still_box, settle):
    assert [handle(page, n).count() for n in "ABθ"] == [1, 1, 1]
    shows_losses_of(page, START)
    assert found(page) == 0

    # θ is dragged: the losses are those of the place where it is dropped, and the picture follows
    still_box(handle(page, "θ"))
    before = pixels(page)
    drag(page, "θ", (1.0, 2.0), still_box)
    there = place(page, "θ")
    np.testing.assert_allclose(there, (1.0, 2.0), atol=0.05)
    shows_losses_of(page, [*START[:2], there])
    settle(page)
    moved = (np.abs(pixels(page) - before).max(-1) > 60).mean()
    assert 0.002 < moved < 0.2  # arrows, paths and θ; the ellipses stay

    # a task's optimum is dragged, and θ stays
    drag(page, "A", (-2.0, 0.0), still_box)
    settle(page)
    points = [place(page, "A"), START[1], place(page, "θ")]
    assert points[2] == there
    shows_losses_of(page, points)

    # arrow keys move a point, Delete does not remove one
    handle(page, "θ").press("ArrowLeft")
    handle(page, "θ").press("Delete")
    settle(page)
    assert place(page, "θ")[0] == pytest.approx(there[0] - 0.02 * 2 * REACH, abs=0.011)
    assert page.locator(".course-board-point").count() == 3

    # numbers are typed instead, once the field has heard of the arrow key
    field = page.locator(".course-landscape input[type=text]")
    x, y = place(page, "θ")
    expect(field).to_have_value(re.compile(rf"; {x:.2f} {y:.2f}$"))
    field.fill("-1.6 -1.2; 1.6 1.2; 0 0")
    field.press("Enter")
    shows_losses_of(page, START)
    settle(page)
    assert place(page, "A") == [-1.6, -1.2]

    # a slider's key: two steps
    page.locator(".widget-inline-hbox", has_text="inner steps").locator(".noUi-handle").press(
        "ArrowRight"
    )
    shows_losses_of(page, START, steps=2)

    # walking with MAML answers the first question, and says so
    button = page.get_by_role("button", name="walk with MAML", exact=True)
    for _ in range(5):
        button.click()
    settle(page)
    page.locator(".course-says", has_text="calls this θ optimal").wait_for()
    page.locator(".course-questions li", has_text="✓ Find a θ that MAML calls optimal").wait_for()
    assert found(page) == 1

    # first order runs away past the overshoot: the picture itself says so (a reader who lingers on
    # the way there, at α = 0.5, answers the second question in passing)
    steps = page.locator(".widget-inline-hbox", has_text="inner steps").locator(".noUi-handle")
    steps.press("ArrowLeft")
    rate = page.locator(".widget-inline-hbox", has_text="inner rate").locator(".noUi-handle")
    for _ in range(4):
        rate.press("ArrowRight")
    page.locator(".course-says", has_text="has no optimum").wait_for()
    page.locator(".course-questions li", has_text="✓ Find a rate at which first order").wait_for()
    assert page.locator(".course-questions li", has_text="○ Change one thing").count() == 1
    assert page.outside == []
