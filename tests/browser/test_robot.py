"""The robot explorer, worked by mouse and keyboard in a real browser."""

import re

import pytest
from playwright.sync_api import expect

pytest.importorskip("mujoco", reason="gymnasium[mujoco] is not installed: run `uv sync`")
pytest.importorskip("gymnasium", reason="gymnasium[mujoco] is not installed: run `uv sync`")

from course_utils.widgets import robot

CELL = "from course_utils.widgets import robot\nrobot.explorer(learner='recurrent memory')"
MEMORY = "recurrent memory"


@pytest.fixture
def page(open_cell):
    return open_cell(CELL, ".course-robot img")


def row(page, learner: str = MEMORY) -> list[str]:
    """What the table says of a learner: its error, its walks."""
    return page.locator(".course-robot tr", has_text=learner).locator("td").all_text_contents()


def slider(page, motor: str):
    return page.locator(".course-robot .widget-inline-hbox", has_text=motor)


def test_the_explorer_by_mouse_and_keyboard(page, still_box, settle):
    def click(name: str) -> None:
        box = still_box(page.get_by_role("button", name=name, exact=True))
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)

    def press(name: str) -> None:
        click(name)
        settle(page)

    said = page.locator(".course-robot-words")
    picture = page.locator(".course-robot img")
    expect(said).to_have_text("0 of 128 steps collected")
    assert row(page)[1] == "–"

    # steps are collected: the error is that of Python, and falls
    before = row(page)[0]
    press("wander 16 steps more")
    press("wander 16 steps more")
    expect(said).to_have_text("32 of 128 steps collected")
    trial = robot.Trial(robot.default_learners(), robot.GAINS)
    assert row(page)[0] == f"{trial.error(MEMORY, 32):.3f}"
    assert float(row(page)[0]) < float(before)

    # it walks: busy meanwhile, then there is another picture and a way in the table
    still = picture.get_attribute("src")
    click("walk")
    page.locator(".course-robot", has_text=f"{MEMORY} thinks and walks").wait_for()
    expect(page.get_by_role("button", name="begin anew")).to_be_disabled()
    settle(page)
    assert re.fullmatch(r"-?\d\.\d m after 32", row(page)[1])
    expect(page.get_by_role("button", name="walk", exact=True)).to_be_enabled()
    assert picture.get_attribute("src") != still

    # a key on a gain's slider: another body, of which nothing is known
    slider(page, "back hip").locator(".noUi-handle").press("ArrowRight")
    expect(said).to_have_text("0 of 128 steps collected")
    expect(slider(page, "back hip").locator(".widget-readout")).to_have_text("−0.25")
    assert row(page)[1] == "–"

    # a gain is typed
    field = slider(page, "front knee").locator(".widget-readout")
    field.fill("-1")
    field.press("Enter")
    settle(page)
    gains = [*robot.GAINS]
    gains[0], gains[4] = -0.25, -1.0
    trial = robot.Trial(robot.default_learners(), gains)
    assert row(page)[0] == f"{trial.error(MEMORY, 0):.3f}"

    # a gain is dragged with the mouse, to the end
    handle = slider(page, "front ankle").locator(".noUi-handle")
    box = still_box(handle)
    page.mouse.move(box["x"] + 8, box["y"] + 8)
    page.mouse.down()
    page.mouse.move(box["x"] + 400, box["y"] + 8, steps=5)
    page.mouse.up()
    settle(page)
    expect(slider(page, "front ankle").locator(".widget-readout")).to_have_text("1.00")

    # buttons for all gains at once
    readouts = page.locator(".course-robot .widget-slider .widget-readout")
    press("intact")
    assert readouts.all_text_contents() == ["1.00"] * 6
    press("damage it at random")
    assert len(set(readouts.all_text_contents())) > 3

    # another learner, and begin anew with other dice
    page.locator(".course-robot select").select_option("MAML")
    press("walk")
    assert row(page, "MAML")[1].endswith(" m after 0")
    press("begin anew")
    assert row(page, "MAML")[1] == "–"
    assert page.outside == []
