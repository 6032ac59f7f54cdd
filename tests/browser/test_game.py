"""You against the model, played by mouse and keyboard in a real browser."""

import pytest
import torch

from course_utils.learners import ProtoNet
from course_utils.widgets.versus import deal, remark, scripts, share

CELL = """import torch
from course_utils.learners import ProtoNet
from course_utils.widgets import versus
versus.versus({"pixels": ProtoNet(torch.nn.Flatten())}, rounds=3)"""


@pytest.fixture
def page(open_cell):
    page = open_cell(CELL, ".course-versus-options button")
    page.locator(".course-versus-game").scroll_into_view_if_needed()
    return page


def dealt(kind: str) -> list:
    """The rounds, dealt here anew: the same seed gives the same."""
    return deal(scripts()[kind], {"pixels": ProtoNet(torch.nn.Flatten())}, 3, seed=7)


def option(page, number: int):
    return page.locator(".course-versus-options button").nth(number)


def wait_for(page, text: str) -> None:
    page.locator(".course-versus-game").get_by_text(text).wait_for()


def score(page, player: str, kind: str) -> str:
    return page.locator(f".course-score[data-player='{player}'][data-kind='{kind}']").inner_text()


def test_rounds_by_mouse_and_keyboard(page, settle):
    rounds = dealt("5-way")
    following = page.locator(".course-versus-next")
    wait_for(page, "Round 1 of 3.")
    assert page.locator(".course-versus-options button").count() == 5
    assert following.is_disabled() and score(page, "you", "5-way") == "–"

    wrong = (rounds[0].right + 1) % 5  # first by mouse, and wrongly
    option(page, wrong).click()
    wait_for(page, "That was another character.")
    page.wait_for_function(
        "i => document.querySelectorAll('.course-versus-options button')[i].dataset.kind"
        " === 'wrong'",
        arg=wrong,
    )
    settle(page)
    assert "you" in option(page, wrong).inner_text()
    assert option(page, rounds[0].right).get_attribute("data-kind") == "right"
    assert "pixels" in option(page, rounds[0].answers["pixels"]).inner_text()
    option(page, rounds[0].right).click()  # too late to change one's mind
    settle(page)
    yours, theirs = [False], [rounds[0].answers["pixels"] == rounds[0].right]
    assert score(page, "you", "5-way") == share(yours)
    assert score(page, "pixels", "5-way") == share(theirs)
    following.click()
    wait_for(page, "Round 2 of 3.")

    option(page, 0).focus()  # then by keyboard, and rightly; the focus goes along
    for _ in range(rounds[1].right):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    wait_for(page, "Right.")
    page.keyboard.press("Enter")  # the focus went on to Next
    wait_for(page, "Round 3 of 3.")
    for _ in range(rounds[2].right):  # and from there to the first drawing
        page.keyboard.press("ArrowRight")
    page.keyboard.press(" ")
    wait_for(page, "Right.")
    settle(page)
    assert following.is_disabled()  # it was the last
    yours += [True, True]
    theirs += [r.answers["pixels"] == r.right for r in rounds[1:]]
    assert score(page, "you", "5-way") == share(yours)
    assert score(page, "pixels", "5-way") == share(theirs)
    wait_for(page, remark(yours, theirs, "pixels"))
    assert page.locator(".jp-Cell").count() == 1  # no key went on to the notebook

    page.get_by_role("button", name="20-way").click()
    wait_for(page, "Round 1 of 3.")
    settle(page)
    assert page.locator(".course-versus-options button").count() == 20
    right = dealt("20-way")[0].right
    option(page, right).click()
    wait_for(page, "Right.")
    settle(page)
    assert score(page, "you", "20-way") == share([True])
    assert score(page, "you", "5-way") == share(yours)  # kept

    page.get_by_role("button", name="Start again").click()
    wait_for(page, "Round 1 of 3.")
    page.wait_for_function(
        "() => [...document.querySelectorAll('.course-score')].every(e => e.textContent === '–')"
    )
    assert page.outside == []


def test_the_pictures_shown_are_those_dealt(page):
    rounds = dealt("5-way")
    read = """image => { const c = document.createElement('canvas'); c.width = c.height = 28;
      const g = c.getContext('2d'); g.drawImage(image, 0, 0, 28, 28);
      return [...g.getImageData(0, 0, 28, 28).data].filter((_, i) => i % 4 === 0); }"""
    dealt_here = [rounds[0].asked, *rounds[0].options]
    for i in range(6):
        pixels = page.locator(".course-versus img").nth(i).evaluate(read)
        seen = 1 - torch.tensor(pixels).view(28, 28) / 255
        distances = [(seen - image[0]).abs().mean().item() for image in dealt_here]
        assert min(distances) == distances[i] < 0.08
