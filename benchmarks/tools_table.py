"""Chapter 07's table: one job in eight tools, their results compared and one step timed.

    uv run --group tensorflow --group peers python benchmarks/tools_table.py

All tools get the same weights and tasks. Results are compared in double precision with those of
PyTorch alone, after one step and after 20; times are medians in single precision, on one core,
the tools taking turns round after round. Trust the ratios.
"""

import json
import os
import statistics
import time
from pathlib import Path

if hasattr(os, "sched_setaffinity"):  # before any library counts the cores
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

import numpy as np
import torch

from course_utils import tools

COMMAND = "uv run --group tensorflow --group peers python benchmarks/tools_table.py"
OUT = Path(__file__).with_suffix(".json")
CHAPTER = Path(__file__).parent.parent / "notebooks" / "07_tools.ipynb"
UPDATES, ROUNDS = 20, 30


def results(tool: str, first_order: bool) -> dict:
    """Losses and meta-gradients of the first step, and the losses at the last of UPDATES."""
    job = tools.sinusoid_job(first_order=first_order)
    step = tools.start(tool, job)
    losses, gradients = step(job.tasks)
    for _ in range(UPDATES - 1):
        last, _ = step(job.tasks)
    return {"losses": losses, "gradients": gradients, "last": last}


def compared(ours: dict, reference: dict) -> dict:
    """What is stored of a tool's results: losses, and largest differences from the reference."""
    pairs = zip(ours["gradients"], reference["gradients"], strict=True)
    norm = np.sqrt(sum((g**2).sum() for g in ours["gradients"]))
    return {
        "losses": [round(float(v), 6) for v in ours["losses"]],
        "gradient norm": round(float(norm), 6),
        "loss difference": float(f"{np.abs(ours['losses'] - reference['losses']).max():.1e}"),
        "gradient difference": float(f"{max(np.abs(a - b).max() for a, b in pairs):.1e}"),
        "last loss difference": float(f"{np.abs(ours['last'] - reference['last']).max():.1e}"),
    }


def times() -> dict[str, dict]:
    """Seconds of each tool's first step, which may trace and compile, and ms of the later ones."""
    job = tools.sinusoid_job(dtype="float32")
    steps, first, later = {}, {}, {}
    for tool in tools.TOOLS:
        steps[tool] = tools.start(tool, job)
        started = time.perf_counter()
        steps[tool](job.tasks)
        first[tool] = time.perf_counter() - started
    later = {tool: [] for tool in steps}
    for _ in range(ROUNDS):
        for tool, step in steps.items():
            step(job.tasks)  # back from the other tools
            started = time.perf_counter()
            step(job.tasks)
            later[tool].append((time.perf_counter() - started) * 1e3)
    return {
        tool: {"ms": round(statistics.median(later[tool]), 2), "first s": round(first[tool], 2)}
        for tool in steps
    }


def trained_in_tensorflow() -> list[tuple[float, float]]:
    """What the chapter's own TensorFlow program reaches, before and after: mean, half width."""
    space = {"np": np, "tools": tools, "job": tools.sinusoid_job()}
    space["tf"] = tools.load("TensorFlow").tf
    for cell in json.loads(CHAPTER.read_text(encoding="utf8"))["cells"]:
        source = "".join(cell["source"])
        if source.startswith("# TensorFlow: the program"):
            exec(source, space)
    return [tuple(round(float(v), 3) for v in space[when]) for when in ("before", "after")]


def main() -> None:
    missing = [tool for tool in tools.TOOLS if not tools.installed(tool)]
    if missing:
        raise SystemExit(f"not installed: {', '.join(missing)}. Run this by\n    {COMMAND}")
    torch.set_num_threads(1)
    rows = {t: {"version": tools.version(t), "lines": tools.lines(t)} for t in tools.TOOLS}
    for order, first in (("second order", False), ("first order", True)):
        reference = results("PyTorch alone", first)
        for tool, row in rows.items():
            row[order] = compared(results(tool, first), reference)
    for tool, measured in times().items():
        rows[tool] |= measured
    table = {
        "command": COMMAND,
        "job": "25 sinusoid tasks, 10 shots, 10 queries, 5 inner steps, MLP 1-40-40-1, Adam",
        "updates": UPDATES,
        "trained in TensorFlow": trained_in_tensorflow(),
        "tools": rows,
    }
    OUT.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", encoding="utf8")
    for tool, row in rows.items():
        print(f"{tool:14} {row['lines']:3} lines {row['ms']:8.2f} ms, first {row['first s']:.2f} s")


if __name__ == "__main__":
    main()
