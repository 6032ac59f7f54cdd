"""Few-shot drug discovery, every protein once a test target: chapter 06c's comparison.

    uv run python benchmarks/molecules.py            # writes benchmarks/molecules.json

Five folds, each testing on another family of proteins and validating on the next. Meta-learners
get the same budget: 60 updates of 8 tasks with 32 shots, the learning rate chosen on validation
targets; three seeds. The baselines are chosen on validation targets too, for every number of shots
anew: logistic regression's C and inputs, the forest's leaves. Eight test tasks a target, the same
for all; a target counts once, so intervals resample the 30 targets.
A row that is there is kept: delete the file to start anew.
"""

import argparse
import copy
import json
import time
from pathlib import Path

import numpy as np
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

import course_utils
from course_utils import checkpoints
from course_utils.learners import (
    MAML,
    BitWeights,
    ProtoNet,
    RidgeHead,
    Scikit,
    TanimotoGP,
    TanimotoNeighbor,
)
from course_utils.networks import MLP
from course_utils.tasks import Molecules, auroc
from course_utils.tasks.chemistry import BLOCKS, DESCRIPTORS
from course_utils.tasks.molecules import FAMILIES, FEATURES
from course_utils.training import bootstrap_interval, select, test, train
from course_utils.widgets import assay

OUT = Path(__file__).with_suffix(".json")
SHOTS = (16, 32, 64)
SEEDS = (0, 1, 2)
RATES = (0.01, 0.03)
MARKS = (60,)  # updates after which validation may stop
TASKS = 8  # test tasks a target
BITS = sum(BLOCKS)

META = {  # name -> a fresh learner
    "TanimotoGP": lambda: TanimotoGP(BLOCKS, len(DESCRIPTORS)),
    "RidgeHead": lambda: RidgeHead(BitWeights(BITS)),
    "ProtoNet": lambda: ProtoNet(MLP(FEATURES, 64, 32)),
    "MAML": lambda: MAML(MLP(FEATURES, 32, 2), inner_lr=0.1, inner_steps=3),
    "kernel alone": lambda: TanimotoGP(BLOCKS),
}
UNTRAINED = {
    "TanimotoNeighbor": lambda: TanimotoNeighbor(BLOCKS[0]),
    "untrained GP": lambda: TanimotoGP(BLOCKS),
}
FITTED = {
    "logistic regression": [
        lambda C=C, columns=columns: Scikit(LogisticRegression(C=C, max_iter=300), columns)
        for C in (0.01, 0.03, 0.1, 0.3)
        for columns in (BLOCKS[0], None)
    ],
    "random forest": [
        lambda leaf=leaf: Scikit(
            RandomForestClassifier(100, min_samples_leaf=leaf, random_state=0), BLOCKS[0]
        )
        for leaf in (1, 3)
    ],
}


def scored(learner, fold: int, shots: int) -> dict[int, float]:
    """The mean AUROC of each of the fold's test targets."""
    task_set = Molecules("test", fold, shots)
    result = test(learner, task_set, metric=auroc, num_tasks=TASKS * len(task_set.targets), seed=1)
    return dict(zip(np.unique(result.unit).tolist(), result.unit_means.tolist(), strict=True))


def best(candidates: list, fold: int, shots: int):
    """The candidate that ranks the validation targets best."""
    task_set = Molecules("validation", fold, shots)
    return select(candidates, task_set, metric=auroc, num_tasks=4 * len(task_set.targets))[0]


def along_the_way(make, rate: float, fold: int, seed: int) -> list:
    """The learner as it is after each number of updates in MARKS."""
    torch.manual_seed(seed)
    learner, seen = make(), []
    optimizer = torch.optim.Adam(learner.parameters(), rate)
    task_set, last = Molecules("train", fold, 32, 32), 0
    for mark in MARKS:
        train(
            learner, task_set, updates=mark - last, tasks_per_update=8, optimizer=optimizer,
            seed=1000 * seed + mark, progress=False,
        )  # fmt: skip
        seen.append(copy.deepcopy(learner))
        seen[-1].rate, seen[-1].updates, last = rate, mark, mark
    return seen


