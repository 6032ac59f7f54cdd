"""Training from the command line: learner and tasks are written as in Python.

    python -m course_utils.training "MAML(MLP(1, 40, 40, 1))" "Sinusoids()" --updates 1000 --save m
    torchrun --nproc-per-node 2 -m course_utils.training ...      # the same on two processes

With --checkpoint FILE a run that was killed goes on where it stood when it is started again.
"""

import argparse
import shlex
import sys
from pathlib import Path

import torch

from course_utils import checkpoints, distributed
from course_utils.training import train


def written(text: str) -> object:
    """The learner or task set that `text` writes down: any class of the course, with arguments."""
    names = {name: getattr(part, name) for part in checkpoints.PARTS for name in dir(part)}
    try:
        return eval(text, {"__builtins__": {}, "torch": torch, **names})
    except Exception as error:
        raise SystemExit(f"{text!r} can't be built: {type(error).__name__}: {error}") from error


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m course_utils.training",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("learner", help='such as "MAML(MLP(1, 40, 40, 1), inner_steps=5)"')
    parser.add_argument("tasks", help='such as "Sinusoids(shots=10)"')
    parser.add_argument("--validation", help="tasks that decide which weights are the best")
    parser.add_argument("--updates", type=int, default=1000)
    parser.add_argument("--tasks-per-update", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--double", action="store_true", help="float64")
    parser.add_argument("--checkpoint", type=Path, help="where the unfinished run is kept")
    parser.add_argument("--save", type=Path, help="where the learner goes: NAME.safetensors, .json")
    given = parser.parse_args()
    if given.double:
        torch.set_default_dtype(torch.float64)
    torch.manual_seed(given.seed)
    learner, tasks = written(given.learner), written(given.tasks)
    with distributed.group():
        rank, world = distributed.processes()
        history = train(
            learner,
            tasks,
            validation=written(given.validation) if given.validation else None,
            updates=given.updates,
            tasks_per_update=given.tasks_per_update,
            checkpoint=given.checkpoint,
            seed=given.seed,
        )
        if rank == 0:
            on = "1 process" if world == 1 else f"{world} processes"
            losses = ", ".join(f"{loss:.4g}" for loss in history.losses[-3:])
            print(f"{given.updates} updates on {on} in {history.seconds:.2f} s; last: {losses}")
            if given.save:
                card = {"what": given.learner, "trained on": given.tasks, "command": command()}
                checkpoints.save(learner, given.save.name, card, given.save.parent)


def command() -> str:
    """What was typed, as far as this process knows."""
    return shlex.join(["python", "-m", "course_utils.training", *sys.argv[1:]])
