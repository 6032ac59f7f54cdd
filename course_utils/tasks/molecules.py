"""Which molecules are active on a protein? One protein is one task (data from ChEMBL)."""

import csv
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from course_utils.environment import data_path
from course_utils.tasks.base import Tasks, TaskSet, check_counts
from course_utils.tasks.chemistry import DESCRIPTORS

SPLITS = ("train", "validation", "test")
FAMILIES = (  # fold f tests on the f-th family of targets and validates on the next
    "opioid receptors",
    "nuclear receptors",
    "kinases",
    "amine receptors and transporters",
    "others",
)
FEWEST = 200  # molecules that a training target must have left, once shared ones are removed


@dataclass(frozen=True)
class Target:
    """A protein, and what was measured on it."""

    name: str
    family: str
    molecules: np.ndarray  # (n,) numbers of molecules
    values: np.ndarray  # (n,) -log10 of the molar concentration: larger is more potent

    @property
    def active(self) -> np.ndarray:
        """Which molecules lie above the target's median: (n,) of bool."""
        return self.values > np.median(self.values)

    def without(self, banned: np.ndarray) -> "Target":
        """The same without the molecules whose numbers are `banned`."""
        kept = ~np.isin(self.molecules, banned)
        return Target(self.name, self.family, self.molecules[kept], self.values[kept])


@dataclass(frozen=True)
class Library:
    """All molecules and all targets of data/molecules."""

    smiles: tuple[str, ...]
    fingerprints: np.ndarray  # (molecules, 512), eight bits a byte
    descriptors: np.ndarray  # (molecules, 11), mean 0 and deviation 1
    targets: tuple[Target, ...]

    def features(self, molecules: np.ndarray) -> Tensor:
        """What a learner sees of molecules of any shape *m: (*m, 4096 + 11).

        First the bits of the fingerprint (`chemistry.fingerprint`), then the descriptors, scaled
        over all molecules.
        """
        bits = np.unpackbits(self.fingerprints[molecules], axis=-1)
        both = np.concatenate([bits, self.descriptors[molecules]], -1, dtype=np.float32)
        return torch.from_numpy(both)


@lru_cache(1)
def library() -> Library:
    """The molecules and targets that ship with the course, read once."""
    with open(data_path("molecules", "targets.csv"), encoding="utf8") as file:
        rows = list(csv.DictReader(file))
    with np.load(data_path("molecules", "molecules.npz"), allow_pickle=False) as stored:
        molecule, value, target = (stored[k] for k in ("molecule", "value", "target"))
        numbers = stored["descriptors"].astype(np.float32)
        scaled = (numbers - numbers.mean(0)) / numbers.std(0)
        return Library(
            tuple(stored["smiles"].tobytes().decode().split("\n")),
            stored["fingerprints"],
            scaled.clip(-4, 4),
            tuple(
                Target(row["target"], row["family"], molecule[target == t], value[target == t])
                for t, row in enumerate(rows)
            ),
        )


def targets_of(split: str, fold: int) -> list[int]:
    """The numbers of a split's targets: whole families, so that relatives are on one side."""
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
    if fold not in range(len(FAMILIES)):
        raise ValueError(f"fold must be 0 to {len(FAMILIES) - 1}, got {fold}")
    part = {"test": FAMILIES[fold], "validation": FAMILIES[(fold + 1) % len(FAMILIES)]}
    targets = library().targets
    if split != "train":
        return [i for i, t in enumerate(targets) if t.family == part[split]]
    return [i for i, t in enumerate(targets) if t.family not in part.values()]


def molecules_of(targets: list[int]) -> np.ndarray:
    """The numbers of all molecules that were measured on one of these targets."""
    return np.unique(np.concatenate([library().targets[i].molecules for i in targets]))


