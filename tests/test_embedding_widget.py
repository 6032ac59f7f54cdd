"""The embedding explorer shows what the learners compute, follows its points, and says what is
wrong."""

import re

import numpy as np
import pytest
import torch

from course_utils.widgets import embedding
from course_utils.widgets.embedding import (
    ATTENTION,
    COSINE,
    EUCLIDEAN,
    KINDS,
    START,
    Explorer,
    probabilities,
)

GRID = torch.cartesian_prod(torch.linspace(-4, 4, 9), torch.linspace(-4, 4, 9)) + 0.01


def shown(explorer):
    return [float(s) for s in re.findall(r'course-share">([\d.]+)<', explorer.verdict.value)]


def test_squared_distance_draws_straight_lines():
    """The log-odds of two classes are affine in z: the middle of two points is their mean."""
    p = probabilities(START, GRID, EUCLIDEAN, 1.0).double().log()
    odds = p[:, 0] - p[:, 1]
    plane = torch.cat([GRID.double(), torch.ones(len(GRID), 1).double()], 1)
    fitted = plane @ torch.linalg.lstsq(plane, odds.unsqueeze(1)).solution
    torch.testing.assert_close(fitted.squeeze(1), odds, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("kind", [COSINE, ATTENTION])
def test_cosines_know_directions_only(kind):
    near, far = (probabilities(START, GRID * scale, kind, 0.5) for scale in (1.0, 3.0))
    torch.testing.assert_close(near, far, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", [EUCLIDEAN, COSINE])
def test_temperature_moves_no_boundary(kind):
    cold, warm = (probabilities(START, GRID, kind, tau) for tau in (0.5, 5.0))
    assert torch.equal(cold.argmax(1), warm.argmax(1))
    assert (cold.max(1).values >= warm.max(1).values - 1e-6).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_table_says_what_the_learner_says(kind):
    explorer = Explorer(START)
    explorer.kind.value, explorer.temperature.value = kind, 2.0
    explorer.board.points = [*START[:-1], [-1.0, 2.0]]
    (wanted,) = probabilities([*START[:-1], [-1.0, 2.0]], torch.tensor([[-1.0, 2.0]]), kind, 2.0)
    assert shown(explorer) == pytest.approx(wanted.tolist(), abs=6e-4)
    assert 'course-read">A<' in explorer.verdict.value


def test_the_picture_follows_a_point_and_the_field_follows_too():
    explorer = Explorer(embedding.start_from(None))
    before = explorer.board.image
    explorer.board.points = [[3.0, -3.0], *START[1:]]
    assert explorer.board.image != before and explorer.typed.value.startswith("3.00 -3.00; ")
    explorer.typed.value = "; ".join(f"{x} {y}" for x, y in START)
    assert explorer.board.points == START and explorer.board.image == before
    explorer.board.points = [[3.0, -3.0], *START[1:]]
    explorer.reset.click()
    assert explorer.board.points == START


def test_regions_are_coloured_by_the_likeliest_class():
    explorer = Explorer(embedding.start_from(None))
    view = explorer.view
    p = probabilities(START, view.grid, EUCLIDEAN, 1.0)
    drawn = np.asarray(view.regions.get_array()).reshape(-1, 3)
    sure = p.max(1).values > 0.99
    for c, strongest in ((0, 2), (1, 0), (2, 1)):  # blue, red, green
        mine = drawn[(p.argmax(1) == c).numpy() & sure.numpy()]
        assert len(mine) and (mine.argmax(1) == strongest).all()


@pytest.mark.parametrize("points", [START[:-1], [[float("nan"), 0.0]] * 10, "abc"])
def test_other_points_are_refused(points):
    with pytest.raises(ValueError):
        embedding.explorer(points)


def test_what_can_not_be_read_is_said_and_changes_nothing():
    explorer = Explorer(START)
    explorer.typed.value = "1 2; 3"
    assert "Ten pairs of numbers" in explorer.verdict.value and explorer.board.points == START


def test_the_picture_has_a_panel_for_each_comparison():
    figure = embedding.picture()
    assert [ax.get_title() for ax in figure.axes] == list(KINDS)
