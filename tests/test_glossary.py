"""The glossary covers the Chinese terms of all chapters, and points where a term is explained."""

import re
from pathlib import Path

import nbformat
import pytest

from course_utils import glossary

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
# the primer's headings and steps, which are no terms
HEADINGS = {
    *("定义元学习器", "定义任务集", "训练元学习器", "更新元学习器"),
    *("定义度量", "训练度量", "使用度量进行分类"),
}


def prose(path):
    cells = nbformat.read(path, 4).cells
    return re.sub(r"\s+", " ", " ".join(c.source for c in cells if c.cell_type == "markdown"))


def code_and_prose(path):
    return re.sub(r"\s+", " ", " ".join(c.source for c in nbformat.read(path, 4).cells))


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("0[0-8]*.ipynb")), ids=lambda p: p.stem)
def test_every_chinese_term_of_a_chapter_is_in_it(path):
    known = {e["chinese"] for e in glossary.entries()} | HEADINGS
    said = re.findall(r"[(（,，] ?([\u4e00-\u9fff]+)[)）]", prose(path))
    assert [term for term in said if term not in known] == []


@pytest.mark.parametrize("entry", glossary.entries(), ids=lambda e: e["term"])
def test_an_entry_points_to_a_chapter_that_has_the_term(entry):
    path = NOTEBOOKS / f"{glossary.CHAPTERS.get(entry['chapter'], 'to come')}.ipynb"
    assert re.search(r"[\u4e00-\u9fff]|^[\w²-]+$", entry["chinese"]) and entry["means"][-1] == "."
    if path.exists():
        assert entry.get("found", entry["term"]).lower() in code_and_prose(path).lower()


def test_terms_are_sorted_and_none_is_twice():
    terms = [e["term"].lower() for e in glossary.entries()]
    assert terms == sorted(terms) and len(set(terms)) == len(terms) > 70


def test_it_is_searched_in_both_languages():
    assert [e["term"] for e in glossary.entries("支持集")] == ["support set"]
    assert "support set" in glossary.glossary("SUPPORT SET").data
    assert "01_background.ipynb" in glossary.glossary("支持集").data
    with pytest.raises(ValueError, match="no entry contains 'xyzzy'"):
        glossary.glossary("xyzzy")
