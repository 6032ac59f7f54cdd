"""Chapter 06d's table: who predicts a language never seen, after K sentences of it?

uv run python benchmarks/languages_table.py            # all of it; goes on where it was stopped
uv run python benchmarks/languages_table.py --beyond   # more steps than the table's
uv run python benchmarks/languages_table.py --show     # print the table that is there
uv run python benchmarks/languages_table.py --ship     # store the first seed's models

A character model (GRU, 75,000 weights) is trained on the 213 languages in Latin script whose
families are not held out. From there it goes on in three ways for the same number of updates and
the same number of sentences an update: pooled as before, by first-order MAML, by Reptile. How each
adapts at test time (plain gradient descent or Adam, rate, steps), the n-gram's order and discount
and the weights of the mixtures are chosen on 16 validation languages with the first seed. Bits are
measured on 76 test languages of other families. What is trained is kept in runs/languages.
"""

import argparse
import json
import math
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from course_utils import checkpoints
from course_utils.learners import (
    FOMAML,
    FineTune,
    FromScratchAdam,
    NGram,
    Reptile,
    WithAdam,
)
from course_utils.learners.gradient import GradientBased
from course_utils.losses import IGNORE
from course_utils.networks import GRULanguageModel
from course_utils.tasks import Sentences
from course_utils.tasks.languages import SYMBOLS
from course_utils.training import bootstrap_interval, train

OUT = Path(__file__).with_suffix(".json")
RUNS = Path(__file__).parents[1] / "runs" / "languages"
COMMAND = "uv run python benchmarks/languages_table.py"
SEEDS = (0, 1, 2)
SHOTS = (1, 5, 20)
QUERIES = 8
PRETRAINING = ((3e-3, 2100), (6e-4, 900))  # Adam's rate, updates of 32 sentences
UPDATES, TASKS, MEASURED = 600, 4, 10  # of meta-training: updates, languages, query sentences
SUPPORT = (1, 5, 10)  # sentences, drawn anew for every update
SENTENCES = TASKS * (MEASURED + round(sum(SUPPORT) / len(SUPPORT)))  # an update, on average
PLAIN, ADAM = "plain gradient descent", "Adam"  # optimisers, and rates tried at test time, by all
RATES = [(PLAIN, 0.2), (PLAIN, 0.3), *((ADAM, rate) for rate in (0.001, 0.002, 0.004, 0.008))]
STEPS = (1, 2, 5, 10, 15, 20)
SCRATCH = [(ADAM, 0.01)], (20, 50)
BEYOND = {  # shots -> Adam's rates, steps: on both sides of what was chosen
    1: ((0.0005, 0.001, 0.002), (10, 20, 30, 50)),
    5: ((0.001, 0.002, 0.004), (10, 20, 30, 50)),
    20: ((0.004, 0.008, 0.016), (10, 20, 30, 50)),
}
ORDERS, DISCOUNTS = (3, 4, 5, 6), (0.5, 0.6, 0.7, 0.8, 0.9)
WEIGHTS = tuple(i / 20 for i in range(1, 20))
WITH_ALL_SEEDS = ("FineTune", "FOMAML")  # Reptile, which claims no first place, has one


# --- training ------------------------------------------------------------------------------------


def pretrained() -> FineTune:
    """The character model trained on all training languages together: one start for all seeds."""
    name = "pretrained"
    if (RUNS / f"{name}.json").exists():
        return checkpoints.load(name, RUNS)
    torch.manual_seed(0)
    learner = FineTune(GRULanguageModel(SYMBOLS))
    each = Sentences("train", shots=1, queries=0)
    for part, (rate, updates) in enumerate(PRETRAINING):
        optimizer = torch.optim.Adam(learner.parameters(), rate)
        settings = {"updates": updates, "tasks_per_update": 32, "seed": 100 * part}
        train(learner, each, optimizer=optimizer, progress=False, **settings)
    checkpoints.save(learner, name, {"what": "pretrained"}, RUNS)
    return learner


def trained(kind: str, seed: int) -> GRULanguageModel:
    """The pretrained network after `UPDATES` more updates of this kind."""
    name = f"{kind}_{seed}"
    if not (RUNS / f"{name}.json").exists():
        learner, optimizer = before(kind)
        if kind == "FineTune":
            task_set, tasks = Sentences("train", shots=1, queries=0), SENTENCES
        else:
            task_set, tasks = Sentences("train", shots=SUPPORT, queries=MEASURED), TASKS
        settings = {"updates": UPDATES, "tasks_per_update": tasks, "seed": seed + 1000}
        partial = RUNS / f"{name}.partial"
        train(
            learner, task_set, optimizer=optimizer, checkpoint=partial, progress=False, **settings
        )
        checkpoints.save(learner, name, {"what": name}, RUNS)
        partial.unlink()
    return checkpoints.load(name, RUNS).network


