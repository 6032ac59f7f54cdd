"""What an outer step costs, for chapter 08: writes benchmarks/trends_cost.json.

    uv run python benchmarks/trends_cost.py              # both parts; run it on a quiet machine
    uv run python benchmarks/trends_cost.py scaling      # one of them

cost: milliseconds and peak memory of one outer step on sinusoids (25 tasks, 40 shots, 40 queries,
a network with two hidden layers), over the number of inner steps and over the network's width.
Times are medians of interleaved rounds on one thread; memory is what torch's allocator had given
out at most, beyond what lay there before. scaling: the same run on one and on two processes of one
thread each, through torchrun.
"""

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from course_utils.learners import ANIL, FOMAML, MAML, ImplicitMAML, RecomputingMAML, Reptile
from course_utils.networks import MLP
from course_utils.tasks import Sinusoids
from course_utils.training import compiled_step

OUT = Path(__file__).with_suffix(".json")
COMMAND = "uv run python benchmarks/trends_cost.py"
KINDS = (MAML, RecomputingMAML, FOMAML, ANIL, ImplicitMAML, Reptile)
STEPS, WIDTHS = (1, 2, 5, 10, 20), (20, 40, 80, 160, 320)
TASKS = Sinusoids(shots=40, queries=40)


def cost(rounds: int) -> dict:
    torch.set_num_threads(1)
    settings = [(steps, 40) for steps in STEPS] + [(5, width) for width in WIDTHS if width != 40]
    rows = []
    for steps, width in settings:
        network = MLP(1, width, width, 1)
        ways = {kind.__name__: stepper(kind(network, 0.01, steps)) for kind in KINDS}
        memory = {name: peak_megabytes(step) for name, step in ways.items()}
        compile_seconds = None
        if (steps, width) in ((5, 40), (5, 160)):
            started = time.perf_counter()
            ways["MAML, compiled"] = stepper(MAML(network, 0.01, steps), compiled=True)
            ways["MAML, compiled"]()
            compile_seconds = round(time.perf_counter() - started, 1)
        times = interleaved(ways, rounds)
        rows.append(
            {
                "steps": steps,
                "width": width,
                "milliseconds": {name: round(ms, 2) for name, ms in times.items()},
                "megabytes": {name: round(mb, 2) for name, mb in memory.items()},
                "compile_seconds": compile_seconds,
            }
        )
        print(rows[-1], flush=True)
    return {"rows": rows}


def stepper(learner, compiled: bool = False):
    """One outer step on tasks that stay the same, as a function."""
    optimizer = torch.optim.SGD(learner.parameters(), lr=0.0)
    step = compiled_step(learner) if compiled else learner.outer_step
    tasks = TASKS.sample(25, torch.Generator().manual_seed(0))
    return lambda: step(tasks, optimizer)


def interleaved(ways: dict, rounds: int) -> dict[str, float]:
    """Median milliseconds, every way in turn, round after round."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, step in ways.items():
            started = time.perf_counter()
            step()
            times[name].append(1e3 * (time.perf_counter() - started))
    return {name: statistics.median(values) for name, values in times.items()}


def peak_megabytes(step) -> float:
    """The most memory that torch had given out at any moment of `step`, by its own record."""
    step()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        step()
    events = [e for e in record.profiler.kineto_results.events() if e.name() == "[memory]"]
    now = most = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    return most / 2**20


JOBS = {  # what is trained on one and on two processes
    "small network: MAML, MLP 1-40-40-1, 24 tasks": (
        "MAML(MLP(1, 40, 40, 1), inner_steps=5)", "Sinusoids()", 24, 300,
    ),
    "wide network: MAML, MLP 1-400-400-1, 24 tasks": (
        "MAML(MLP(1, 400, 400, 1), inner_steps=5)", "Sinusoids()", 24, 30,
    ),
    "images: MAML, Conv4 of 32 filters, 8 tasks": (
        "MAML(Conv4(5, filters=32), inner_lr=0.1)", 'Characters("train", 5, 1, 15)', 8, 20,
    ),
}  # fmt: skip


def scaling(rounds: int) -> dict:
    found = {}
    for name, (learner, tasks, tasks_per_update, updates) in JOBS.items():
        command = ["-m", "course_utils.training", learner, tasks, "--updates", str(updates)]
        command += ["--tasks-per-update", str(tasks_per_update)]
        two = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        milliseconds: dict[str, list[float]] = {"1": [], "2": []}
        for _ in range(max(1, rounds // 10)):
            for processes, launcher in (("1", []), ("2", two)):
                milliseconds[processes].append(1e3 * seconds([*launcher, *command]) / updates)
        median = {k: round(statistics.median(v), 2) for k, v in milliseconds.items()}
        weights = sum(p.numel() for p in written_parameters(learner))
        found[name] = {"milliseconds": median, "weights": weights}
        print(name, found[name], flush=True)
    return {"jobs": found}


def written_parameters(learner: str):
    from course_utils.command_line import written

    return written(learner).parameters()


def seconds(command: list[str]) -> float:
    """What the run itself took, by its own word: without the start."""
    said = subprocess.run(
        [sys.executable, *command],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return float(re.search(r"in ([\d.]+) s", said)[1])


PARTS = {"cost": cost, "scaling": scaling}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="both if left out")
    parser.add_argument("--rounds", type=int, default=50)
    arguments = parser.parse_args()
    for name in arguments.parts or PARTS:
        row = PARTS[name](arguments.rounds)
        table = json.loads(OUT.read_text(encoding="utf8")) if OUT.exists() else {}
        machine = f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}"
        table |= {"command": COMMAND, "machine": machine, name: row}
        OUT.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", encoding="utf8")


if __name__ == "__main__":
    main()
