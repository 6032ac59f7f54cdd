"""One job in many tools: the same meta-gradient, of second-order MAML on sinusoids.

Each file here does the job in one library and holds one function, start(job). It returns
step(tasks) -> losses (T,) and meta-gradients, which also moves the weights on by Adam. A file
imports its library, so it is loaded by name, and only where the library is there.
"""

import ast
import importlib
import importlib.metadata
import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from course_utils.tools.job import Job, as_numpy, sinusoid_job

__all__ = ["TOOLS", "Job", "installed", "lines", "load", "sinusoid_job", "source", "start"]

TOOLS = {  # name -> file here, what is imported, what installs it
    "PyTorch alone": ("pytorch", "torch", "uv sync"),
    "torch.func": ("torch_func", "torch", "uv sync"),
    "course_utils": ("course", "torch", "uv sync"),
    "learn2learn": ("learn2learn", "learn2learn", "uv sync --group learn2learn"),
    "TensorFlow": ("tensorflow", "tensorflow", "uv sync --group tensorflow"),
    "higher": ("higher", "higher", "uv sync --group peers"),
    "TorchOpt": ("torchopt", "torchopt", "uv sync --group peers"),
    "JAX": ("jax", "jax", "uv sync --group peers"),
}


def installed(tool: str) -> bool:
    """Whether the library that `tool` needs is here; nothing is imported."""
    return importlib.util.find_spec(TOOLS[tool][1]) is not None


def load(tool: str) -> ModuleType:
    """The file that does the job with `tool`; ImportError, saying what to run, without it."""
    if not installed(tool):
        raise ImportError(f"{tool} is not installed: run `{TOOLS[tool][2]}`")
    return importlib.import_module(f"course_utils.tools.{TOOLS[tool][0]}")


def version(tool: str) -> str:
    """The installed version of what `tool` imports."""
    names = importlib.metadata.packages_distributions()[TOOLS[tool][1]]
    return importlib.metadata.version(names[0])


def start(tool: str, job: Job) -> Callable:
    """`tool`'s step(tasks) -> losses (T,), meta-gradients: one per weight, as numpy arrays."""
    step = load(tool).start(job)

    def in_numpy(tasks):
        losses, gradients = step(tasks)
        return as_numpy(losses), [as_numpy(g) for g in gradients]

    return in_numpy


def source(tool: str, *functions: str) -> str:
    """The code of some functions in `tool`'s file, or the whole file; the library isn't needed."""
    spec = importlib.util.find_spec(f"course_utils.tools.{TOOLS[tool][0]}")
    text = Path(spec.origin).read_text(encoding="utf8")
    if not functions:
        return text
    found = {n.name: n for n in ast.parse(text).body if isinstance(n, ast.FunctionDef)}
    return "\n\n\n".join(ast.get_source_segment(text, found[name]) for name in functions)


def lines(tool: str) -> int:
    """Lines of code in `tool`'s file."""
    return lines_of_code(source(tool))


def lines_of_code(source: str) -> int:
    """Lines of `source` that are not blank, a comment, an import or a docstring."""
    left_out = {
        number
        for node in ast.walk(ast.parse(source))
        if isinstance(node, (ast.Import, ast.ImportFrom)) or is_text(node)
        for number in range(node.lineno, node.end_lineno + 1)
    }
    written = enumerate(source.split("\n"), start=1)
    return sum(n not in left_out and line.strip()[:1] not in ("", "#") for n, line in written)


def is_text(node: ast.AST) -> bool:
    """Whether a statement is nothing but a string: a docstring."""
    return isinstance(node, ast.Expr) and isinstance(getattr(node.value, "value", None), str)