def before(kind: str):
    """A learner that starts from the pretrained weights, and what takes its outer steps."""
    network = pretrained().network
    if kind == "Reptile":
        return Reptile(network, 0.3, 5), torch.optim.SGD(network.parameters(), 0.5)
    learner = FineTune(network) if kind == "FineTune" else FOMAML(network, 0.3, 5)
    return learner, torch.optim.Adam(network.parameters(), 6e-4)


def ready(name: str, seed: int, optimizer: str, rate: float) -> GradientBased:
    """A learner that takes its steps as told."""
    if name == "FromScratch":
        return FromScratchAdam(GRULanguageModel(SYMBOLS), rate)
    return (WithAdam if optimizer == ADAM else FineTune)(trained(name, seed), rate)


# --- measuring -----------------------------------------------------------------------------------


def deal(split: str, shots: int):
    """One task for each language of a split, in their order, the same for every learner."""
    task_set = Sentences(split, shots=shots, queries=QUERIES)
    number = len(task_set.languages)
    tasks = task_set.sample(number, torch.Generator().manual_seed(1 if split == "test" else 2))
    order = tasks.unit.argsort()[:: 2 if split == "validation" else 1]
    return type(tasks)(*(field[order] for field in tasks))


def log_p(predict, tasks) -> np.ndarray:
    """What was said of each symbol that came: natural logarithms (T, Q, L), NaN where none came."""
    y = tasks.query_y
    said = predict(tasks.query_x).gather(-1, y.clamp(min=0).unsqueeze(-1)).squeeze(-1)
    return torch.where(y == IGNORE, math.nan, said).numpy()


def bits(log_probabilities: np.ndarray) -> np.ndarray:
    """Bits per character of each task: (T, Q, L) -> (T,)."""
    return -np.nanmean(log_probabilities.reshape(len(log_probabilities), -1), 1) / math.log(2)


@torch.no_grad()
def after_steps(learner, tasks, steps: tuple[int, ...]) -> dict[int, np.ndarray]:
    """log_p after each number of steps."""
    found = {step: [] for step in steps}
    for start in range(0, len(tasks), 8):
        part = tasks.part(start, start + 8)
        path = learner.trajectory(part.support_x, part.support_y, max(steps))
        for step in steps:
            found[step].append(log_p(path[step], part))
    return {step: np.concatenate(parts) for step, parts in found.items()}


def counted(tasks, order: int, discount: float) -> np.ndarray:
    return log_p(NGram(SYMBOLS, order, discount).adapt(tasks.support_x, tasks.support_y), tasks)


def mixed(first: np.ndarray, second: np.ndarray, weight: float) -> np.ndarray:
    with np.errstate(invalid="ignore"):  # NaN stays NaN
        return np.logaddexp(first + math.log(weight), second + math.log1p(-weight))


# --- the table -----------------------------------------------------------------------------------


def choose_counts(shots: int) -> list:
    """Order and discount that serve the n-gram best on validation languages."""
    tasks = deal("validation", shots)
    scores = {(o, d): bits(counted(tasks, o, d)).mean() for o in ORDERS for d in DISCOUNTS}
    best = min(scores, key=scores.get)
    return [*best, round(float(scores[best]), 3)]


def choose(name: str, shots: int, ngram: list, rates=RATES, steps=STEPS) -> list:
    """Optimiser, rate, steps and, with these, the n-gram's weight in a mixture; bits reached."""
    tasks, said = deal("validation", shots), {}
    for way in rates:
        found = after_steps(ready(name, SEEDS[0], *way), tasks, steps)
        said |= {(*way, step): p for step, p in found.items()}
    best = min(said, key=lambda at: bits(said[at]).mean())
    counts = counted(tasks, *ngram[:2])
    weight = min(WEIGHTS, key=lambda w: bits(mixed(counts, said[best], w)).mean())
    return [*best, weight, round(float(bits(said[best]).mean()), 3)]


def measure(name: str, seed: int, shots: int, chosen: dict) -> dict[str, list]:
    """Bits of each test language: alone, mixed with the n-gram, and before adapting."""
    tasks = deal("test", shots)
    *way, steps, weight, _ = chosen[name]
    said = after_steps(ready(name, seed, *way), tasks, (0, steps))
    counts = counted(tasks, *chosen["NGram"][:2])
    rows = {
        "before": said[0],
        name: said[steps],
        f"NGram + {name}": mixed(counts, said[steps], weight),
    }
    return {key: np.round(bits(row), 4).tolist() for key, row in rows.items()}


