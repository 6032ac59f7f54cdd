"""The student edition: every chapter without its outputs, and no solutions."""

import contextlib
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbformat import NotebookNode

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
PROMISES = (  # of solutions that a class has to do without
    re.compile(r"(?<![^\s])[^.`\n]*`solutions/[^`]*`\.[ ]?"),
    re.compile(r"; the last is the solution(?=\.)"),
    re.compile(r", the solution last(?=\.)"),
)
README = """# Meta-learning: a course to run, poke and be tested by

Open `notebooks/00_start_here.ipynb` in JupyterLab. The notebooks need the course's package: your
class's server has it; on a computer of your own, install the course as its README says, then run
`jupyter lab` in this folder.
"""


def write(out: Path) -> str:
    """Write the student edition to `out`; what to do next.

    Raises FileExistsError if `out` is not empty, FileNotFoundError without the chapters.
    """
    with new_folder(out) as folder:
        (folder / "README.md").write_text(README, encoding="utf8")
        (folder / "notebooks").mkdir()
        for path in chapters():
            nbformat.write(handed_out(read(path)), folder / "notebooks" / path.name)
    return f"{out} holds what to hand out: README.md and notebooks/, without solutions and outputs."


def handed_out(notebook: NotebookNode) -> NotebookNode:
    """The chapter with nothing run, and nothing said of where the solutions are."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        else:
            cell.source = without_promises(cell.source)
    return notebook


def without_promises(text: str) -> str:
    """`text` without the sentences that send a reader to the solutions."""
    for promise in PROMISES:
        text = promise.sub("", text)
    return text.strip()


def chapters() -> list[Path]:
    """The chapters' notebooks in reading order; FileNotFoundError where they are not."""
    found = sorted(NOTEBOOKS.glob("*.ipynb"))
    if not found:
        raise FileNotFoundError(
            f"there are no chapters in {NOTEBOOKS}: run this in a checkout of the course,"
            " installed by `uv sync` or `pip install -e .`"
        )
    return found


def read(path: Path) -> NotebookNode:
    """The notebook at `path`."""
    return nbformat.read(path, as_version=4)


@contextlib.contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder to fill, which becomes `out` when the block ends well; else nothing is left of it.

    Raises FileExistsError if `out` is not a new or an empty folder.
    """
    if out.is_dir() and any(out.iterdir()):
        raise FileExistsError(f"{out} is not empty: name a new or an empty folder")
    if out.exists() and not out.is_dir():
        raise FileExistsError(f"{out} is a file: name a new or an empty folder")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".course-", dir=out.parent) as temporary:
        folder = Path(temporary, "edition")
        folder.mkdir()
        yield folder
        if out.exists():
            out.rmdir()
        folder.rename(out)
