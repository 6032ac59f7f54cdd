"""The assay of chapter 06c: molecules measured by mouse and keyboard in a real browser."""

import re

import pytest

from course_utils.widgets.assay import ACTIVES, ASSAYS, POOL, Campaign, player


@pytest.fixture
def page(open_cell):
    cell = "from course_utils.widgets import assay\nassay.Assay()"
    return open_cell(cell, ".course-assay button")


def molecule(page, place):
    return page.locator(".course-assay button").nth(place)


def notes(page):
    return page.locator(".course-assay button span").all_inner_texts()


def expected(campaign):
    said = {i: "✓ active" if campaign.active[i] else "✗ inactive" for i in campaign.tested}
    ranks = campaign.ranks()
    return [said.get(i, f"rank {ranks[i]}") for i in range(POOL)]


def test_molecules_are_measured_and_the_rest_is_ranked_anew(page, still_box, settle):
    python = Campaign(player())
    molecule(page, POOL - 1).wait_for()
    assert notes(page) == expected(python)

    box = still_box(molecule(page, 2))  # by mouse
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.locator(".course-assay button[data-note]:not([data-note=''])").first.wait_for()
    python.measure(2)
    page.wait_for_function(
        "text => document.querySelectorAll('.course-assay button span')[0].textContent === text",
        arg=expected(python)[0],
    )
    settle(page)
    assert notes(page) == expected(python)

    molecule(page, 2).press("ArrowRight")  # by keyboard
    assert molecule(page, 3).evaluate("e => e === document.activeElement")
    page.keyboard.press("Enter")
    molecule(page, 3).and_(page.locator("[data-note$='active']")).wait_for()
    python.measure(3)
    says = page.locator(".assay .widget-html-content").filter(has_text="measurements left")
    says.filter(has_text=f"{ASSAYS - 2} of {ASSAYS}").wait_for()
    settle(page)
    assert notes(page) == expected(python)
    found = re.search(r"found (\d+) active", says.inner_text())
    assert int(found[1]) == python.hits()[-1]

    molecule(page, 3).click(force=True)  # measured already: nothing happens
    settle(page)
    assert f"{ASSAYS - 2} of {ASSAYS}" in says.inner_text()

    page.locator(".assay").get_by_role("button", name="Start again").click()
    says.filter(has_text=f"{ASSAYS} of {ASSAYS}").wait_for()
    settle(page)
    assert notes(page) == expected(Campaign(player()))
    assert f"{ACTIVES} of the {POOL}" in says.inner_text()
    assert page.outside == []
