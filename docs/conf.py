"""The course as a website, readable without Python: figures, still widgets, quizzes, search.

uv run --only-group site sphinx-build -W docs build/site
"""

import json
import re
import shutil
from pathlib import Path

HERE = Path(__file__).parent
NOTEBOOKS = HERE.parent / "notebooks"
PAGES = HERE / "notebooks"  # a copy: Sphinx takes no page from outside its own folder
WIDGET = "(Run this cell to use the widget.)"
STILL = "(In JupyterLab this is a widget.)"

project = "Meta-learning 元学习"
extensions = ["myst_nb", "sphinx-mathjax-offline"]  # the second brings MathJax along
nb_execution_mode = "off"  # the notebooks are committed with their outputs
myst_enable_extensions = ["amsmath", "dollarmath"]
html_theme = "furo"
html_title = project
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = html_show_copyright = html_show_sphinx = False


def page(path: Path) -> str:
    """A notebook as a page: its number in the title, without the cell that finds course_utils."""
    notebook = json.loads(path.read_text(encoding="utf8").replace(WIDGET, STILL))
    number, title = path.stem.partition("_")[0], notebook["cells"][0]
    title["source"] = re.sub("^# ", f"# {number} ", "".join(title["source"]))
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            if lines := output.get("data", {}).get("text/html"):  # a cell's own links
                lines = re.sub(r'(href="\w+)\.ipynb', r"\1.html", "".join(lines))
                output["data"]["text/html"] = lines
    first = next(cell for cell in notebook["cells"] if cell["cell_type"] == "code")
    first["metadata"]["tags"] = ["remove-cell"]
    return json.dumps(notebook)


shutil.rmtree(PAGES, ignore_errors=True)
(PAGES / "solutions").mkdir(parents=True)
for path in [*NOTEBOOKS.glob("*.ipynb"), *NOTEBOOKS.glob("solutions/*.ipynb")]:
    (PAGES / path.relative_to(NOTEBOOKS)).write_text(page(path), encoding="utf8")
