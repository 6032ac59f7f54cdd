"""Links lead somewhere, what is cited stands in "To read" and the other way round, one notation.

All offline, from the notebooks' text; each rule is tested on a bad notebook too.
"""

import itertools
import re
from collections import defaultdict
from pathlib import Path
from urllib.parse import unquote

import nbformat
import pytest

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "notebooks"
NOTEBOOKS = sorted([*FOLDER.glob("*.ipynb"), *FOLDER.glob("solutions/*.ipynb")])
CHAPTERS = re.compile(r"0[0-25789]|03[ab]|04|06[a-d]?")
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)\s]+)\)")
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.S)
NAME = r"[A-ZÀ-Ý][\w’'-]*[a-zà-ÿ][\w’'-]*"
CITED = re.compile(rf"\b({NAME})(?: et al\.?| (?:and|&) {NAME})?(?:’s|'s)?,? \(?((?:19|20)\d\d)\b")
NO_AUTHOR = re.compile(
    r"In|Since|Until|By|From|After|Of|[JFMASOND][a-z]+(?:ary|ber|il|st)|May|Ju\w+"
)
# symbols that the course's table of notation has otherwise
OTHER_SYMBOLS = {
    r"\\mathcal\{?L\}?|ℒ": "a loss is L, of task i L_i",
    r"\\eta\b|η": "learning rates are α, inner, and β, outer",
    r"\\phi_i\b|φ_i": "adapted weights are θ_i",
    r"\b[nk]-(?:way|shot)\b": "N-way K-shot",
}


def text_of(path):
    """A notebook's Markdown, without code."""
    cells = nbformat.read(path, 4).cells
    return CODE.sub("", "\n\n".join(c.source for c in cells if c.cell_type == "markdown"))


def sources(path):
    """The code of a notebook, where an author may be named too."""
    return "\n".join(c.source for c in nbformat.read(path, 4).cells if c.cell_type == "code")


def parts(text):
    """(all but the reading list, the entries of the reading list)."""
    before, _, rest = text.partition("\n## To read")
    reading, _, after = rest.partition("\n## ")
    entries = [" ".join(e.split()) for e in re.split(r"^- ", reading, flags=re.M)[1:]]
    return before + after, entries


def anchors(text):
    """What Jupyter calls the headings of a page."""
    return {h.strip().replace(" ", "-") for h in re.findall(r"^#+ (.*)$", text, re.M)}


# --- the rules: each yields what is wrong --------------------------------------------------------


def links(path, text):
    for label, target in LINK.findall(text):
        file, _, anchor = unquote(target).partition("#")
        if re.match(r"\w+:", file):
            if not file.startswith("https://"):
                yield f"{target} is not by https"
            identifier = re.fullmatch(r"arXiv:(\S+)", label)
            if identifier and not file.endswith("/" + identifier[1]):
                yield f"{label} leads to {target}"
            continue
        there = path.parent / file if file else path
        if there.suffix != ".ipynb" or FOLDER not in [*there.resolve().parents, path.parent]:
            yield f"{target} is no notebook: name the file, for the website has only those"
        elif not there.exists():
            yield f"{target} does not exist"
        elif anchor and anchor not in anchors(text if there == path else text_of(there)):
            yield f"{target}: there is no such heading"


def headings(path, text):
    levels = [len(marks) for marks in re.findall(r"^(#+) ", text, re.M)]
    if levels.count(1) != 1 or levels[0] != 1:
        yield f"has {levels.count(1)} titles"
    if any(b > a + 1 for a, b in itertools.pairwise(levels)):
        yield "a heading skips a level"
    found = re.findall(r"^#+ (.*)$", text, re.M)
    yield from (f"two headings are called {h!r}" for h in {h for h in found if found.count(h) > 1})


def cited(path, text):
    prose, entries = parts(text)
    if path.parent.name == "solutions":  # the list is the chapter's
        entries = parts(text_of(FOLDER / path.name))[1]
    for author, year in dict.fromkeys(CITED.findall(" ".join(LINK.sub(r"\1", prose).split()))):
        known = any(re.search(rf"\b{author}\b", e) and f"({year})" in e for e in entries)
        if not known and not NO_AUTHOR.fullmatch(author):
            yield f"{author} {year} is cited and not in To read"


