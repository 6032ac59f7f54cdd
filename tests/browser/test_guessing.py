"""The guessing game of chapter 01, played by mouse and keyboard in a real browser."""

import torch

from course_utils.widgets.guessing import GuessingGame


def picture(page) -> str:
    return page.locator(".game .widget-image").get_attribute("src")


def changed(page, before: str) -> None:
    page.wait_for_function(
        "old => document.querySelector('.game .widget-image').src !== old", arg=before
    )


def button(page, name: str):
    return page.locator(".game").get_by_role("button", name=name, exact=True)


def row(page, name: str) -> list[str]:
    line = page.locator(".game tr", has=page.get_by_role("rowheader", name=name, exact=True))
    line.wait_for()
    return line.locator("td").all_inner_texts()


def value(page, letter: str) -> float:
    """What the number field beside a slider shows."""
    box = page.locator(".game .widget-slider", has_text=f"{letter}:")
    return float(box.locator(".widget-readout").inner_text().replace("−", "-"))


def as_shown(misses: list[float]) -> list[str]:
    return [f"{miss:.2f}" for miss in misses]


def test_two_rounds_by_mouse_and_keyboard(open_notebook, still_box, settle):
    page = open_notebook("01_background.ipynb")
    target = page.locator(".game .widget-slider", has_text="A:").locator(".noUi-target")
    before, box = picture(page), still_box(target)
    page.mouse.click(box["x"] + 0.7 * box["width"], box["y"] + box["height"] / 2)  # by mouse
    changed(page, before)
    settle(page)
    before = picture(page)
    handle = page.locator(".game .widget-slider", has_text="B:").locator(".noUi-handle")
    for _ in range(7):  # by keyboard
        handle.press("ArrowRight")
    changed(page, before)
    settle(page)
    field = page.locator(".game .widget-slider", has_text="C:").locator(".widget-readout")
    field.fill("1.7")  # by number
    field.press("Enter")
    settle(page)
    first = [value(page, letter) for letter in "ABC"]
    assert first[0] > 1 and first[1:] == [0.7, 1.7]

    python = GuessingGame()
    button(page, "Check").click()
    settle(page)
    play(python, first)
    assert row(page, "curve 1") == as_shown(python.table()[0])
    assert row(page, "all so far") == as_shown(python.table()[-1])

    before = picture(page)
    button(page, "Next curve").press("Enter")
    changed(page, before)
    settle(page)
    button(page, "Check").and_(page.locator(":enabled")).press("Enter")
    settle(page)
    play(python, [0.0, 0.0, 0.0])
    assert row(page, "curve 2") == as_shown(python.table()[1])
    assert row(page, "all so far") == as_shown(python.table()[-1])

    button(page, "Start again").click()
    page.locator(".game table").wait_for(state="detached")
    settle(page)
    assert value(page, "A") == 0


def play(game: GuessingGame, guesses: list[float]) -> None:
    game.show(len(game.guesses))
    for slider, guess in zip(game.sliders, guesses, strict=True):
        slider.value = guess
    game.answer()


def test_the_table_is_the_typical_miss():
    game = GuessingGame(rounds=2)
    play(game, [1.0, 2.0, 3.0])
    dealt = game.dealt[0]
    by_hand = (torch.tensor([1.0, 2.0, 3.0]) - dealt.answers).pow(2).mean().sqrt()
    assert game.table()[0][0] == game.table()[1][0] == by_hand.item()
    game.show(1)
    play(game, game.dealt[1].answers.tolist())
    assert game.table()[1][0] < 0.05 and game.next.disabled and len(game.table()) == 3
    game.restart()
    assert game.table() == [] and not game.check.disabled
