"""The terms of the course, in English and Chinese, each with the chapter that explains it."""

import html
import json
from pathlib import Path

from IPython.display import HTML

HERE = Path(__file__).parent
LEFT = 'style="text-align:left"'
CHAPTERS = {
    "00": "00_start_here",
    "01": "01_background",
    "02": "02_core_concepts",
    "03a": "03a_gradient_based",
    "03b": "03b_metric_based",
    "04": "04_mathematics",
    "05": "05_practice",
    "06a": "06a_few_shot_images",
    "06b": "06b_robot_control",
    "06c": "06c_drug_discovery",
    "06d": "06d_new_languages",
    "07": "07_tools",
    "08": "08_trends_and_challenges",
}


def entries(containing: str = "") -> list[dict[str, str]]:
    """The entries in which a text occurs, in any language: term, chinese, means, chapter."""
    everything = json.loads((HERE / "glossary.json").read_text(encoding="utf8"))
    wanted = containing.lower()
    return [e for e in everything if any(wanted in value.lower() for value in e.values())]


def glossary(containing: str = "") -> HTML:
    """The entries in which a text occurs, or all, as a table with links to the chapters.

    Raises ValueError if there are none.
    """
    found = entries(containing)
    if not found:
        raise ValueError(f"no entry contains {containing!r}; glossary() shows them all")
    head = "".join(f"<th {LEFT}>{name}</th>" for name in ("term", "中文", "means", "chapter"))
    return HTML(f"<table><tr>{head}</tr>{''.join(map(row, found))}</table>")


def row(entry: dict[str, str]) -> str:
    """One entry as a row of an HTML table."""
    number = entry["chapter"]
    link = f'<a href="{CHAPTERS[number]}.ipynb">{number}</a>' if number in CHAPTERS else number
    texts = (html.escape(entry[key]) for key in ("term", "chinese", "means"))
    return f"<tr>{''.join(f'<td {LEFT}>{text}</td>' for text in texts)}<td {LEFT}>{link}</td></tr>"
