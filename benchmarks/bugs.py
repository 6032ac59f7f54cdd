"""The bugs of chapter 05's museum that take training to measure: each wrong line against the right.

    uv run python benchmarks/bugs.py        # writes benchmarks/bugs.json

A wrong run is the right run with one line changed: same seeds, same tasks, same number of updates,
same settings (inner rates are those of Finn et al. 2017). Three seeds; tested on the same tasks,
600 of sines and 300 of letters. Differences are taken task by task, averaged over seeds, with 95 %
bootstrap intervals over tasks; "known letters" are other tasks than the new ones, so there it is a
difference of means. Part three holds the losses of the chapter's own program and of learn2learn's,
for machines without the latter. A part that is in the table already is kept: delete the file to
start anew.
"""

import json
import linecache
import time
from pathlib import Path

import nbformat
import numpy as np
import torch
from torch import nn

from course_utils.learners import FOMAML, MAML
from course_utils.losses import accuracy, default_loss
from course_utils.networks import MLP, Conv4
from course_utils.tasks import Sinusoids, Tasks, TaskSet
from course_utils.tasks.characters import Characters
from course_utils.training import bootstrap_interval, test, train

OUT = Path(__file__).with_suffix(".json")
SEEDS = (0, 1, 2)
SINUSOID_UPDATES = 5000
CHARACTER_UPDATES = 300
CHARACTER_BUGS = ("right", "labels not remapped", "batch statistics", "few letters")
FEW = 20  # letters
WAYS, QUERIES, TESTS = 5, 5, 300
BINS = 60  # points of a learning curve that are kept


class BeforeAdapting(MAML):
    """Takes the query loss of θ where that of θ_i is meant."""

    def forward(self, tasks):
        predict = self.adapt(tasks.support_x, tasks.support_y, steps=0)  # wrong: θ, not θ_i
        return default_loss(predict(tasks.query_x), tasks.query_y)


class GradientOnce(MAML):
    """Computes the support loss once, before the inner loop, and steps along it again and again."""

    def _inner_loop(self, x, y, steps):
        walk = super()._inner_loop(x, y, 1)
        start, once = next(walk), next(walk)
        yield start
        for k in range(1, (self.inner_steps if steps is None else steps) + 1):
            yield type(start)(start.run, start.network, {
                name: p + k * (once.parameters[name] - p)  # wrong: k times the first step
                for name, p in start.parameters.items()
            })  # fmt: skip


SINUSOID_BUGS = {
    "right": MAML,
    "before adapting": BeforeAdapting,
    "loss once": GradientOnce,
    "detached": FOMAML,
}


def row(runs: list[np.ndarray], right: list[np.ndarray] | None = None) -> dict:
    """Mean, interval and seeds' means of scores (seeds, tasks); how much more than `right`."""
    per_task = np.mean(runs, 0)
    made = {
        "mean": round(float(per_task.mean()), 4),
        "interval": rounded(bootstrap_interval(per_task)),
        "seeds": rounded(run.mean() for run in runs),
    }
    if right is not None:
        difference = per_task - np.mean(right, 0)
        made["difference"] = round(float(difference.mean()), 4)
        made["difference interval"] = rounded(bootstrap_interval(difference))
    return made


def rounded(values) -> list[float]:
    return [round(float(v), 4) for v in values]


def curve(histories) -> list[float]:
    """The loss on training batches, averaged over seeds and over `BINS` stretches of the run."""
    losses = np.mean([history.losses for history in histories], 0)
    return rounded(part.mean() for part in np.array_split(losses, BINS))


# --- sinusoids -----------------------------------------------------------------------------------


def sinusoids() -> dict:
    """Bugs that keep a learner from learning, on sinusoids of ten points."""
    rows, right = {}, None
    for name, kind in SINUSOID_BUGS.items():
        started, runs, histories = time.perf_counter(), [], []
        for seed in SEEDS:
            torch.manual_seed(seed)
            learner = kind(MLP(1, 40, 40, 1), inner_lr=0.01, inner_steps=5)
            histories.append(train(
                learner, Sinusoids(), updates=SINUSOID_UPDATES, seed=seed, device="cpu",
                validation=Sinusoids(queries=50), progress=False,
            ))  # fmt: skip
            runs.append(test(learner, Sinusoids(queries=50), seed=1, device="cpu").scores)
        right = right or runs
        rows[name] = row(runs, None if name == "right" else right) | {"curve": curve(histories)}
        print(f"{name:20} {rows[name]['mean']:.3f} {rows[name]['seeds']}"
              f" {time.perf_counter() - started:.0f} s", flush=True)  # fmt: skip
    return {"updates": SINUSOID_UPDATES, "rows": rows}


# --- characters ----------------------------------------------------------------------------------


class Episodes(TaskSet):
    """Few-shot tasks from images (letters, drawings, *x); `twice` and `names` are bugs.

    `twice` draws letters with replacement. `names` (letters,) are labels that are not remapped.
    """

    def __init__(self, images, shots: int = 1, twice: bool = False, names=None):
        self.images, self.shots, self.twice, self.names = images, shots, twice, names

    def sample(self, num_tasks, generator=None):
        letters, drawings = self.images.shape[:2]
        chosen = torch.rand(num_tasks, letters, generator=generator).argsort(1)[:, :WAYS]
        if self.twice:
            chosen = torch.randint(letters, (num_tasks, WAYS), generator=generator)  # wrong
        lot = torch.rand(num_tasks, WAYS, drawings, generator=generator)
        example = lot.argsort(2)[..., : self.shots + QUERIES]
        labels = torch.arange(WAYS).expand(num_tasks, WAYS)
        if self.names is not None:
            labels = self.names[chosen]  # wrong
        x = self.images[chosen.unsqueeze(2), example]  # (T, ways, shots + queries, *x)
        y = labels.unsqueeze(2).expand(x.shape[:3])
        s = self.shots
        return Tasks(
            x[:, :, :s].flatten(1, 2),
            y[:, :, :s].flatten(1, 2),
            x[:, :, s:].flatten(1, 2),
            y[:, :, s:].flatten(1, 2),
        )


