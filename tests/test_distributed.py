"""Several processes are one: the same weights, and a run that outlives a killed worker."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_utils import checkpoints, distributed, training
from course_utils.command_line import main, written
from course_utils.distributed import share, shared_step
from course_utils.learners import MAML, InContext
from course_utils.networks import MLP
from course_utils.tasks import Sinusoids
from course_utils.training import train

TWO = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
TWO += ("-m", "course_utils.training")
LEARNER, TASKS = "MAML(MLP(1, 8, 8, 1), inner_steps=2)", "Sinusoids(shots=4, queries=4)"


def start(*command: object) -> subprocess.Popen:
    return subprocess.Popen(
        [str(c) for c in command],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finished(process: subprocess.Popen) -> str:
    said, _ = process.communicate(timeout=600)
    assert process.returncode == 0, said
    return said


def here(learner: str, tasks: str, updates: int, tasks_per_update: int) -> dict[str, torch.Tensor]:
    """The weights that one process arrives at, in float64."""
    torch.set_default_dtype(torch.float64)
    try:
        torch.manual_seed(0)
        made = written(learner)
        train(made, written(tasks), updates=updates, tasks_per_update=tasks_per_update,
              progress=False)  # fmt: skip
    finally:
        torch.set_default_dtype(torch.float32)
    return dict(made.state_dict())


def saved(path: Path) -> dict[str, torch.Tensor]:
    torch.set_default_dtype(torch.float64)
    try:
        return dict(checkpoints.load(path.name, path.parent).state_dict())
    finally:
        torch.set_default_dtype(torch.float32)


@given(count=st.integers(0, 200), world=st.integers(1, 40))
def test_shares_are_a_partition_as_even_as_can_be(count, world):
    shares = [range(count)[share(count, rank, world)] for rank in range(world)]
    assert [task for part in shares for task in part] == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("tasks_per_update", [5, 6])
def test_two_processes_arrive_where_one_does(tmp_path, tasks_per_update):
    """After 20 updates in float64, also where one process has a task more than the other."""
    options = ("--updates", 20, "--tasks-per-update", tasks_per_update, "--double")
    said = finished(start(*TWO, LEARNER, TASKS, *options, "--save", tmp_path / "two"))
    assert "20 updates on 2 processes" in said
    expected, got = here(LEARNER, TASKS, 20, tasks_per_update), saved(tmp_path / "two")
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-5)
    torch.manual_seed(0)
    fresh = written(LEARNER).state_dict()  # a run that did nothing would agree with itself
    assert all((got[n] - w).abs().max() > 1e-3 for n, w in fresh.items())


def workers_of(launcher: subprocess.Popen) -> list[int]:
    children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children")
    return [int(pid) for pid in children.read_text().split()]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds workers through /proc")
def test_a_killed_worker_leaves_a_checkpoint_that_resumes(tmp_path):
    updates, checkpoint = 500, tmp_path / "run.safetensors"
    options = ("--updates", updates, "--tasks-per-update", 5, "--double")
    options += ("--checkpoint", checkpoint, "--save", tmp_path / "two")
    process = start(*TWO, LEARNER, TASKS, *options)
    deadline = time.monotonic() + 600
    while not checkpoint.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(workers_of(process)[-1], signal.SIGKILL)
    process.communicate(timeout=600)
    assert process.returncode != 0 and checkpoint.exists()
    assert not (tmp_path / "two.safetensors").exists()

    finished(start(*TWO, LEARNER, TASKS, *options))
    expected = here(LEARNER, TASKS, updates, 5)
    torch.testing.assert_close(saved(tmp_path / "two"), expected, rtol=0, atol=1e-5)


LEFT = """
from pathlib import Path
import torch
from course_utils import distributed
from course_utils.learners import MAML
from course_utils.networks import MLP
from course_utils.tasks import Sinusoids

def threads():
    names = [thread.read_text() for thread in Path("/proc/self/task").glob("*/comm")]
    return [name for name in names if "gloo" in name]

with distributed.group():
    maml = MAML(MLP(1, 8, 1))
    distributed.shared_step(maml)(Sinusoids().sample(2), torch.optim.SGD(maml.parameters()))
    assert threads()
print("left:", threads())
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds threads through /proc")
def test_no_thread_of_the_group_outlives_it(monkeypatch):
    """One that does may abort while Python shuts down."""
    alone = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}
    for name, value in {**alone, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}.items():
        monkeypatch.setenv(name, value)
    assert "left: []" in finished(start(sys.executable, "-c", LEFT))


@pytest.fixture
def group_of_one():
    torch.distributed.init_process_group(
        "gloo", store=torch.distributed.HashStore(), rank=0, world_size=1
    )
    yield
    torch.distributed.destroy_process_group()


def test_alone_a_shared_step_is_an_outer_step(group_of_one):
    tasks = Sinusoids(shots=4, queries=4).sample(5, torch.Generator().manual_seed(0))
    results = []
    for kind in ("outer", "shared"):
        torch.manual_seed(0)
        maml = MAML(MLP(1, 8, 1), inner_steps=2)
        optimizer = torch.optim.SGD(maml.parameters(), lr=0.1)
        step = maml.outer_step if kind == "outer" else shared_step(maml)
        loss = step(tasks, optimizer).mean()
        results.append([loss, *(p.detach() for p in maml.parameters())])
    torch.testing.assert_close(*results)


def test_fewer_tasks_than_processes_is_explained(group_of_one, monkeypatch):
    monkeypatch.setattr(distributed, "processes", lambda: (0, 2))
    step = shared_step(MAML(MLP(1, 8, 1)))
    with pytest.raises(ValueError, match="set tasks_per_update to 2 or more"):
        step(Sinusoids().sample(1), None)


def test_one_process_needs_no_torchrun(tmp_path, monkeypatch, capsys):
    words = [LEARNER, TASKS, "--updates", "3", "--save", str(tmp_path / "one")]
    monkeypatch.setattr(sys, "argv", ["training", *words])
    main()
    assert "3 updates on 1 process in" in capsys.readouterr().out
    assert isinstance(checkpoints.load("one", tmp_path), MAML)
    assert checkpoints.card("one", tmp_path)["command"].endswith(f"--save {tmp_path / 'one'}")


def test_compiling_is_for_one_process(monkeypatch):
    monkeypatch.setattr(training, "processes", lambda: (0, 2))
    with pytest.raises(ValueError, match="compile=True is for one process"):
        train(MAML(MLP(1, 8, 1)), Sinusoids(), updates=1, compile=True, progress=False)


def test_learners_and_tasks_are_written_as_in_python():
    made = written("MAML(MLP(1, 8, 1), inner_lr=0.1)")
    assert isinstance(made, MAML) and isinstance(made.network, MLP) and made.inner_lr == 0.1
    assert isinstance(written("InContext(width=16, layers=1)"), InContext)
    assert written("Sinusoids(noise=0.3)").noise == Sinusoids(noise=0.3).noise
    with pytest.raises(SystemExit, match="'Maml' is not defined"):
        written("Maml(MLP(1, 1))")
