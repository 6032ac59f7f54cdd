"""Execute notebooks from a fresh kernel and store them clean.

uv run python tests/execute.py notebooks/03a_gradient_based.ipynb ...
"""

import re
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

MEMORY = "import resource as _r; print(_r.getrusage(_r.RUSAGE_SELF).ru_maxrss // 1024)"
PROGRESS = re.compile(r"\d+%\|")


def execute(path: Path) -> tuple[float, int]:
    """Run `path` in its own folder and overwrite it; seconds taken and peak MB of its kernel."""
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(MEMORY))
    client = NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        store_widget_state=False,
    )
    started = time.perf_counter()
    client.execute()
    seconds = time.perf_counter() - started
    memory = int(notebook.cells.pop().outputs[0].text)
    clean(notebook)
    nbformat.write(notebook, path)
    return seconds, memory


def clean(notebook: nbformat.NotebookNode) -> None:
    """Drop progress bars and what differs from machine to machine."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
        cell.metadata = {k: v for k, v in cell.metadata.items() if k in ("tags", "jupyter")}
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not is_progress(output)]


def is_progress(output: nbformat.NotebookNode) -> bool:
    """Whether an output is a progress bar, or a message of the system."""
    if output.output_type == "stream":
        return output.name == "stderr"
    return bool(PROGRESS.search(output.get("data", {}).get("text/plain", "")))


if __name__ == "__main__":
    for name in sys.argv[1:]:
        seconds, memory = execute(Path(name))
        print(f"{name}: {seconds:.1f} s, {memory} MB at most")