def meta_learned(name: str, fold: int) -> tuple[list, dict]:
    """One learner a seed, and the rate and number of updates that validation chose."""
    make = META[name]
    first = best([x for r in RATES for x in along_the_way(make, r, fold, SEEDS[0])], fold, 32)
    rest = [
        along_the_way(make, first.rate, fold, seed)[MARKS.index(first.updates)]
        for seed in SEEDS[1:]
    ]
    return [first, *rest], {"rate": first.rate, "updates": first.updates}


def row(name: str) -> dict:
    """Per number of shots, per seed, the score of every target; what was chosen in each fold."""
    scores = {shots: [] for shots in SHOTS}
    chosen = []
    for fold in range(len(FAMILIES)):
        if name in FITTED:
            found = {s: [best([make() for make in FITTED[name]], fold, s)] for s in SHOTS}
            chosen.append({s: str(x[0].classifier) + f" {x[0].columns}" for s, x in found.items()})
        elif name in UNTRAINED:
            found = {s: [UNTRAINED[name]()] for s in SHOTS}
        else:
            learners, what = meta_learned(name, fold)
            chosen.append(what)
            found = dict.fromkeys(SHOTS, learners)
            if name == "TanimotoGP" and fold == assay.FOLD:
                ship(learners[0], fold, what)
        for s in SHOTS:
            for i, learner in enumerate(found[s]):
                if fold == 0:
                    scores[s].append({})
                scores[s][i] |= scored(learner, fold, s)
        print(f"   {name}, fold {fold}: {chosen[-1] if chosen else ''}", flush=True)
    order = range(len(scores[SHOTS[0]][0]))
    return {
        "scores": {s: [[round(one[u], 4) for u in order] for one in scores[s]] for s in SHOTS},
        "chosen": chosen,
    }


def ship(learner, fold: int, what: dict) -> None:
    """Save the Gaussian process of the fold that the widget plays, as a checkpoint."""
    score = float(np.mean(list(scored(learner, fold, 32).values())))
    card = {
        "what": "Gaussian process with meta-learned Tanimoto kernel and linear mean",
        "trained on": f"Molecules('train', fold={fold}, shots=32, queries=32), {what['updates']}"
        f" updates of 8 tasks, Adam {what['rate']}, seed 0: no test target of the fold, none of"
        " their molecules",
        "score": {"AUROC, 32 shots, the fold's test targets": round(score, 3)},
        "version": course_utils.__version__,
        "command": "uv run python benchmarks/molecules.py",
    }
    checkpoints.save(learner, f"gp_molecules_{fold}", card)


def stored() -> dict:
    """The table as far as it stands."""
    if OUT.exists():
        return json.loads(OUT.read_text(encoding="utf8"))
    command = "uv run python benchmarks/molecules.py"
    return {"command": command, "seeds": len(SEEDS), "tasks_a_target": TASKS, "rows": {}}


def summary(table: dict, name: str, shots: int) -> str:
    """AUROC over targets, and its difference from logistic regression, with 95 % intervals."""
    means = np.mean(table["rows"][name]["scores"][str(shots)], 0)
    base = np.mean(table["rows"]["logistic regression"]["scores"][str(shots)], 0)
    low, high = bootstrap_interval(means - base)
    return f"{means.mean():.3f} ({np.mean(means - base):+.4f} [{low:+.4f}, {high:+.4f}])"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    rows = ("logistic regression", "random forest", *UNTRAINED, *META)
    parser.add_argument("--rows", nargs="*", default=rows, choices=rows)
    for name in parser.parse_args().rows:
        if name not in stored()["rows"]:
            started = time.perf_counter()
            new = row(name)
            new["minutes"] = round((time.perf_counter() - started) / 60, 1)
            table = stored()
            table["rows"][name] = new
            OUT.write_text(json.dumps(table, ensure_ascii=False) + "\n", encoding="utf8")
        print(f"{name:20}", *(summary(stored(), name, s) for s in SHOTS), sep=" | ", flush=True)


if __name__ == "__main__":
    main()
