"""Execute notebooks from a fresh kernel and store them clean; print seconds and peak memory.

uv run python tests/execute.py notebooks/03a_gradient_based.ipynb ...
uv run --group dev python tests/execute.py --from DRAFT.py     # makes notebooks/DRAFT.ipynb first
"""

import argparse
import re
import time
from collections.abc import Iterable
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook, new_output

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
MEMORY = "import resource as _r; print(_r.getrusage(_r.RUSAGE_SELF).ru_maxrss // 1024)"
PROGRESS = re.compile(r"\d+%\|")
WIDGET = "application/vnd.jupyter.widget-view+json"


def convert(script: Path) -> Path:
    """Make a percent script a notebook of the same name; solutions/NAME.py goes to solutions/."""
    import jupytext

    folder = NOTEBOOKS / "solutions" if script.parent.name == "solutions" else NOTEBOOKS
    path = folder / f"{script.stem}.ipynb"
    nbformat.write(jupytext.read(script), path)
    return path


def execute(path: Path) -> tuple[float, int]:
    """Run the notebook at `path` and overwrite it; seconds taken and peak MB of its kernel."""
    notebook = nbformat.read(path, as_version=4)
    seconds, memory = run(notebook, path.parent)
    clean(notebook)
    nbformat.write(notebook, path)
    return seconds, memory


def run(notebook: NotebookNode, folder: Path) -> tuple[float, int]:
    """Run all cells in `folder`, outputs going into `notebook`; seconds and peak MB."""
    notebook.cells.append(new_code_cell(MEMORY))
    client = NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        store_widget_state=False,
    )
    started = time.perf_counter()
    client.execute()
    seconds = time.perf_counter() - started
    return seconds, int(notebook.cells.pop().outputs[0].text)


def clean(notebook: NotebookNode) -> None:
    """Drop progress bars, live widgets, and what differs from run to run or machine to machine."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
        cell.metadata = {k: v for k, v in cell.metadata.items() if k in ("tags", "jupyter")}
        if cell.cell_type == "code":
            cell.outputs = joined(still(o) for o in cell.outputs if not is_noise(o))


def is_noise(output: NotebookNode) -> bool:
    """Whether an output is a progress bar or went to stderr; other words there are shown here."""
    if output.output_type == "stream" and output.name == "stderr":
        if not PROGRESS.search(output.text):
            print(f"not stored, from stderr: {output.text.strip()}")
        return True
    return bool(PROGRESS.search(output.get("data", {}).get("text/plain", "")))


def joined(outputs: Iterable[NotebookNode]) -> list[NotebookNode]:
    """What was printed in one go as one output, also where a slow machine sent it in parts."""
    found: list[NotebookNode] = []
    for output in outputs:
        if found and output.output_type == found[-1].output_type == "stream":
            found[-1].text += output.text
        else:
            found.append(output)
    return found


def still(output: NotebookNode) -> NotebookNode:
    """A widget needs its kernel: in its place a sentence; any other output as it is."""
    if WIDGET not in output.get("data", {}):
        return output
    return new_output("display_data", {"text/plain": "(Run this cell to use the widget.)"})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path)
    parser.add_argument("--from", dest="scripts", nargs="+", type=Path, default=[])
    arguments = parser.parse_args()
    _, torch_alone = run(new_notebook(cells=[new_code_cell("import torch")]), NOTEBOOKS)
    for path in [*arguments.notebooks, *map(convert, arguments.scripts)]:
        seconds, memory = execute(path)
        print(f"{path.name}: {seconds:.1f} s, {memory - torch_alone} MB beyond `import torch`")
