"""What helps a ProtoNet to know letters again: each row leaves one thing out.

    uv run python benchmarks/characters_ablation.py     # adds the rows to characters.json

Every row has the same small budget, far from what the shipped learners had, and starts from
nothing: 1,000 updates of three 20-way 1-shot tasks without Omniglot's scripts, one seed unless
--seeds says otherwise. Measured on validation scripts and, where COURSE_OMNIGLOT is set, on
Omniglot's small archive. Rows that are there are kept.
"""

import argparse
import dataclasses
import json
import os
from pathlib import Path

import characters_train
import torch
from characters import OUT, real
from torch import Tensor

from course_utils.learners import ProtoNet
from course_utils.networks import Conv4, ResNet
from course_utils.tasks import Characters, characters
from course_utils.training import test

ROWS = {
    "everything": {},
    "letters not turned": {"turned": False},
    "tasks from all scripts, never within one": {"within_script": 0.0},
    "all drawers alike": {"alike": True},
    "strokes do not move apart": {"stiff": True},
    "Conv4 for the residual network": {"encoder": Conv4},
    "no averaging of the weights": {"average": False},
}


def one_style(*shape: int, generator=None, device=None) -> Tensor:
    """Drawers without differences."""
    return torch.zeros(*shape, 6, device=device)


def stiff_letters(device: torch.device):
    """All letters, each one rigid stroke."""
    letters = characters.stored()[0].to(device)
    return dataclasses.replace(
        letters,
        stroke=torch.zeros_like(letters.stroke),
        centre=torch.zeros_like(letters.centre),
        bow=torch.zeros_like(letters.bow),
    )


def trained(updates: int, seed: int, encoder=ResNet, average=True, alike=False, stiff=False,
            within_script=0.75, turned=True) -> ProtoNet:  # fmt: skip
    without = characters.in_omniglot()
    tasks = Characters("train", 20, 1, 4, within_script, without=without, turned=turned)
    torch.manual_seed(seed)
    learner = ProtoNet(encoder(128))
    kept = characters.styles, characters.letters_on
    if alike:
        characters.styles = one_style
    if stiff:
        stiff_ones = stiff_letters(characters_train.DEVICE)
        characters.letters_on = lambda device: stiff_ones
    try:
        slow, _ = characters_train.fit(
            f"ablation_{os.getpid()}",
            learner,
            lambda generator: learner(tasks.sample(3, generator)).mean(),
            updates,
            2e-3,
            seed=seed,
        )
    finally:
        characters.styles, characters.letters_on = kept
        (characters_train.RUNS / f"ablation_{os.getpid()}.safetensors").unlink(missing_ok=True)
    return slow if average else learner.eval()


def measured(learners: list[ProtoNet]) -> dict:
    """Accuracy within validation scripts and error on Omniglot, means over seeds."""
    task_set = Characters("validation", 20, 1, 3, within_script=True)
    scores = [test(learner, task_set, num_tasks=300).mean for learner in learners]
    row = {"validation, within script": round(sum(scores) / len(scores), 4), "seeds": len(scores)}
    if os.environ.get("COURSE_OMNIGLOT"):
        errors = [real(learner, 500)["all"]["mean"] for learner in learners]
        row["error on Omniglot"] = round(sum(errors) / len(errors), 4)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--updates", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=1)
    arguments = parser.parse_args()
    for name, options in ROWS.items():
        table = json.loads(Path(OUT).read_text(encoding="utf8"))
        done = table["ablation"].get("rows", {})
        if name in done and table["ablation"]["updates"] == arguments.updates:
            continue
        row = measured([trained(arguments.updates, s, **options) for s in range(arguments.seeds)])
        table = json.loads(Path(OUT).read_text(encoding="utf8"))  # it may have changed meanwhile
        table["ablation"] = {
            "command": "uv run python benchmarks/characters_ablation.py"
            f" --updates {arguments.updates} --seeds {arguments.seeds}",
            "updates": arguments.updates,
            "rows": {**done, name: row},
        }
        OUT.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", encoding="utf8")
        print(f"{name:42} {row}", flush=True)


if __name__ == "__main__":
    main()