def look_beyond(table: dict) -> None:
    """Bits on validation languages with more steps and other rates than the table offers."""
    table["beyond"] = {str(shots): {} for shots in BEYOND}
    for shots, (rates, steps) in BEYOND.items():
        tasks = deal("validation", shots)
        for name in WITH_ALL_SEEDS:
            table["beyond"][str(shots)][name] = [
                [rate, step, round(float(bits(said).mean()), 3)]
                for rate in rates
                for step, said in after_steps(
                    ready(name, SEEDS[0], ADAM, rate), tasks, steps
                ).items()
            ]
    save(table)


def stages():
    """(name, seed) in the order in which the table fills."""
    yield from ((name, seed) for seed in SEEDS for name in WITH_ALL_SEEDS)
    yield from (("Reptile", SEEDS[0]), ("FromScratch", SEEDS[0]))


def fill(table: dict) -> None:
    """Compute what is missing, saving the table after each step."""
    for shots in map(str, SHOTS):
        chosen = table["chosen"].setdefault(shots, {})
        if "NGram" not in chosen:
            chosen["NGram"] = choose_counts(int(shots))
            rows = bits(counted(deal("test", int(shots)), *chosen["NGram"][:2]))
            table["bits"].setdefault(shots, {})["NGram"] = [np.round(rows, 4).tolist()]
            save(table)
    for name, seed in stages():
        for shots in SHOTS:
            chosen, found = (table[part][str(shots)] for part in ("chosen", "bits"))
            if len(found.get(name, [])) > seed:
                continue
            started = time.process_time()
            if name not in chosen:
                options = SCRATCH if name == "FromScratch" else (RATES, STEPS)
                chosen[name] = choose(name, shots, chosen["NGram"], *options)
                save(table)
            rows = measure(name, seed, shots, chosen)
            unread = rows.pop("before")
            if shots == SHOTS[0] and name != "FromScratch":
                table["bits"].setdefault("0", {}).setdefault(name, []).append(unread)
            for key, row in rows.items():
                found.setdefault(key, []).append(row)
            table["minutes"] = round(table["minutes"] + (time.process_time() - started) / 60, 2)
            save(table)


def stored() -> dict:
    """The table as far as it stands: bits are shots -> learner -> a list a seed."""
    if OUT.exists():
        return json.loads(OUT.read_text(encoding="utf8"))
    return {
        "command": COMMAND,
        "pretraining": PRETRAINING,
        "updates": UPDATES,
        "languages": [x.iso for x in Sentences("test").languages],
        "chosen": {},
        "bits": {},
        "minutes": 0.0,
    }


def save(table: dict) -> None:
    OUT.write_text(json.dumps(table, ensure_ascii=False) + "\n", encoding="utf8")


def show(table: dict) -> None:
    """Bits per character, 95 % intervals over languages, and each seed's mean."""
    for shots in ("0", *map(str, SHOTS)):
        print(f"K = {shots}")
        for name, runs in table["bits"].get(shots, {}).items():
            low, high = bootstrap_interval(np.mean(runs, 0))
            seeds = ", ".join(f"{np.mean(run):.3f}" for run in runs)
            print(f"  {name:22} {np.mean(runs):.3f} [{low:.3f}, {high:.3f}]   seeds {seeds}")
    for shots, learners in table.get("beyond", {}).items():
        for name, rows in learners.items():
            print(f"validation, K = {shots}, {name} with Adam (rate, steps, bits): {rows}")
    print(f"chosen on validation languages: {table['chosen']}; {table['minutes']} minutes")


def ship() -> None:
    """Store the pooled network and FOMAML's of the first seed in data/checkpoints."""
    table = stored()
    start = f"{sum(u for _, u in PRETRAINING)} updates of 32 sentences"
    for name, file, then in (
        ("FineTune", "pooled_languages", f"{UPDATES} more of {SENTENCES}"),
        ("FOMAML", "fomaml_languages", f"{UPDATES} updates of {TASKS} tasks by first-order MAML"),
    ):
        scores = {
            f"K = {k}": round(float(np.mean(table["bits"][k][name][0])), 3)
            for k in ["0", "1", "5", "20"]
        }
        card = {
            "what": f"a character model of languages in Latin script, {name}",
            "trained on": f"213 languages, {start}, {then}, Adam, seed {SEEDS[0]}",
            "score": {"bits per character on 76 test languages": scores},
            "version": version("meta-learning-course"),
            "command": f"{COMMAND} --ship",
        }
        optimizer, rate, steps, *_ = table["chosen"]["5"][name]
        learner = ready(name, SEEDS[0], optimizer, rate)
        learner.inner_steps = steps
        checkpoints.save(learner, file, card)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--show", action="store_true", help="print the table that is there")
    parser.add_argument("--beyond", action="store_true", help="try more steps")
    parser.add_argument("--ship", action="store_true", help="store the first seed's models")
    arguments = parser.parse_args()
    if arguments.ship:
        return ship()
    table = stored()
    if arguments.beyond:
        look_beyond(table)
    elif not arguments.show:
        fill(table)
    show(table)


if __name__ == "__main__":
    main()