def read(path, text):
    """An entry of To read is named in the chapter, its code included, or says what it is for."""
    prose, entries = parts(text)
    prose += sources(path)
    for entry in entries:
        match = re.match(r"(.*?) \(((?:19|20)\d\d)\)\. (.+?[.?!]\*?) (.*)", entry)
        if not match:
            yield f"not of the form 'Authors (year). Title. Where.': {entry[:60]}"
            continue
        names = [*re.findall(NAME, match[1]), match[3].split(":")[0].strip("*")]
        note = re.search(r"[A-Za-z]{3}", after_source(match[4]))
        if not any(re.search(rf"\b{re.escape(name)}\b", prose) for name in names) and not note:
            yield f"{names[0]} ({match[2]}) is neither cited nor said what to read it for"


def after_source(text):
    """What follows journal, pages and address in an entry: its note."""
    return re.split(r"\d{4}\.\d{4,5}(?:\]\(\S+\))?\.|\d+[–-]\d+\.|https?://\S+", text)[-1].strip(
        " *"
    )


def notation(path, text):
    for pattern, right in OTHER_SYMBOLS.items():
        if found := re.search(pattern, text):
            yield f"{found[0]!r}: {right}"


def chapters_named(path, text):
    for number in re.findall(r"\bchapters? (\d\d[a-d]?)\b", text, re.I):
        if not CHAPTERS.fullmatch(number):
            yield f"there is no chapter {number}"


RULES = (links, headings, cited, read, notation, chapters_named)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_references(path, rule):
    assert list(rule(path, text_of(path))) == []


def disagreements(entries):
    """Papers, by arXiv number, of which two chapters give another first author, year or title."""
    said = defaultdict(set)
    for entry in entries:
        match = re.match(rf".*?({NAME}).*? \((\d{{4}})\)\. (.+?)[.?]", entry)
        numbers = set(re.findall(r"arXiv:(\d{4}\.\d{4,5})", entry)) if match else ()
        for number in numbers:
            said[number].add((match[1], match[2], match[3].strip("* ").lower()))
    return {number: versions for number, versions in said.items() if len(versions) > 1}


def test_chapters_agree_on_a_paper():
    assert disagreements(e for path in NOTEBOOKS for e in parts(text_of(path))[1]) == {}


# --- a check that can't fail is none -------------------------------------------------------------

LIST = "\n## To read\n\n- Finn, C., Abbeel, P. (2017). *MAML.* ICML. arXiv:1703.03400.\n"
BAD = {
    "does not exist": (links, "[a](99_nowhere.ipynb)"),
    "no such heading": (links, "# A title\n[a](#Another-title)"),
    "not by https": (links, "[a](http://somewhere.org)"),
    "is no notebook": (links, "[a](../README.md)"),
    "arXiv:1703.03400 leads to": (links, "[arXiv:1703.03400](https://arxiv.org/abs/1703.03401)"),
    "has 2 titles": (headings, "# A\n# B"),
    "skips a level": (headings, "# A\n### B"),
    "two headings are called": (headings, "# A\n## B\n## B"),
    "Snell 2017 is cited": (cited, f"as Snell et al. (2017) did{LIST}"),
    "Finn 2018 is cited": (cited, f"(Finn et al. 2018){LIST}"),
    "Thrun 1998 is cited": (cited, f"Thrun & Pratt 1998{LIST}"),
    "neither cited nor said": (read, f"nobody{LIST}"),
    "not of the form": (read, "a\n## To read\n\n- Finn: MAML, 2017\n"),
    "a loss is L": (notation, r"$\mathcal{L}_i$"),
    "N-way K-shot": (notation, "a 5-way task is n-way"),
    "no chapter 11": (chapters_named, "see chapter 11"),
}


@pytest.mark.parametrize("complaint", BAD)
def test_a_bad_reference_is_caught(complaint):
    rule, text = BAD[complaint]
    assert any(complaint in found for found in rule(FOLDER / "00_start_here.ipynb", text))


def test_good_references_are_not():
    text = f"# A title\n## Part\n[x](#Part) as Finn et al. (2017) say in chapter 03a.{LIST}"
    for rule in RULES:
        assert list(rule(FOLDER / "00_start_here.ipynb", text)) == [], rule


def test_a_disagreement_is_caught():
    one, *_ = parts(LIST)[1]
    assert disagreements([one, one]) == {}
    assert list(disagreements([one, one.replace("2017", "2018", 1)])) == ["1703.03400"]
