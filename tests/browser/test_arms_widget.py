"""The bandit game, played by mouse and by keyboard in a real browser."""

import pytest

from course_utils.learners.bandits import Greedy
from course_utils.widgets.arms import Match, letter

CELL = """from course_utils.learners.bandits import Greedy
from course_utils.widgets import arms
arms.game({"greedy": Greedy()}, rounds=2, seed=5)"""


@pytest.fixture
def page(open_cell):
    page = open_cell(CELL, ".course-arms-row button")
    page.locator(".course-arms-game").scroll_into_view_if_needed()
    return page


def arm(page, number: int):
    return page.locator(".course-arms-row button").nth(number)


def wait_for(page, text: str) -> None:
    page.locator(".course-arms-game").get_by_text(text).first.wait_for()


def press(page, box: dict) -> None:
    """A real mouse in the middle of `box`."""
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


def record(page, number: int) -> str:
    return arm(page, number).locator(".course-arms-record").inner_text()


def score(page, player: str, kind: str = "score") -> str:
    return page.locator(f".course-{kind}[data-player='{player}']").inner_text()


def test_two_rounds_by_mouse_and_keyboard(page, settle, still_box):
    match = Match({"greedy": Greedy()}, 2, 5)  # dealt here anew: the same seed gives the same
    following = page.locator(".course-arms-next")
    wait_for(page, "10 pulls left")
    assert page.locator(".course-arms-row button").count() == 5 and following.is_disabled()

    for turn, pulled in enumerate([0, 1, 2, 3, 4, 0, 1, 2, 3, 3]):
        press(page, still_box(arm(page, pulled)))
        paid = match.pull(0, pulled)
        settle(page)
        if turn < 9:
            wait_for(page, f"Arm {letter(pulled)} {'pays a coin' if paid else 'pays nothing'}.")
            assert record(page, pulled)[-1] == "○●"[paid]
    wait_for(page, "Round 1 is over")
    settle(page)
    coins, cost = match.scores()["you"]
    assert score(page, "you") == str(coins) and score(page, "you", "cost") == f"{cost:.2f}"
    assert score(page, "greedy") == str(match.scores()["greedy"][0])
    truth = match.environments.p[0, 4].item()
    assert f"pays {100 * truth:.0f} %" in arm(page, 4).inner_text()
    assert page.locator(".course-arms-pull").count() == 20
    press(page, still_box(arm(page, 4)))  # too late
    settle(page)
    assert score(page, "you") == str(coins)
    following.click()
    wait_for(page, "Round 2 of 2")
    settle(page)

    arm(page, 0).focus()  # arrows and Enter
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    match.pull(1, 2)
    settle(page)
    assert record(page, 2) == "○●"[match.my(1).paid[0]]
    page.keyboard.press(" ")
    match.pull(1, 2)
    settle(page)
    assert len(record(page, 2)) == 2
    for number in (5, 1, 1, 2, 3, 3, 3, 3):  # digits
        page.keyboard.press(str(number))
        match.pull(1, number - 1)
        settle(page)
    wait_for(page, "Round 2 is over")
    settle(page)
    assert following.is_disabled()  # it was the last
    coins, cost = match.scores()["you"]
    assert score(page, "you") == str(coins) and score(page, "you", "cost") == f"{cost:.2f}"
    assert page.locator(".jp-Cell").count() == 1  # no key went on to the notebook

    page.get_by_role("button", name="Start again").click()
    wait_for(page, "Round 1 of 2")
    settle(page)
    assert page.locator(".course-score").count() == 0 and record(page, 0) == ""
    assert page.outside == []


def test_fast_clicks_are_answered_one_after_another(page, settle):
    """Clicks that come before the answer to the last are left out, not lost on both sides."""
    page.evaluate(
        "() => { const b = document.querySelectorAll('.course-arms-row button')[1];"
        " for (let i = 0; i < 5; i++) b.click(); }"
    )
    settle(page)
    wait_for(page, "9 pulls left")
    assert len(record(page, 1)) == 1
    arm(page, 1).click()
    settle(page)
    wait_for(page, "8 pulls left")
    assert len(record(page, 1)) == 2
