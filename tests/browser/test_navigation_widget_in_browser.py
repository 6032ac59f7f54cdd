"""The navigation explorer, worked by mouse and keyboard in a real browser."""

import re

import pytest
from playwright.sync_api import expect

from course_utils.widgets import navigation

CELL = "from course_utils.widgets import navigation\nnavigation.explorer()"
WIDE = 2 * navigation.REACH / 0.44  # the whole picture's width, in units of the arena


@pytest.fixture
def page(open_cell):
    return open_cell(CELL, ".course-navigation")


def goal(page) -> list[float]:
    label = page.locator(".course-board-point").evaluate("e => e.ariaLabel")
    return [float(v) for v in re.search(r"x (-?[\d.]+), y (-?[\d.]+)", label).groups()]


def shown(page) -> str:
    return page.locator(".course-returns").text_content()


def expected(place: list[float], step: int, label: str = "MAML") -> str:
    film = navigation.Film(navigation.default_learners()[label], place)
    return f"{film.returns[step]:.2f}"


def test_the_explorer_by_mouse_and_keyboard(page, still_box, settle):
    handle = page.locator(".course-board-point")
    assert goal(page) == [0.3, 0.35]
    expect(page.locator(".course-returns")).to_contain_text("return after 0 steps")

    # a key on the slider: one gradient step, and the return is that of Python
    page.locator(".widget-inline-hbox", has_text="gradient steps").locator(".noUi-handle").press(
        "ArrowRight"
    )
    expect(page.locator(".course-returns")).to_contain_text("return after 1 step:")
    assert expected([0.3, 0.35], 1) in shown(page)

    # the goal is dragged with the mouse; the paths are new ones
    box, picture = still_box(handle), page.locator(".course-board img").bounding_box()
    x, y, unit = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, picture["width"] / WIDE
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 0.5 * unit, y + 0.55 * unit, steps=6)
    page.mouse.up()
    settle(page)
    there = goal(page)
    assert there == pytest.approx([-0.2, -0.2], abs=0.03)
    field = page.locator(".course-navigation input[type=text]")
    expect(field).to_have_value(f"{there[0]:.2f} {there[1]:.2f}")
    assert "after 1 step" in shown(page) and expected([0.3, 0.35], 1) not in shown(page)

    # beyond the arena the goal stays at its edge
    box = still_box(handle)
    page.mouse.move(box["x"] + 8, box["y"] + 8)
    page.mouse.down()
    page.mouse.move(box["x"] - 0.6 * unit, box["y"] + 8, steps=6)
    page.mouse.up()
    settle(page)
    assert goal(page)[0] == -0.5

    # arrow keys move it
    handle.press("ArrowRight")
    settle(page)
    assert goal(page)[0] == pytest.approx(-0.5 + 0.02 * 2 * navigation.REACH, abs=0.011)

    # numbers are typed instead; outside the arena they are refused in words
    field.fill("0.2 -0.3")
    field.press("Enter")
    settle(page)
    assert goal(page) == [0.2, -0.3] and expected([0.2, -0.3], 1) in shown(page)
    field.fill("0.9 0")
    field.press("Enter")
    page.locator(".course-navigation", has_text="A goal lies between -0.5 and 0.5").wait_for()
    assert goal(page) == [0.2, -0.3]

    # another learner in the same arena
    page.locator(".course-navigation select").select_option("context vector")
    page.locator(".course-returns", has_text=expected([0.2, -0.3], 1, "context vector")).wait_for()
    assert page.outside == []
