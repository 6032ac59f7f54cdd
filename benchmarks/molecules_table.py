"""Few-shot drug discovery, every protein once a test target: chapter 06c's comparison.

    uv run python benchmarks/molecules_table.py      # writes benchmarks/molecules_table.json

Five folds, each testing on another family of proteins and validating on the next. Learners trained
by gradient get the same budget: 60 updates of 8 tasks with 32 shots, the learning rate chosen on
validation targets; three seeds. All others are chosen on validation targets too: for every number
of shots anew logistic regression's C and inputs and the forest's leaves, once for all numbers of
shots the strength of the prior. Eight test tasks a target, the same for all; a target counts once,
so intervals resample the 30 targets. The two that are closest meet again on 32 tasks a target.
What is there is kept, fold by fold: a run that was stopped goes on, delete the file to start anew.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from sklearn.ensemble import RandomForestClassifier

import course_utils
from course_utils import checkpoints
from course_utils.learners import (
    MAML,
    BitWeights,
    PriorLogistic,
    ProtoNet,
    RidgeHead,
    Scikit,
    TanimotoGP,
    TanimotoNeighbor,
)
from course_utils.networks import MLP
from course_utils.tasks import Molecules, auroc
from course_utils.tasks.chemistry import BLOCKS, DESCRIPTORS
from course_utils.tasks.molecules import FAMILIES, FEATURES, library
from course_utils.training import bootstrap_interval, select, test, train
from course_utils.widgets import assay

OUT = Path(__file__).with_suffix(".json")
SHOTS = (16, 32, 64)
SEEDS = (0, 1, 2)
RATES = (0.01, 0.03)
UPDATES = 60
TASKS, MANY = 8, 32  # test tasks a target: of all, of the two that are closest
CLOSE = ("logistic regression", "PriorLogistic")
CS = (0.01, 0.03, 0.1, 0.3)
STRENGTHS = (1.0, 2.0, 4.0, 8.0)
BITS = sum(BLOCKS)

META = {  # name -> a fresh learner
    "TanimotoGP": lambda: TanimotoGP(BLOCKS, len(DESCRIPTORS)),
    "RidgeHead": lambda: RidgeHead(BitWeights(BITS)),
    "ProtoNet": lambda: ProtoNet(MLP(FEATURES, 64, 32)),
    "MAML": lambda: MAML(MLP(FEATURES, 32, 2), inner_lr=0.1, inner_steps=3),
}
UNTRAINED = {
    "TanimotoNeighbor": lambda: TanimotoNeighbor(BLOCKS[0]),
    "untrained GP": lambda: TanimotoGP(BLOCKS),
}
FITTED = {  # chosen for every number of shots; PriorLogistic without its prior is just the former
    "logistic regression": [
        lambda C=C, inputs=inputs: PriorLogistic(inputs, C)
        for C in CS
        for inputs in (BLOCKS[0], FEATURES)
    ],
    "random forest": [
        lambda leaf=leaf: Scikit(
            RandomForestClassifier(100, min_samples_leaf=leaf, random_state=0), BLOCKS[0]
        )
        for leaf in (1, 3)
    ],
}
ROWS = ("logistic regression", "PriorLogistic", "random forest", *UNTRAINED, *META)


def scored(learner, fold: int, shots: int, tasks: int = TASKS) -> list[float]:
    """The mean AUROC of each of the fold's test targets."""
    task_set = Molecules("test", fold, shots)
    result = test(learner, task_set, metric=auroc, num_tasks=tasks * len(task_set.targets), seed=1)
    return [round(mean, 4) for mean in result.unit_means.tolist()]


def best(candidates: list, fold: int, shots: int):
    """The candidate that ranks the validation targets best, and its score there."""
    task_set = Molecules("validation", fold, shots)
    number = 4 * len(task_set.targets)
    chosen, means = select(candidates, task_set, metric=auroc, num_tasks=number)
    return chosen, max(means)


def trained(name: str, rate: float, fold: int, seed: int):
    """A learner after its budget of updates."""
    torch.manual_seed(seed)
    learner = META[name]()
    train(
        learner, Molecules("train", fold, 32, 32), updates=UPDATES, tasks_per_update=8,
        optimizer=torch.optim.Adam(learner.parameters(), rate), seed=1000 * seed + UPDATES,
        progress=False,
    )  # fmt: skip
    learner.rate = rate
    return learner


def prior(fold: int) -> dict:
    """Per number of shots logistic regression with its prior: one strength for all of them."""
    source = PriorLogistic(FEATURES)
    source.learn(
        (library().features(t.molecules), torch.from_numpy(t.active)) for t in training(fold)
    )
    found = {}
    for strength in STRENGTHS:
        candidates = [PriorLogistic(FEATURES, C, strength) for C in CS]
        for candidate in candidates:
            candidate.mean = source.mean
        found[strength] = {s: best(candidates, fold, s) for s in SHOTS}
    strongest = max(STRENGTHS, key=lambda x: sum(score for _, score in found[x].values()))
    return {s: [learner] for s, (learner, _) in found[strongest].items()}


