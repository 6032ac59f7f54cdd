"""Symbols drawn by mouse, finger, keyboard and number, and what is read from them, in a browser."""

import math

import numpy as np
import pytest
from torch import nn

from course_utils.learners import ProtoNet
from course_utils.widgets.drawing import probabilities
from course_utils.widgets.pad import character, parse, raster

CELL = """from torch import nn
from course_utils.learners import ProtoNet
from course_utils.widgets import drawing
rows = nn.Sequential(nn.AvgPool2d((1, 28)), nn.Flatten())
drawing.draw_your_own({"pixels": ProtoNet(nn.Flatten()), "rows": ProtoNet(rows)})"""


@pytest.fixture
def page(open_cell, settle):
    page = open_cell(CELL, ".course-pad")
    page.locator(".course-drawing").scroll_into_view_if_needed()
    page.settle = lambda: settle(page)
    return page


def press(page, name: str) -> None:
    page.locator(".course-drawing").get_by_role("button", name=name, exact=True).click()


def typed(page) -> str:
    return page.locator(".course-drawing input[type=text]").input_value()


def wait_for_strokes(page, number: int) -> list:
    """The strokes that Python has, when there are so many of them and they no longer change."""
    field = "document.querySelector('.course-drawing input[type=text]').value"
    count = f"{field}.split(';').filter(s => s.trim()).length"
    page.wait_for_function(f"() => {count} === {number}")
    page.settle()
    return parse(typed(page))


def place(page, x: float, y: float) -> tuple[float, float]:
    """Where on the page a point of the pad is, in hundredths of its side."""
    box = page.locator(".course-pad").bounding_box()
    return box["x"] + box["width"] * x / 100, box["y"] + box["height"] * y / 100


def draw(page, *points: tuple[float, float]) -> None:
    page.mouse.move(*place(page, *points[0]))
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*place(page, *point), steps=4)
    page.mouse.up()


def circle(page, radius: float = 30, x: float = 50, y: float = 50) -> None:
    turns = [2 * math.pi * i / 24 for i in range(25)]
    draw(page, *((x + radius * math.cos(t), y + radius * math.sin(t)) for t in turns))


def canvas(page) -> np.ndarray:
    """What is seen on the pad: (size, size), ink 1."""
    read = """c => [c.width, [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]]"""
    size, data = page.locator(".course-pad").evaluate(read)
    return 1 - np.array(data).reshape(size, size, 4)[..., 0] / 255


def shares(page) -> dict[str, str]:
    read = "all => all.filter(e => e.offsetParent).map(e => [e.dataset.symbol, e.textContent])"
    return dict(page.locator(".course-share").evaluate_all(read))


def test_symbols_drawn_by_mouse_are_learned_and_read(page):
    circle(page)
    kept = {"A": [character(wait_for_strokes(page, 1))]}
    press(page, "It is a new symbol")
    wait_for_strokes(page, 0)
    draw(page, (20, 20), (80, 80))
    draw(page, (80, 20), (20, 80))
    kept["B"] = [character(wait_for_strokes(page, 2))]
    press(page, "It is a new symbol")
    wait_for_strokes(page, 0)
    assert shares(page) == {"A": "", "B": ""}

    before = page.locator(".course-drawing .widget-image").get_attribute("src")
    circle(page, 20, 40, 45)
    strokes = wait_for_strokes(page, 1)
    # what is seen on the pad is what Python has, and what the learner is given
    seen = canvas(page)
    assert np.abs(seen - raster(strokes, len(seen))).mean() < 0.01 < 0.03 < seen.mean()
    found = probabilities(ProtoNet(nn.Flatten()), kept, character(strokes))
    assert shares(page) == {name: f"{share:.1%}" for name, share in found.items()}
    assert found["A"] > 0.9
    assert "It reads A" in page.locator(".course-drawing").inner_text()

    # a second example by its button: the map appears, and another learner reads otherwise
    press(page, "It is A")
    wait_for_strokes(page, 0)
    kept["A"].append(character(strokes))
    assert page.locator(".course-drawing img[alt='example of A']").count() == 2
    after = page.locator(".course-drawing .widget-image").get_attribute("src")
    assert after != before
    page.mouse.move(*place(page, 30, 30))
    page.mouse.down()
    page.mouse.move(*place(page, 70, 75), steps=8)
    page.wait_for_function(  # the map moves while the pen is still down
        "old => document.querySelector('.course-drawing .widget-image').src !== old", arg=after
    )
    page.mouse.up()
    query = character(wait_for_strokes(page, 1))
    rows = nn.Sequential(nn.AvgPool2d((1, 28)), nn.Flatten())
    for name, encoder in (("pixels", nn.Flatten()), ("rows", rows)):
        press(page, name)
        found = probabilities(ProtoNet(encoder), kept, query)
        page.wait_for_function(
            "t => document.querySelector('.course-share').textContent === t",
            arg=f"{found['A']:.1%}",
        )
    assert page.outside == []


