"""The reader of chapter 06d: a text pasted in the browser is read, and the model writes on."""

import pytest

from course_utils.widgets import reading

TEXT = """Kaikki ihmiset syntyvät vapaina ja tasavertaisina.
Heille on annettu järki ja omatunto.
Jokaisella on oikeus elämään, vapauteen ja turvallisuuteen."""


def test_pasting_reading_and_writing(open_cell):
    cell = "from course_utils.widgets import reading\nreading.Reader()"
    page = open_cell(cell, ".course-reader .reading tr")
    reader = page.locator(".course-reader")
    rows = reader.locator(".reading tr")
    before = rows.all_inner_texts()
    reader.get_by_label("Sentences").fill(TEXT)
    reader.get_by_label("Begin with").fill("jokaisella ")
    reader.get_by_role("button", name="Read and write").click()  # by mouse
    reader.get_by_text("2 sentences read").wait_for()
    shown = rows.all_inner_texts()
    assert shown != before and len(shown) == 6
    python = reading.Reader()
    python.text.value, python.beginning.value = TEXT, "jokaisella "
    python.button.click()
    for step, bits, text in python.found:
        line = next(row for row in shown if row.startswith(f"{step}\t"))
        assert f"{bits:.2f}" in line and "jokaisella " in line and text[:20].strip() in line

    reader.get_by_label("Sentences").fill("人人生而自由\n在尊严和权利上一律平等")
    reader.get_by_role("button", name="Read and write").press("Enter")  # by keyboard
    alert = reader.get_by_role("alert")
    alert.wait_for()
    assert "Latin script only" in alert.inner_text()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("", "two sentences"), ("one line", "two sentences"), ("ДА НЕТ\nНЕТ ДА", "Latin script only")],
)
def test_a_text_that_cannot_be_read_gets_a_sentence(text, sentence):
    with pytest.raises(ValueError, match=sentence):
        reading.readable(text)


def test_reading_lowers_the_bits_of_the_next_sentences():
    reader = reading.Reader()
    bits = [b for _, b, _ in reader.found]
    assert bits[-1] < bits[0] and all(len(t) >= 60 for *_, t in reader.found)
    assert "{" not in repr(reader)
