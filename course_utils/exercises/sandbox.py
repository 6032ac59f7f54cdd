"""Running a reader's code so that a loop without end can be ended."""

import _thread
import contextlib
import io
import json
import os
import select
import signal
import threading
import time
import warnings
from collections.abc import Callable

import torch


class TooSlow(Exception):
    """The code took longer than it may."""

    def __init__(self, seconds: float):
        super().__init__(
            f"Your code was still running after {seconds:g} seconds and was stopped:"
            " is there a loop that never ends?"
        )


def run(function: Callable[[], dict], seconds: float) -> dict:
    """The dictionary that `function` gives, with "printed" added; raises TooSlow after `seconds`.

    Runs in a forked child that is killed on time-out; where that can't be (Windows, or a GPU in
    use), here, with an interrupt that a single long call into torch delays.
    """
    forks = hasattr(os, "fork") and not torch.cuda.is_initialized()
    return (in_child if forks else interrupted)(function, seconds)


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
            answer = json.dumps(_with_output(function)).encode()
            with os.fdopen(writing, "wb") as pipe:
                pipe.write(answer)
        finally:
            os._exit(0)
    os.close(writing)
    try:
        answer = _read(reading, seconds)
    finally:
        os.close(reading)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    if not answer:
        return {"passed": False, "message": "Your code ended Python itself.", "printed": ""}
    return json.loads(answer)


def interrupted(function: Callable[[], dict], seconds: float) -> dict:
    """Run `function` here and interrupt it like Ctrl-C when its time is over."""
    late = threading.Event()

    def interrupt():
        late.set()
        _thread.interrupt_main()

    timer = threading.Timer(seconds, interrupt)
    timer.daemon = True
    timer.start()
    try:
        result = _with_output(function)
        timer.cancel()
        if late.is_set():
            time.sleep(1)  # let the interrupt that is under way arrive
        return result
    except KeyboardInterrupt:
        if not late.is_set():
            raise
        raise TooSlow(seconds) from None
    finally:
        timer.cancel()


def _read(pipe: int, seconds: float) -> bytes:
    deadline, parts = time.monotonic() + seconds, []
    while True:
        ready, _, _ = select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise TooSlow(seconds)
        part = os.read(pipe, 65536)
        if not part:
            return b"".join(parts)
        parts.append(part)


def _with_output(function: Callable[[], dict]) -> dict:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        result = function()
    return {**result, "printed": printed.getvalue()}