def test_undo_clear_and_forget(page):
    draw(page, (20, 20), (80, 20))
    draw(page, (20, 80), (80, 80))
    first, _ = wait_for_strokes(page, 2)
    press(page, "Undo")
    assert wait_for_strokes(page, 1) == [first]
    ink = canvas(page)
    assert ink[: len(ink) // 2].sum() > 0 == ink[len(ink) // 2 :].sum()
    press(page, "Clear")
    wait_for_strokes(page, 0)
    assert canvas(page).sum() == 0
    press(page, "It is a new symbol")
    page.get_by_text("First draw something").wait_for()

    press(page, "Stored symbols")
    page.get_by_text("It reads").wait_for()
    page.settle()
    assert list(shares(page)) == ["A", "B", "C", "D"]
    forget = page.locator(".course-drawing button[title='Forget the last example of B']")
    forget.click()
    forget.click()
    page.wait_for_function(
        "() => [...document.querySelectorAll('.course-share')].filter(e => e.offsetParent).length"
        " === 3"
    )
    page.settle()
    press(page, "Start again")
    wait_for_strokes(page, 0)
    assert shares(page) == {}


def test_by_finger(page):
    session = page.context.new_cdp_session(page)
    session.send("Emulation.setTouchEmulationEnabled", {"enabled": True})

    def touch(kind, *point):
        points = [dict(zip("xy", place(page, *point), strict=True))] if point else []
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    scrolled = page.evaluate("() => document.querySelector('.jp-WindowedPanel-outer')?.scrollTop")
    touch("touchStart", 30, 20)
    for y in range(25, 85, 5):
        touch("touchMove", 30, y)
    touch("touchEnd")
    (stroke,) = wait_for_strokes(page, 1)
    assert len(stroke) > 5 and all(abs(x - 30) < 1 for x, _ in stroke)
    assert stroke[0][1] == pytest.approx(20, abs=1) and stroke[-1][1] == pytest.approx(80, abs=1)
    assert scrolled == page.evaluate(
        "() => document.querySelector('.jp-WindowedPanel-outer')?.scrollTop"
    )


def test_by_keyboard_and_by_number(page):
    pad = page.locator(".course-pad")
    pad.focus()
    for key in [*["ArrowLeft"] * 4, " ", *["ArrowRight"] * 8, *["ArrowDown"] * 6, " ", "Enter"]:
        page.keyboard.press(key)
    for key in ["ArrowUp", " ", "Enter"]:
        page.keyboard.press(key)
    assert wait_for_strokes(page, 2) == [[[30, 50], [70, 80]], [[70, 75]]]
    assert page.locator(".jp-Cell").count() == 1  # no key went on to the notebook
    page.keyboard.press("Backspace")
    assert wait_for_strokes(page, 1) == [[[30, 50], [70, 80]]]

    field = page.locator(".course-drawing input[type=text]")
    field.fill("20 20, 80 80; 80 20, 20 80")
    field.press("Enter")
    page.settle()
    pad.evaluate("e => e.blur()")
    strokes = wait_for_strokes(page, 2)
    seen = canvas(page)
    assert np.abs(seen - raster(strokes, len(seen))).mean() < 0.01 < seen.mean()
    field.fill("20 20, 80 eighty")
    field.press("Enter")
    page.get_by_text("'80 eighty' should be two numbers").wait_for()