def drawings(split: str, letters: int) -> torch.Tensor:
    """A labelled data set: 20 drawings of each of some letters, (letters, 20, 1, 28, 28)."""
    generator = torch.Generator().manual_seed(0)
    characters = Characters(split)
    chosen = torch.randperm(len(characters.names), generator=generator)[:letters]
    each = characters.draw(chosen.repeat_interleave(20), generator=generator)
    return each.unflatten(0, (letters, 20))


def over_the_batch(network: Conv4) -> Conv4:
    """The same network with batch normalisation, its statistics those of whatever comes along."""
    for i, layer in enumerate(network):
        if isinstance(layer, nn.GroupNorm):
            network[i] = nn.BatchNorm2d(layer.num_channels, track_running_stats=False)  # wrong
    return network


def trained(task_set: TaskSet, outputs: int, seed: int, change=lambda network: network):
    """A learner after the budget, and its history."""
    torch.manual_seed(seed)
    learner = MAML(change(Conv4(outputs, filters=16)), inner_lr=0.4, inner_steps=1)
    adam = torch.optim.Adam(learner.parameters(), lr=0.003)
    history = train(
        learner, task_set, updates=CHARACTER_UPDATES, tasks_per_update=4, optimizer=adam,
        seed=seed, device="cpu", progress=False,
    )  # fmt: skip
    return learner, history


def in_groups(learner, tasks: Tasks, size: int) -> np.ndarray:
    """Accuracy of each task when `size` queries at a time are predicted together."""
    with torch.no_grad():
        predict = learner.eval().adapt(tasks.support_x, tasks.support_y)
        parts = [predict(part) for part in tasks.query_x.split(size, 1)]
    return accuracy(torch.cat(parts, 1), tasks.query_y).numpy()


def seen_by(name: str, seed: int, images: dict) -> tuple[dict[str, np.ndarray], object]:
    """One run of a bug: what is measured -> scores (TESTS,), and the history."""
    known, new = images["train"], images["test"]
    if name == "labels not remapped":
        names = torch.arange(len(known) + len(new))
        own, other = names.split([len(known), len(new)])
        learner, history = trained(Episodes(known, names=own), len(names), seed)
        sets = {
            "known letters": Episodes(known, names=own),
            "new letters": Episodes(new, names=other),
        }
    else:
        known = known[:FEW] if name == "few letters" else known
        change = over_the_batch if name == "batch statistics" else lambda network: network
        learner, history = trained(Episodes(known), WAYS, seed, change)
        sets = {"known letters": Episodes(known), "new letters": Episodes(new)}
    measured = {
        what: test(learner, s, num_tasks=TESTS, seed=1, device="cpu").scores
        for what, s in sets.items()
    }
    if name == "batch statistics":
        tasks = Episodes(new).sample(TESTS, torch.Generator().manual_seed(1))
        measured["class by class"] = in_groups(learner, tasks, QUERIES)
        measured["one by one"] = in_groups(learner, tasks, 1)
    return measured, history


def characters() -> dict:
    """Bugs on letters, 5-way 1-shot: 20 drawings each of 200 letters to train on, 100 to test."""
    images = {"train": drawings("train", 200), "test": drawings("test", 100)}
    rows, right = {}, None
    for name in CHARACTER_BUGS:
        started = time.perf_counter()
        seeds = [seen_by(name, seed, images) for seed in SEEDS]
        runs = {what: [m[what] for m, _ in seeds] for what in seeds[0][0]}
        right = right or runs["new letters"]
        rows[name] = {
            what: row(r, right if what == "new letters" else runs["new letters"])
            for what, r in runs.items()
        } | {"curve": curve([history for _, history in seeds])}
        means = {what: r["mean"] for what, r in rows[name].items() if what != "curve"}
        print(f"{name:20} {means} {time.perf_counter() - started:.0f} s", flush=True)
    return {"updates": CHARACTER_UPDATES, "rows": rows}


def against_learn2learn() -> dict:
    """Runs the chapter's own cells as far as the comparison: the losses of both programs."""
    path = Path(__file__).parent.parent / "notebooks" / "05_practice.ipynb"
    space = {}
    for number, cell in enumerate(nbformat.read(path, 4).cells):
        if cell.cell_type == "code" and "%pip" not in cell.source:
            name = f"<cell {number}>"  # the chapter counts its program's lines, cell by cell
            linecache.cache[name] = (len(cell.source), None, cell.source.splitlines(True), name)
            exec(compile(cell.source, name, "exec"), space)
        if "their_losses" in space:
            return {"ours": rounded(space["our_losses"]), "theirs": rounded(space["their_losses"])}
    raise RuntimeError("learn2learn is not installed: uv sync --group learn2learn")


def main() -> None:
    torch.set_num_threads(1)
    table = {"command": "uv run python benchmarks/bugs.py", "seeds": len(SEEDS)}
    if OUT.exists():
        table = json.loads(OUT.read_text(encoding="utf8"))
    for part, measure in (
        ("sinusoids", sinusoids),
        ("characters", characters),
        ("learn2learn", against_learn2learn),
    ):
        if part not in table:
            table[part] = measure()
            text = json.dumps(table, indent=1, ensure_ascii=False) + "\n"
            OUT.write_text(text, encoding="utf8")


if __name__ == "__main__":
    main()
