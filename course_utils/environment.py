"""Where the data lies, and whether this machine has what the course needs."""

import hashlib
import importlib
import importlib.metadata
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
INSTALL = "in the course's folder run `uv sync`, or `pip install .`"


def data_path(*parts: str) -> Path:
    """The path of something in data/, in a checkout as in an installed package.

    Raises FileNotFoundError if it is not there.
    """
    for root in (HERE.parent / "data", HERE / "data"):
        if (root / "SHA256SUMS").exists():
            path = root.joinpath(*parts)
            if not path.exists():
                raise FileNotFoundError(f"{path} is missing: get the course anew, data/ included")
            return path
    raise FileNotFoundError("the course's folder data/ is missing: get the course anew")


def table(name: str) -> dict:
    """A table of results from benchmarks/, by the name of the script that made it."""
    for root in (HERE.parent / "benchmarks", HERE / "benchmarks"):
        if (root / f"{name}.json").exists():
            return json.loads((root / f"{name}.json").read_text(encoding="utf8"))
    raise FileNotFoundError(f"benchmarks/{name}.json is missing: run benchmarks/{name}.py")


def report() -> str:
    """A line for each thing: OK, DO and what to do, or -- if the course works without it."""
    mark = {True: "OK ", False: "DO ", None: "-- "}
    return "\n".join(f"{mark[fine]} {text}" for fine, text in _findings())


def _findings() -> Iterator[tuple[bool | None, str]]:
    version = ".".join(map(str, sys.version_info[:3]))
    fine = (3, 11) <= sys.version_info < (3, 14)
    yield fine, f"Python {version}" + ("" if fine else ": install Python 3.11, 3.12 or 3.13")
    yield from _torch()
    for name, why in (
        ("jupyterlab", "the notebooks open in it"),
        ("ipywidgets", "sliders and buttons"),
        ("anywidget", "drawing and dragging"),
        ("jupyterquiz", "the quizzes"),
    ):
        yield _package(name, why, INSTALL)
    yield _labextension()
    for name, why, advice in (
        ("learn2learn", "compared with in chapters 05 and 07", "`uv sync` with a C compiler"),
        ("gymnasium", "the robot of chapter 06b", "`uv sync` or `pip install gymnasium[mujoco]`"),
        ("rdkit", "draws the molecules of chapter 06c", "`uv sync` or `pip install rdkit`"),
    ):
        fine, text = _package(name, why, f"all else works without; to have it, {advice}")
        yield fine or None, text
    yield from _data()


def _package(name: str, why: str, advice: str) -> tuple[bool, str]:
    try:
        return True, f"{name} {importlib.metadata.version(name)} ({why})"
    except importlib.metadata.PackageNotFoundError:
        return False, f"{name} is not installed ({why}): {advice}"


def _labextension() -> tuple[bool, str]:
    try:
        from jupyter_core.paths import jupyter_path
    except ImportError:  # then JupyterLab is missing too
        return False, f"JupyterLab can't show widgets: {INSTALL}"
    folders = [Path(folder, "@jupyter-widgets") for folder in jupyter_path("labextensions")]
    if any((folder / "jupyterlab-manager").exists() for folder in folders):
        return True, "JupyterLab shows widgets"
    return False, "JupyterLab can't show widgets: reinstall the package jupyterlab-widgets"


def _torch() -> Iterator[tuple[bool, str]]:
    try:
        torch = importlib.import_module("torch")
    except (ImportError, OSError) as error:  # OSError: one of its libraries does not load
        yield False, f"torch can't be imported ({error}): {INSTALL}"
        return
    if torch.cuda.is_available():
        device = torch.cuda.get_device_name()
    elif torch.backends.mps.is_available():
        device = "CPU (Apple's GPU on request: device='mps')"
    else:
        device = "CPU"
    yield True, f"torch {torch.__version__} on {device}, {torch.get_num_threads()} threads"


def _data() -> Iterator[tuple[bool, str]]:
    try:
        sums = data_path("SHA256SUMS")
    except FileNotFoundError as error:
        yield False, str(error)
        return
    try:
        lines = sums.read_text(encoding="utf8", errors="replace").splitlines()
    except OSError as error:
        yield False, f"data/SHA256SUMS can't be read ({error.strerror}): get the course anew"
        return
    found = [re.fullmatch(r"([0-9a-f]{64})  (.+)", line) for line in lines]
    if not all(found) or not found:
        yield False, "data/SHA256SUMS is damaged: get the course anew"
    right = Counter()
    for expected, name in (match.groups() for match in found if match):
        if fault := _fault(sums.parent / name, expected):
            yield False, f"data/{name} {fault}: get the course anew"
        else:
            right[name.partition("/")[0]] += 1
    for folder, files in right.items():
        yield True, f"data/{folder}: {files} files, checksums right"


def _fault(path: Path, expected: str) -> str | None:
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"can't be read ({error.strerror})"
    return None if found == expected else "has changed or is damaged"
