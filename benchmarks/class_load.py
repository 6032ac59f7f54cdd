"""A class at work on one server: all learners go through chapter 03a at once, on the real hub.

    uv run --group classroom python benchmarks/class_load.py       # as many as fit, up to 20
    uv run --group classroom python benchmarks/class_load.py --learners 2

On a machine that systemd boots inside this one, with the configuration of classroom/, so it takes
what the class's tests take (CONTRIBUTING.md, "Tests"). Every learner signs in, starts a server and
runs all cells of chapter 03a from the top, in three settings of the threads that torch may use.
Memory is what a learner's processes hold for themselves, at its highest; seconds count from the
moment when all sign in. Writes benchmarks/class_load.txt.
"""

import argparse
import importlib.util
import os
import platform
import statistics
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OUT = Path(__file__).with_suffix(".txt")
CHAPTER = "03a_gradient_based.ipynb"
WIDGET = "application/vnd.jupyter.widget-view+json"
MOST = 20  # learners
RESERVE = 2.0  # GB that the system and the hub keep
THREADS = {  # what c.Spawner.environment says of threads
    "as shipped: one thread each": {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"},
    "a thread for each core, waiting asleep": {"OMP_WAIT_POLICY": "PASSIVE"},
    "torch's own: a thread for each core": {},
}
MILESTONES = ("server", "picture", "widget", "end")

if importlib.util.find_spec("jupyterhub") is None:
    command = ["uv", "run", "--group", "classroom", "python", *sys.argv]
    os.execvp(command[0], command)

sys.path.insert(0, str(ROOT / "tests" / "classroom"))
import hub  # noqa: E402
import machine  # noqa: E402
import nbformat  # noqa: E402
from learner import Learner  # noqa: E402


def attend(learner: Learner, password: str, start: threading.Barrier) -> dict:
    """Sign in and run the chapter; seconds to each milestone, and what went wrong."""
    seen, failures = {}, []
    start.wait()
    began = time.monotonic()

    def reached(milestone: str) -> None:
        seen.setdefault(milestone, time.monotonic() - began)

    try:
        if refused := learner.sign_in(password):
            raise RuntimeError(refused)
        learner.start(seconds=600)
        reached("server")
        kernel = learner.kernel("notebooks")
        for source in code(ROOT / "notebooks" / CHAPTER):
            for output in kernel.outputs(source):
                kinds = output.get("data", {})
                if output["output_type"] == "error":
                    failures.append(f"{output['ename']}: {output['evalue']}")
                if "image/png" in kinds:
                    reached("picture")
                if WIDGET in kinds and "explorer()" in source:
                    reached("widget")
        reached("end")
    except Exception as error:
        failures.append(f"{type(error).__name__}: {error}")
    return {"seen": seen, "failures": [f"{learner.name}: {text}" for text in failures]}


def code(path: Path) -> list[str]:
    """The code cells of the notebook at `path`."""
    return [c.source for c in nbformat.read(path, 4).cells if c.cell_type == "code"]


class Memory(threading.Thread):
    """Watches what each learner's processes hold, in GB, and keeps the highest."""

    def __init__(self, booted: machine.Machine):
        super().__init__(daemon=True)
        self.booted, self.highest, self.over = booted, {}, threading.Event()
        self.start()

    def run(self) -> None:
        files = "/sys/fs/cgroup -path '*/jupyter-*-singleuser.service/memory.stat'"
        while not self.over.wait(1):
            said = self.booted.run("sh", "-c", f"grep -HE '^(rss|anon) ' $(find {files})").stdout
            for line in said.splitlines():
                if "memory.stat:" in line:
                    path, value = line.split(":", 1)
                    gigabytes = int(value.split()[1]) / 2**30
                    self.highest[path] = max(self.highest.get(path, 0), gigabytes)

    def stop(self) -> list[float]:
        self.over.set()
        self.join()
        return list(self.highest.values())


def session(booted: machine.Machine, passwords: dict[str, str], threads: dict[str, str]) -> dict:
    """A class with these learners, whose environment says `threads`: what each of them saw."""
    change = f"c.Spawner.environment = {{'COURSE_SOLUTIONS': '0', **{threads!r}}}"
    hub.reconfigure(booted, change)
    barrier, memory, seen = threading.Barrier(len(passwords)), Memory(booted), []
    network = booted.on_its_network

    def one(name: str, password: str) -> None:
        with network():
            seen.append(attend(Learner(name), password, barrier))

    class_ = [threading.Thread(target=one, args=pair) for pair in passwords.items()]
    for learner in class_:
        learner.start()
    for learner in class_:
        learner.join()
    highest = memory.stop()
    booted.run("systemctl", "stop", "jupyter-*-singleuser.service")
    return {
        "seconds": {m: [s["seen"][m] for s in seen if m in s["seen"]] for m in MILESTONES},
        "memory": highest,
        "failures": [text for s in seen for text in s["failures"]],
    }


def available() -> float:
    """GB of memory that are free for learners."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    kilobytes = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    return kilobytes / 2**20 - RESERVE


def row(label: str, found: dict) -> str:
    """A line of the table: medians over learners, and the longest wait for the widget."""
    seconds = found["seconds"]
    medians = [statistics.median(seconds[m]) if seconds[m] else float("nan") for m in MILESTONES]
    longest = max(seconds["widget"], default=float("nan"))
    gigabytes = found["memory"] or [float("nan")]
    memory = f"{statistics.median(gigabytes):8.2f}{max(gigabytes):9.2f}"
    times = "".join(f"{value:9.0f}" for value in [*medians[:3], longest, medians[3]])
    return f"{label:40}{memory}{times}{len(found['failures']):10}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--learners", type=int, help="how many; else as many as memory holds")
    asked = parser.parse_args().learners
    if absent := machine.missing():
        raise SystemExit(absent)
    head = f"{'':40}{'memory, GB':>17}{'seconds to the first':>27}{'longest':>9}{'chapter':>9}\n"
    head += f"{'threads':40}{'median':>8}{'highest':>9}{'server':>9}{'picture':>9}{'widget':>9}"
    head += f"{'widget':>9}{'done':>9}{'failures':>10}"
    lines, failures = [], []

    def say(line: str) -> None:
        print(line, flush=True)
        lines.append(line)

    with machine.boot() as booted, booted.on_its_network():
        names = [f"learner{n}" for n in range(1, (asked or MOST) + 1)]
        passwords = hub.set_up(booted, *names)
        free = available()
        alone = session(booted, dict([next(iter(passwords.items()))]), next(iter(THREADS.values())))
        if asked is None:
            names = names[: max(1, int(free / max(alone["memory"])))]
        command = " ".join(["benchmarks/class_load.py", *sys.argv[1:]])
        say(f"# uv run --group classroom python {command}")
        say(
            f"{platform.machine()}, {os.cpu_count()} cores, {free:.0f} GB for learners; {CHAPTER}\n"
        )
        say(head)
        say(row("one learner alone", alone))
        say(f"{len(names)} learners at once")
        failures += alone["failures"]
        for label, threads in THREADS.items():
            found = session(booted, {name: passwords[name] for name in names}, threads)
            say(row(label, found))
            failures += found["failures"]
    for text in failures:
        say(text)
    OUT.write_text("\n".join(lines) + "\n", encoding="utf8")
    raise SystemExit(len(failures) > 0)


main()
