"""The explorer in chapter 00, worked by mouse and keyboard in a real browser."""

import re

import torch

from course_utils import checkpoints
from course_utils.tasks import sinusoid
from course_utils.widgets.adaptation import draw_points

X = torch.linspace(-5, 5, 201)


def maml_error(page) -> str:
    labels = page.locator(".course-errors th").all_text_contents()
    column = next(i for i, label in enumerate(labels) if label.endswith("MAML"))
    return page.locator(".course-error").nth(column).text_content()


def caption(page) -> str:
    return page.locator(".course-errors caption").text_content()


def source(page) -> str:
    return page.locator(".course-board img").get_attribute("src")


def points(page) -> list[list[float]]:
    labels = page.locator(".course-board-point").evaluate_all("all => all.map(e => e.ariaLabel)")
    return [
        [float(v) for v in re.search(r"x (-?[\d.]+), y (-?[\d.]+)", s).groups()] for s in labels
    ]


def python_error(support: list, step: int, truth) -> str:
    learner = checkpoints.load("maml_sinusoid")
    learner.inner_lr = 0.01
    support = torch.tensor(support).view(1, -1, 2)
    predict = learner.adapt(support[..., :1], support[..., 1:], steps=step)
    x, y = (X, truth) if truth is not None else support[0].T
    return f"{(predict(x.view(1, -1, 1)).flatten() - y).pow(2).mean().item():.3f}"


def changed(page, before: str) -> None:
    page.wait_for_function(
        "old => document.querySelector('.course-board img').src !== old", arg=before
    )


def wait_for_caption(page, text: str) -> None:
    page.wait_for_function(
        "t => document.querySelector('.course-errors caption').textContent.includes(t)", arg=text
    )


def handle_of(page, label: str):
    return page.locator(".widget-inline-hbox", has_text=label).locator(".noUi-handle")


def test_the_explorer_by_mouse_and_keyboard(open_notebook, still_box, settle):
    page = open_notebook("00_start_here.ipynb")
    page.locator(".course-explorer").wait_for()
    page.locator(".course-errors").scroll_into_view_if_needed()
    start = draw_points(3.0, 1.0, 5, 0.0, seed=0)
    truth = sinusoid(X, 3.0, 1.0)
    assert maml_error(page) == python_error(start, 0, truth)

    # the keyboard moves a slider: three steps
    before, handle = source(page), handle_of(page, "gradient steps")
    for _ in range(3):
        handle.press("ArrowRight")
    wait_for_caption(page, "after 3 steps")
    changed(page, before)
    settle(page)
    assert maml_error(page) == python_error(start, 3, truth)

    # the mouse moves a slider to its end
    before, box = source(page), still_box(handle)
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 400, box["y"] + box["height"] / 2, steps=8)
    page.mouse.up()
    wait_for_caption(page, "after 10 steps")
    changed(page, before)
    settle(page)
    assert maml_error(page) == python_error(start, 10, truth)

    # play walks the steps
    for _ in range(10):
        handle.press("ArrowLeft")
    wait_for_caption(page, "after 0 steps")
    page.locator(".widget-play button").first.click()
    wait_for_caption(page, "after 2 steps")
    page.locator(".widget-play button").first.click()  # pause
    for _ in range(10):
        handle.press("ArrowRight")
    wait_for_caption(page, "after 10 steps")
    settle(page)

    # a click places a point; errors are then on the reader's own points
    before, board = source(page), still_box(page.locator(".course-board img"))
    place = (board["x"] + 0.30 * board["width"], board["y"] + 0.30 * board["height"])
    page.mouse.click(*place)
    wait_for_caption(page, "on your points")
    changed(page, before)
    settle(page)
    assert page.locator(".course-board-point").count() == 6
    placed = points(page)[-1]

    # it can be dragged
    before = source(page)
    page.mouse.move(*place)
    page.mouse.down()
    page.mouse.move(place[0] + 60, place[1] + 80, steps=6)
    page.mouse.up()
    changed(page, before)
    settle(page)
    dragged = points(page)[-1]
    assert dragged[0] > placed[0] + 0.3 and dragged[1] < placed[1] - 0.5

    # arrow keys move it on, Delete removes it
    last = page.locator(".course-board-point").last
    last.press("ArrowUp")
    settle(page)
    assert points(page)[-1][1] > dragged[1]
    before = source(page)
    last.press("Delete")
    changed(page, before)
    settle(page)
    assert page.locator(".course-board-point").count() == 5
    assert maml_error(page) == python_error(start, 10, None)

    # noise leaves the reader's points alone; an amplitude beyond the trained ones is remarked on
    kept = points(page)
    noise = still_box(handle_of(page, "noise"))
    page.mouse.move(noise["x"] + noise["width"] / 2, noise["y"] + noise["height"] / 2)
    page.mouse.down()
    page.mouse.move(noise["x"] + 60, noise["y"] + noise["height"] / 2, steps=4)
    page.mouse.up()
    settle(page)
    assert points(page) == kept
    explorer = page.locator(".course-explorer")
    assert "holds impossible" not in explorer.text_content()
    high = still_box(handle_of(page, "amplitude"))
    page.mouse.move(high["x"] + high["width"] / 2, high["y"] + high["height"] / 2)
    page.mouse.down()
    page.mouse.move(high["x"] + 400, high["y"] + high["height"] / 2, steps=6)
    page.mouse.up()
    page.wait_for_function(
        "() => document.querySelector('.course-explorer').textContent.includes('holds impossible')"
    )
    settle(page)
    assert page.outside == []
