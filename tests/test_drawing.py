"""Drawings as strokes, text and pictures; what a learner makes of them; the widget's states."""

import base64
import io
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from course_utils.learners import MAML, MetaLearner, ProtoNet
from course_utils.widgets import drawing, pad

PIXELS = ProtoNet(nn.Flatten())
CROSS, DOT = "20 20, 80 80; 80 20, 20 80", "50 50"
RING = ", ".join(
    f"{50 + 30 * np.cos(t):.0f} {50 + 30 * np.sin(t):.0f}" for t in np.linspace(0, 6.2, 20)
)


def shown(widget) -> dict[str, str]:
    """The shares as the rows in sight show them: symbol -> text."""
    values = [row.share.value for row in widget.rows.values() if row.layout.display != "none"]
    return {re.search(r'symbol="(.)"', v)[1]: re.search(r">([^<]*)</b>", v)[1] for v in values}


@pytest.fixture
def widget():
    return drawing.draw_your_own({"pixels": PIXELS, "first": First()})


def draw(widget, text: str) -> None:
    widget.pad.strokes = pad.parse(text)


class First(MetaLearner):
    """Believes in the first class, always."""

    def adapt(self, support_x, support_y):
        ways = support_y.max() + 1
        return lambda x: 50.0 * (torch.arange(ways) == 0).expand(*x.shape[:2], -1)


class Broken(MetaLearner):
    def adapt(self, support_x, support_y):
        raise RuntimeError("no <idea>")


# --- strokes -------------------------------------------------------------------------------------


def test_a_raster_is_the_ink_within_half_a_pen_of_the_strokes():
    strokes = pad.parse("20 30, 80 30; 50 60, 50 90; 20 80")
    image = pad.raster(strokes, 200)
    y, x = (np.mgrid[:200, :200] + 0.5) / 2  # pixel centres in hundredths
    horizontal = np.hypot(x - x.clip(20, 80), y - 30)
    vertical = np.hypot(x - 50, y - y.clip(60, 90))
    distance = np.minimum.reduce([horizontal, vertical, np.hypot(x - 20, y - 80)])
    assert (image[distance < pad.PEN / 2 - 0.6] == 1).all()
    assert (image[distance > pad.PEN / 2 + 0.6] == 0).all()
    assert image.dtype == np.float32 and image.max() == 1 and (pad.raster([], 50) == 0).all()


coordinate = st.integers(0, 1000).map(lambda v: v / 10)
point = st.tuples(coordinate, coordinate).map(list)


@given(st.lists(st.lists(point, min_size=1, max_size=4), max_size=4))
def test_strokes_survive_being_written_and_read(strokes):
    assert pad.parse(pad.written(strokes)) == strokes


