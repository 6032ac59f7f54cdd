"""Running a reader's code so that a loop without end can be ended."""

import _thread
import contextlib
import io
import json
import os
import select
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable

import torch

MOST = 10_000  # characters of what an answer prints that are shown
THREADED = {"jax", "tensorflow"}  # once loaded, their threads may lock a forked child


class TooSlow(Exception):
    """The code took longer than it may; `printed` is what it said until then."""

    def __init__(self, seconds: float, printed: str):
        super().__init__(
            f"Your code was still running after {seconds:g} seconds and was stopped:"
            " is there a loop that never ends?"
        )
        self.printed = printed


def run(function: Callable[[], dict], seconds: float) -> dict:
    """The dictionary that `function` gives, with "printed" added; raises TooSlow after `seconds`.

    Runs in a forked child that is killed on time-out. Where that can't be (Windows; macOS, whose
    own libraries don't bear a fork; a GPU in use, or JAX or TensorFlow), here, with an interrupt
    that a single long call into torch delays.
    """
    return (in_child if can_fork() else interrupted)(function, seconds)


def can_fork() -> bool:
    """Whether a reader's code can run in a forked child here."""
    if not hasattr(os, "fork") or sys.platform == "darwin" or torch.cuda.is_initialized():
        return False
    return THREADED.isdisjoint(sys.modules)


def in_child(function: Callable[[], dict], seconds: float) -> dict:
    """Run `function` in a forked child."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # on forking beside other threads
        child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            torch.set_num_threads(1)  # the parent's other threads are not here
            with Printed(lambda text: os.write(writing, text.encode(errors="replace"))):
                answer = function()
            os.write(writing, b"\0" + json.dumps(answer).encode())
        finally:
            os._exit(0)  # nothing of the parent's is flushed or closed a second time
    os.close(writing)
    try:
        received, in_time = _read(reading, seconds)
    finally:
        os.close(reading)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    printed, finished, answer = received.partition(b"\0")
    printed = printed.decode(errors="replace")
    if finished and in_time:
        return {**json.loads(answer), "printed": printed}
    if not in_time:
        raise TooSlow(seconds, printed)
    message = "Your code ended Python itself: did it exit, or use up the memory?"
    return {"passed": False, "message": message, "printed": printed}


def interrupted(function: Callable[[], dict], seconds: float) -> dict:
    """Run `function` here, on the main thread, and press Ctrl-C when its time is over."""
    late, said = threading.Event(), []

    def interrupt():
        late.set()
        if hasattr(signal, "pthread_kill"):  # wakes a sleeping thread too
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        else:
            _thread.interrupt_main()

    timer = threading.Timer(seconds, interrupt)
    timer.daemon = True
    timer.start()
    gpus = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []
    try:
        try:
            with torch.random.fork_rng(gpus), Printed(said.append):
                result = function()
        finally:
            timer.cancel()
            timer.join()  # an interrupt that is under way arrives here, not in a later cell
    except KeyboardInterrupt:
        if not late.is_set():
            raise
        raise TooSlow(seconds, "".join(said)) from None
    return {**result, "printed": "".join(said)}


class Printed(io.TextIOBase):
    """Hands on what is printed or warned of, piece by piece: a killed answer's is not lost."""

    def __init__(self, hand_on: Callable[[str], object]):
        self.hand_on, self.left = hand_on, MOST
        self.redirects = contextlib.ExitStack()

    def __enter__(self):
        self.redirects.enter_context(contextlib.redirect_stdout(self))
        self.redirects.enter_context(contextlib.redirect_stderr(self))

    def __exit__(self, *error):
        self.redirects.close()

    def write(self, text: str) -> int:
        if self.left > 0:
            cut = "\n(and more)\n" if len(text) > self.left else ""
            self.hand_on(text[: self.left].replace("\0", "") + cut)
            self.left -= len(text)
        return len(text)


def _read(pipe: int, seconds: float) -> tuple[bytes, bool]:
    """All that comes out of `pipe`, and whether it ended within `seconds`."""
    deadline, parts = time.monotonic() + seconds, []
    while True:
        ready, _, _ = select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))
        part = os.read(pipe, 65536) if ready else b""
        if not part:
            return b"".join(parts), bool(ready)
        parts.append(part)