def learners(name: str, fold: int) -> tuple[dict, dict]:
    """Per number of shots the learners to test, one a seed; and what validation chose."""
    if name == "PriorLogistic":
        found = prior(fold)
        return found, {s: {"C": x.C, "strength": x.strength} for s, (x,) in found.items()}
    if name == "logistic regression":
        found = {s: [best([make() for make in FITTED[name]], fold, s)[0]] for s in SHOTS}
        return found, {s: {"C": x.C, "inputs": x.inputs} for s, (x,) in found.items()}
    if name in FITTED:
        found = {s: [best([make() for make in FITTED[name]], fold, s)[0]] for s in SHOTS}
        return found, {s: str(x.classifier) for s, (x,) in found.items()}
    if name in UNTRAINED:
        return {s: [UNTRAINED[name]()] for s in SHOTS}, {}
    first, _ = best([trained(name, rate, fold, SEEDS[0]) for rate in RATES], fold, 32)
    rest = [trained(name, first.rate, fold, seed) for seed in SEEDS[1:]]
    return {s: [first, *rest] for s in SHOTS}, {"rate": first.rate}


def add_fold(name: str, row: dict, tasks: int) -> None:
    """Test the next fold and append its targets' scores to the row."""
    started, fold = time.perf_counter(), len(row["chosen"])
    found, chosen = learners(name, fold)
    for s in SHOTS:
        seeds = row["scores"].setdefault(str(s), [[] for _ in found[s]])
        for seed, learner in zip(seeds, found[s], strict=True):
            seed += scored(learner, fold, s, tasks)
    row["chosen"].append(chosen)
    row["minutes"] = round(row["minutes"] + (time.perf_counter() - started) / 60, 1)
    if fold == assay.FOLD and name == "TanimotoGP":
        ship(found[32][0], fold, chosen)
    print(f"   {name}, fold {fold}: {chosen}", flush=True)


def training(fold: int) -> list:
    """The targets that may be learned from, without the molecules of all others."""
    return Molecules("train", fold, 32, 32).targets


def ship(learner, fold: int, what: dict) -> None:
    """Save the Gaussian process of the fold that the widget plays, as a checkpoint."""
    score = float(np.mean(scored(learner, fold, 32)))
    card = {
        "what": "Gaussian process with meta-learned Tanimoto kernel and linear mean",
        "trained on": f"Molecules('train', fold={fold}, shots=32, queries=32), {UPDATES}"
        f" updates of 8 tasks, Adam {what['rate']}, seed 0: no test target of the fold, none of"
        " their molecules",
        "score": {"AUROC, 32 shots, the fold's test targets": round(score, 3)},
        "version": course_utils.__version__,
        "command": "uv run python benchmarks/molecules_table.py",
    }
    checkpoints.save(learner, f"gp_molecules_{fold}", card)


def stored() -> dict:
    """The table as far as it stands."""
    if OUT.exists():
        return json.loads(OUT.read_text(encoding="utf8"))
    command = "uv run python benchmarks/molecules_table.py"
    about = {"command": command, "seeds": len(SEEDS), "tasks_a_target": TASKS, "many": MANY}
    return {**about, "rows": {}, "close": {}}


def fill(part: str, name: str, tasks: int) -> None:
    """Run the folds that are missing from a row of a part of the table, and write each down."""
    row = stored()[part].get(name, {"scores": {}, "chosen": [], "minutes": 0.0})
    while len(row["chosen"]) < len(FAMILIES):
        add_fold(name, row, tasks)
        table = stored()
        table[part][name] = row
        OUT.write_text(json.dumps(table, ensure_ascii=False) + "\n", encoding="utf8")
    means = (difference(stored()[part], name, str(s)) for s in SHOTS)
    print(f"{name:20} {tasks:2} tasks", *means, sep=" | ", flush=True)


def difference(rows: dict, name: str, shots: str) -> str:
    """AUROC over targets, and its difference from logistic regression, with 95 % intervals."""
    means = np.mean(rows[name]["scores"][shots], 0)
    base = np.mean(rows["logistic regression"]["scores"][shots], 0)
    low, high = bootstrap_interval(means - base)
    return f"{means.mean():.3f} ({np.mean(means - base):+.4f} [{low:+.4f}, {high:+.4f}])"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", nargs="*", default=ROWS, choices=ROWS)
    names = parser.parse_args().rows
    for name in names:
        fill("rows", name, TASKS)
        if name in CLOSE:
            fill("close", name, MANY)


if __name__ == "__main__":
    main()