@pytest.mark.parametrize(("text", "said"), [
    ("20 20, 80", "'80' should be two numbers"),
    ("20 20 20", "'20 20 20' should be two numbers"),
    ("a b", "'a b' should be two numbers"),
    ("20 20,", "'' should be two numbers"),
    ("20 101", "'20 101' should be numbers from 0 to 100"),
    ("nan 20", "'nan 20' should be numbers from 0 to 100"),
])  # fmt: skip
def test_what_is_no_drawing_is_told(text, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        pad.parse(text)


def test_a_pictures_address_holds_it_black_on_white():
    image = torch.rand(28, 28, generator=torch.Generator().manual_seed(0))
    head, data = pad.data_uri(image).split(",")
    back = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
    assert head == "data:image/png;base64"
    np.testing.assert_allclose(1 - back / 255, image, atol=1 / 255)
    assert Image.open(io.BytesIO(base64.b64decode(pad.data_uri(image, 3).split(",")[1]))).size == (
        84,
        84,
    )


# --- what a learner makes of them ----------------------------------------------------------------


def test_shares_follow_from_adapt_and_predict_with_unequal_shots():
    examples = {
        "A": [pad.character(pad.parse(t)) for t in (CROSS, "25 20, 75 80; 80 25, 20 75")],
        "B": [pad.character(pad.parse(RING))],
    }
    query = pad.character(pad.parse("30 20, 70 80; 80 20, 20 80"))
    centroids = [torch.stack(images).mean(0) for images in examples.values()]
    distances = torch.stack([(query - c).pow(2).sum() for c in centroids])
    expected = (-distances).softmax(0).tolist()
    found = drawing.probabilities(PIXELS, examples, query)
    assert list(found.values()) == pytest.approx(expected, abs=1e-5) and found["A"] > found["B"]


def test_outputs_that_no_symbol_uses_are_left_out_and_too_few_are_told():
    examples = {n: [pad.character(pad.parse(t))] for n, t in (("A", CROSS), ("B", RING))}
    many = MAML(nn.Sequential(nn.Flatten(), nn.Linear(784, 5)), 0.01, 2)
    found = drawing.probabilities(many, examples, examples["B"][0])
    assert list(found) == ["A", "B"] and sum(found.values()) == pytest.approx(1)

    class OneLogit(First):
        def adapt(self, support_x, support_y):
            return lambda x: torch.zeros(1, 1, 1)

    with pytest.raises(ValueError, match="no logits for 2 symbols"):
        drawing.probabilities(OneLogit(), examples, examples["A"][0])


def test_the_map_is_the_plane_of_the_two_largest_variances():
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(9, 6, generator=generator) * torch.tensor([5.0, 3.0, 0.1, 0.1, 0.1, 0.1])
    places, others = drawing.project(x, x[:4])
    np.testing.assert_allclose(places[:4], others, atol=1e-5)
    by_numpy = np.sort(np.linalg.eigvalsh(np.cov(x.numpy().T)))[::-1]
    np.testing.assert_allclose(places.var(0, ddof=1), by_numpy[:2], rtol=1e-4)


def test_each_character_is_stamped_where_the_map_has_it():
    drawings, last = pad.stored()
    examples, query = drawing.as_examples(drawings), pad.character(last)
    found = drawing.probabilities(PIXELS, examples, query)
    figure = drawing.picture(PIXELS)
    ax = figure.axes[-1]
    x = torch.cat([torch.stack(images) for images in examples.values()])
    places, asked = drawing.project(x.flatten(1), query.flatten(1))
    middles = [((a + b) / 2, (c + d) / 2) for a, b, c, d in (i.get_extent() for i in ax.images)]
    np.testing.assert_allclose(middles, np.concatenate([places, asked]), atol=1e-4)
    assert [line.get_alpha() for line in ax.lines] == list(found.values())
    texts = [t.get_text() for t in figure.texts]
    assert all(any(f"{n}  {p:6.1%}" == t for t in texts) for n, p in found.items())


# --- the widget ----------------------------------------------------------------------------------


def test_a_reader_teaches_two_symbols_and_has_a_third_drawing_read(widget):
    assert "nobody has seen" in widget.says.value
    draw(widget, CROSS)
    widget.new.click()
    assert widget.pad.strokes == [] and "second symbol" in widget.says.value
    draw(widget, RING)
    widget.new.click()
    assert shown(widget) == {"A": "", "B": ""}
    draw(widget, "30 20, 70 80; 80 20, 20 80")
    found = drawing.probabilities(
        PIXELS,
        {n: [pad.character(pad.parse(t))] for n, t in (("A", CROSS), ("B", RING))},
        pad.character(widget.pad.strokes),
    )
    assert shown(widget) == {n: f"{p:.1%}" for n, p in found.items()}
    assert "It reads <b>A</b>" in widget.says.value
    widget.which.value = "first"
    assert shown(widget) == {"A": "100.0%", "B": "0.0%"}


def test_a_letter_is_free_again_when_its_last_example_is_forgotten(widget):
    for text in (CROSS, RING, DOT):
        draw(widget, text)
        widget.new.click()
    widget.rows["B"].forget.click()
    assert list(widget.examples) == ["A", "C"]
    draw(widget, RING)
    widget.new.click()
    assert list(widget.examples) == ["A", "B", "C"]
    assert torch.equal(widget.examples["B"][0], pad.character(pad.parse(RING)))


def test_no_more_symbols_and_examples_than_fit(widget):
    for number in range(drawing.MOST_SYMBOLS):
        draw(widget, f"10 10, 90 {9 * number}")
        widget.new.click()
    draw(widget, RING)
    assert widget.new.disabled and list(widget.examples) == list("ABCDEFGHIJ")
    for _ in range(drawing.MOST_EXAMPLES + 2):
        draw(widget, RING)
        widget.learn("C")
    assert len(widget.examples["C"]) == drawing.MOST_EXAMPLES
    assert widget.rows["C"].learn.disabled and not widget.rows["D"].learn.disabled
    assert len(shown(widget)) == 10


def test_buttons_and_number_field(widget):
    widget.new.click()
    assert "First draw something" in widget.says.value and widget.examples == {}
    widget.typed.value = CROSS
    assert widget.pad.strokes == pad.parse(CROSS)
    widget.undo.click()
    assert widget.pad.strokes == pad.parse("20 20, 80 80") and widget.typed.value == "20 20, 80 80"
    widget.typed.value = "20 20, x"
    assert "'x' should be two numbers" in widget.says.value and len(widget.pad.strokes) == 1
    widget.clear.click()
    assert widget.pad.strokes == [] and widget.typed.value == ""
    widget.undo.click()
    widget.fill.click()
    drawings, last = pad.stored()
    assert list(shown(widget)) == list(drawings) and widget.pad.strokes == last
    widget.restart.click()
    assert shown(widget) == {} and widget.examples == {} and widget.pad.strokes == []


def test_the_map_follows_the_pen(widget):
    widget.fill.click()
    before = widget.map.value
    widget.pad.strokes = [*widget.pad.strokes, [[10.0, 10.0], [90.0, 90.0]]]
    assert before != widget.map.value and bytes(widget.map.value).startswith(b"\x89PNG")


def test_a_learner_in_trouble_says_so_and_drawing_goes_on():
    widget = drawing.draw_your_own({"broken": Broken()})
    draw(widget, CROSS)
    widget.new.click()
    draw(widget, RING)
    assert "broken: no &lt;idea&gt;" in widget.says.value
    widget.new.click()
    assert list(widget.examples) == ["A", "B"]


@pytest.mark.parametrize("text", [DOT, "0 0, 0 0", "0 0, 100 100", "1 1; 2 2; 99 99"])
def test_dots_and_equal_drawings_never_break_it(widget, text):
    for _ in range(4):
        draw(widget, text)
        widget.learn("A")
    draw(widget, text)
    assert shown(widget) == {"A": "100.0%"}
