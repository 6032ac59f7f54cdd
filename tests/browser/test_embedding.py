"""The embedding explorer of chapter 03b, worked by mouse and keyboard in a real browser."""

import re

import torch

from course_utils.widgets.embedding import (
    ATTENTION,
    CLASSES,
    COSINE,
    EUCLIDEAN,
    START,
    probabilities,
)


def shares(page) -> list[str]:
    return page.locator(".course-share").all_text_contents()


def expected(points, kind: str, temperature: float = 1.0) -> list[str]:
    (p,) = probabilities(points, torch.tensor(points[-1:]), kind, temperature).tolist()
    return [f"{share:.3f}" for share in p]


def wait_for_shares(page, wanted: list[str]) -> None:
    page.wait_for_function(
        "wanted => [...document.querySelectorAll('.course-share')].map(e => e.textContent).join()"
        " === wanted",
        arg=",".join(wanted),
    )


def points(page) -> list[list[float]]:
    text = page.locator(".course-embedding input[type=text]").first.input_value()
    return [[float(v) for v in pair.split()] for pair in text.split(";")]


def handle(page, name: str):
    return page.locator(f".course-board-point[aria-label^='{name}:']")


def centre_of(box: dict) -> tuple[float, float]:
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def ground_beside(page, name: str) -> list[int]:
    """Red, green and blue of the picture 14 pixels to the left of a point."""
    return handle(page, name).evaluate(
        """handle => {
          const picture = document.querySelector('.course-embedding img');
          const at = handle.getBoundingClientRect(), whole = picture.getBoundingClientRect();
          const canvas = document.createElement('canvas');
          canvas.width = picture.naturalWidth; canvas.height = picture.naturalHeight;
          const context = canvas.getContext('2d');
          context.drawImage(picture, 0, 0);
          const scale = picture.naturalWidth / whole.width;
          const x = (at.x + at.width / 2 - 14 - whole.x) * scale;
          const y = (at.y + at.height / 2 - whole.y) * scale;
          return [...context.getImageData(x, y, 1, 1).data].slice(0, 3); }"""
    )


def changed(page, before: str) -> None:
    page.wait_for_function(
        "old => document.querySelector('.course-embedding img').src !== old", arg=before
    )


def source(page) -> str:
    return page.locator(".course-embedding img").get_attribute("src")


def test_the_embedding_explorer_by_mouse_and_keyboard(open_cell, still_box, settle):
    cell = "from course_utils.widgets import embedding\nembedding.explorer()"
    page = open_cell(cell, ".course-embedding")
    still_box(page.locator(".course-embedding .course-board"))
    assert page.locator(".course-embedding .course-board-point").count() == len(START)
    assert shares(page) == expected(START, EUCLIDEAN)
    red, _, blue = ground_beside(page, "A2")
    assert blue > red + 40  # A's region

    # drag A1 over to C: A's prototype comes nearer to the query, and the regions follow
    before, to = source(page), centre_of(still_box(handle(page, "?")))
    page.mouse.move(*centre_of(handle(page, "A1").bounding_box()))
    page.mouse.down()
    page.mouse.move(*to, steps=8)
    page.mouse.up()
    changed(page, before)
    settle(page)
    now = points(page)
    assert abs(now[0][0] - START[-1][0]) < 0.15 and abs(now[0][1] - START[-1][1]) < 0.15
    assert now[1:] == [[round(v, 2) for v in p] for p in START[1:]]
    assert float(shares(page)[0]) > float(expected(START, EUCLIDEAN)[0])

    # the button puts it back, and the numbers with it
    page.get_by_role("button", name="as at first").click()
    wait_for_shares(page, expected(START, EUCLIDEAN))
    settle(page)
    assert re.match(r"-2\.60 1\.20;", page.locator(".course-embedding input[type=text]").first
                    .input_value())  # fmt: skip

    # an arrow key moves the query by a fiftieth of the axis
    handle(page, "?").press("ArrowLeft")
    moved = [*START[:-1], [START[-1][0] - 0.16, START[-1][1]]]
    wait_for_shares(page, expected(moved, EUCLIDEAN))

    # another comparison: other probabilities; the dropdown is worked by keyboard
    page.locator(".course-embedding select").select_option(COSINE)
    wait_for_shares(page, expected(moved, COSINE))
    page.locator(".course-embedding select").select_option(ATTENTION)
    wait_for_shares(page, expected(moved, ATTENTION))
    page.locator(".course-embedding select").select_option(EUCLIDEAN)
    wait_for_shares(page, expected(moved, EUCLIDEAN))

    # points can be typed; the query on top of class C is read as C
    typed = "; ".join(f"{x:g} {y:g}" for x, y in [*START[:-1], START[7]])
    field = page.locator(".course-embedding input[type=text]").first
    field.fill(typed)
    field.press("Enter")
    wait_for_shares(page, expected([*START[:-1], START[7]], EUCLIDEAN))
    settle(page)
    assert page.locator(".course-read").text_content() == CLASSES[2]
    field.fill("1 2; 3")
    field.press("Enter")
    page.get_by_text("Ten pairs of numbers").wait_for()
    assert page.outside == []
