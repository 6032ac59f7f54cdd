"""This machine a second time, to rehearse a class on: booted by systemd, its changes thrown away.

JupyterHub gives each learner a Unix account and a systemd unit. To try that for real and leave no
trace, systemd-nspawn boots the system installed here from a copy-on-write view of its disk, with
processes, users and a loopback network of its own.
"""

import contextlib
import ctypes
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

LIBC = ctypes.CDLL(None, use_errno=True)
ROOT = Path(__file__).resolve().parents[2]
HOME = "/opt/course"  # where classroom/README.md has a teacher install the course
NEEDED = ("systemd-nspawn", "nsenter", "unshare", "configurable-http-proxy")
LIMITS = ("memory", "cpu", "cpuacct", "pids")  # the controllers that systemd limits a unit by
CGROUPS = Path("/sys/fs/cgroup")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Where cgroups are of version 1, a container may not write to them; here it has its own to write to
INIT = f"""
for controller in {" ".join(LIMITS)}; do
    [ ! -d {CGROUPS}/$controller ] || mount -o remount,bind,rw {CGROUPS}/$controller || exit 1
done
exec /lib/systemd/systemd systemd.unit=basic.target
"""


def missing() -> str:
    """What has to be installed or done before `boot` can work, "" if nothing."""
    absent = [name for name in NEEDED if shutil.which(name) is None]
    if absent:
        return f'{", ".join(absent)} not found: see CONTRIBUTING.md, "Tests"'
    return "" if os.geteuid() == 0 else 'booting a machine takes root: see CONTRIBUTING.md, "Tests"'


class Machine:
    """A booted machine; `run` runs a command there as root, or as a user in that user's home."""

    def __init__(self, leader: int):
        self.enter = ["nsenter", "-t", str(leader), "-m", "-u", "-i", "-n", "-p", "-C", "--"]
        self.network = f"/proc/{leader}/ns/net"

    def run(self, *command: str, user: str = "root", **options) -> subprocess.CompletedProcess:
        """Run `command` and wait for its end; what it says is in `stdout`."""
        if user != "root":
            command = ("runuser", "--login", user, "--command", shlex.join(command))
        return subprocess.run(
            [*self.enter, "env", "-i", f"PATH={PATH}", *command],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options,
        )  # fmt: skip

    def do(self, *command: str, **options) -> str:
        """What `command` says; AssertionError if it fails."""
        done = self.run(*command, **options)
        assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout}"
        return done.stdout

    @contextlib.contextmanager
    def on_its_network(self) -> Iterator[None]:
        """Connections that this thread, or a child that it starts, opens within are made there."""
        here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(self.network, os.O_RDONLY)
        try:
            _enter_network(there)
            yield
        finally:
            _enter_network(here)
            os.close(here)
            os.close(there)


def _enter_network(descriptor: int) -> None:
    if LIBC.setns(descriptor, 0x40000000):  # CLONE_NEWNET
        raise OSError(ctypes.get_errno(), "can't enter the network namespace")


@contextlib.contextmanager
def boot() -> Iterator[Machine]:
    """A machine like this one, until the block ends; the course is at /opt/course there."""
    name = f"course-{os.getpid()}"
    root = Path("/run", name)  # this machine's disk is seen there, by the new machine alone
    groups = _own_cgroups(name)
    command = ["unshare", "--mount", "sh", "-c", f'mount --bind / {root} && exec "$@"', "sh"]
    command += ["systemd-nspawn", f"--machine={name}", f"--directory={root}", "--volatile=overlay"]
    command += ["--quiet", "--private-network", "--register=no", "--link-journal=no"]
    command += ["--console=pipe", "--kill-signal=SIGRTMIN+3"]
    command += [f"--overlay={ROOT}::{HOME}", f"--bind-ro={sys.base_prefix}"]
    if not Path("/run/systemd/system").exists():  # no systemd here that could give it a unit
        command.append("--keep-unit")
    root.mkdir()
    try:
        with (
            tempfile.TemporaryFile() as log,
            _started([*command, "sh", "-c", INIT], groups, log) as p,
        ):
            yield _furnished(_up(p, log))
    finally:
        root.rmdir()
        _remove(groups)


@contextlib.contextmanager
def _started(command: list[str], groups: list[Path], log: BinaryIO) -> Iterator[subprocess.Popen]:
    """A process in `groups` that says what it has to say to `log`, ended with the block."""

    def prepare():
        for group in groups:
            (group / "cgroup.procs").write_text("0")
        LIBC.prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG: nor does it outlive this process

    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=prepare
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _up(process: subprocess.Popen, log: BinaryIO, seconds: float = 120) -> Machine:
    """The machine, once its systemd has started; RuntimeError with its log if it does not."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        for child in children.read_text().split():
            if Path(f"/proc/{child}/comm").read_text() == "systemd\n":
                machine = Machine(int(child))
                if machine.run("systemctl", "is-active", "basic.target").returncode == 0:
                    return machine
        time.sleep(0.1)
    log.seek(0)
    raise RuntimeError(f"the machine did not boot:\n{log.read().decode(errors='replace')[-3000:]}")


def _furnished(machine: Machine) -> Machine:
    """The machine with the course as a teacher would have installed it, and users may sign in."""
    for folder in Path(sys.base_prefix).parents:
        machine.do("chmod", "o+x", str(folder))
    installed = f"{HOME}/.venv/bin/* {HOME}/.venv/lib/*/site-packages/*.pth"
    machine.do("sh", "-c", f"grep -lI '{ROOT}' {installed} | xargs sed -i 's#{ROOT}#{HOME}#g'")
    machine.do("systemctl", "start", "systemd-user-sessions")
    return machine


def _own_cgroups(name: str) -> list[Path]:
    """A new cgroup below this process's for each controller of version 1; none with version 2."""
    made = []
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in set(controllers.split(",")) & set(LIMITS):
            made.append(CGROUPS / controller / path.lstrip("/") / name)
            made[-1].mkdir()
    return made


def _remove(groups: list[Path], seconds: float = 30) -> None:
    """Remove cgroups and those within, once the kernel has seen that they are empty."""
    deadline = time.monotonic() + seconds
    while any(group.exists() for group in groups) and time.monotonic() < deadline:
        for group in groups:
            for folder, _, _ in os.walk(group, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(folder)
        time.sleep(0.1)