class Molecules(TaskSet):
    """Each task is a protein: `shots` molecules with a label to learn from, `queries` to rank.

    Half of each set is active, label 1: above the target's median, or while training above a
    random quantile between 0.3 and 0.7, so that one target makes many tasks. x is (T, n, 4107),
    as `Library.features` says; y is (T, n); unit is the target's number. Every fold has another
    family of targets for its test, and none of a test target's molecules in training or validation
    (nor a validation target's in training). Raises ValueError for counts that are odd or that a
    target can't meet, and for an unknown split or fold.
    """

    def __init__(self, split: str = "train", fold: int = 0, shots: int = 16, queries: int = 64):
        check_counts(shots=shots, queries=queries)
        for name, count in (("shots", shots), ("queries", queries)):
            if count % 2:
                raise ValueError(f"{name} must be even, half of it active, got {count}")
        self.split, self.fold, self.shots, self.queries = split, fold, shots, queries
        self.numbers = targets_of(split, fold)
        later = SPLITS[SPLITS.index(split) + 1 :]
        banned = molecules_of(targets_of("test", fold)) if later else np.empty(0, int)
        if "validation" in later:
            banned = np.union1d(banned, molecules_of(targets_of("validation", fold)))
        self.targets = [library().targets[i].without(banned) for i in self.numbers]
        if split == "train":
            enough = [len(t.values) >= FEWEST for t in self.targets]
            self.targets = [t for t, e in zip(self.targets, enough, strict=True) if e]
            self.numbers = [i for i, e in zip(self.numbers, enough, strict=True) if e]
        for target in self.targets:
            low = 0.3 if split == "train" else 0.5
            there = int(low * len(target.values)) - 1
            if (shots + queries) // 2 > there:
                raise ValueError(
                    f"{target.name} has about {there} molecules of the rarer label, too few for"
                    f" {shots} shots and {queries} queries: ask for fewer"
                )

    def sample(self, num_tasks: int, generator: torch.Generator | None = None) -> Tasks:
        """Draw tasks: targets at random in training, else each target in turn."""
        check_counts(num_tasks=num_tasks)
        device = generator.device if generator else None
        seed = torch.randint(2**31, (1,), generator=generator, device=device).item()
        random = np.random.default_rng(seed)
        which = np.arange(num_tasks) % len(self.targets)
        if self.split == "train":
            which = random.integers(len(self.targets), size=num_tasks)
        half, rest = self.shots // 2, self.queries // 2
        molecules = np.empty((num_tasks, 2, half + rest), int)  # axis 1: the label
        for t, i in enumerate(which):
            target = self.targets[i]
            quantile = random.uniform(0.3, 0.7) if self.split == "train" else 0.5
            active = target.values > np.quantile(target.values, quantile)
            for label in (0, 1):
                of_label = target.molecules[active == label]
                if len(of_label) < half + rest:
                    raise ValueError(
                        f"{target.name} has only {len(of_label)} molecules with label {label}"
                        f" at this threshold, too few for {self.shots} shots and {self.queries}"
                        " queries"
                    )
                molecules[t, label] = random.choice(of_label, half + rest, replace=False)
        shown, asked = (m.reshape(num_tasks, -1) for m in np.split(molecules, [half], 2))
        label = torch.tensor([0, 1], device=device)[:, None]
        unit = torch.tensor([self.numbers[i] for i in which], dtype=torch.int64, device=device)
        return Tasks(
            library().features(shown).to(device),
            label.expand(2, half).flatten().repeat(num_tasks, 1),
            library().features(asked).to(device),
            label.expand(2, rest).flatten().repeat(num_tasks, 1),
            unit,
        )


def auroc(prediction: Tensor, y: Tensor) -> Tensor:
    """The chance that an active molecule is ranked above an inactive one: logits (T, Q, 2) -> (T,).

    The area under the receiver operating characteristic: 1 is perfect, ½ is guessing, a tie counts
    half (Hanley and McNeil 1982). Raises ValueError where a task's labels are all the same.
    """
    score = prediction[..., 1] - prediction[..., 0]  # (T, Q)
    actives, inactives = (y == 1).unsqueeze(2), (y == 0).unsqueeze(1)
    pairs = actives & inactives  # (T, Q, Q)
    if not pairs.flatten(1).any(1).all():
        raise ValueError("a task's queries are all active or all inactive: nothing can be ranked")
    gap = score.unsqueeze(2) - score.unsqueeze(1)
    won = (gap > 0).double() + 0.5 * (gap == 0)
    return ((won * pairs).flatten(1).sum(1) / pairs.flatten(1).sum(1)).to(prediction.dtype)


auroc.larger_is_better = True

FEATURES = 4096 + len(DESCRIPTORS)  # numbers that describe a molecule
