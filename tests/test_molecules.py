"""Molecules: no target, relative or molecule is on both sides; labels, features and errors."""

import builtins
import collections
import csv
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from course_utils.environment import data_path
from course_utils.tasks import Molecules, auroc, chemistry
from course_utils.tasks.molecules import FAMILIES, FEATURES, library, targets_of

FOLDS = range(len(FAMILIES))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def seen_by(task_set):
    return np.unique(np.concatenate([t.molecules for t in task_set.targets]))


def test_the_counts_that_the_data_statement_names():
    lib = library()
    assert len(lib.targets) == 30
    assert len(lib.smiles) == len(set(lib.smiles)) == len(lib.fingerprints) == 35_633
    assert sum(len(t.values) for t in lib.targets) == 48_714
    readme = data_path("molecules", "README.md").read_text(encoding="utf8")
    for number in ("30 proteins", "35,633", "48,714"):
        assert number in readme


def test_every_target_is_a_test_target_in_exactly_one_fold():
    counts = collections.Counter(i for fold in FOLDS for i in targets_of("test", fold))
    assert counts == dict.fromkeys(range(30), 1)


@pytest.mark.parametrize("fold", FOLDS)
def test_a_fold_leaks_neither_target_nor_family_nor_molecule(fold):
    train, validation, test = (Molecules(s, fold) for s in ("train", "validation", "test"))
    for one, other in ((train, validation), (train, test), (validation, test)):
        assert not set(one.numbers) & set(other.numbers)
        families = [{t.family for t in side.targets} for side in (one, other)]
        assert not families[0] & families[1]
        assert not np.intersect1d(seen_by(one), seen_by(other)).size
    assert len(train.targets) >= 16 and len(test.targets) >= 4


def test_relatives_are_in_one_family():
    """The groups that share chemistry: opioid receptors, PPARs, kinases."""
    with open(data_path("molecules", "targets.csv"), encoding="utf8") as file:
        family = {row["file"].split("_")[0]: row["family"] for row in csv.DictReader(file)}
    for group in ("233 236 237", "235 239 3979", "1862 2147 262 2835 2971 4005 4203"):
        assert len({family[f"CHEMBL{number}"] for number in group.split()}) == 1


def codes(x):
    """A number for every molecule of (n, features)."""
    return {zlib.crc32(row.tobytes()) for row in x.numpy()}


@settings(max_examples=12, deadline=None)
@given(
    split=st.sampled_from(["train", "validation", "test"]),
    fold=st.sampled_from(list(FOLDS)),
    shots=st.sampled_from([2, 16, 32]),
    queries=st.sampled_from([2, 20]),
    seed=st.integers(0, 99),
)
def test_tasks_are_balanced_and_of_the_shapes_promised(split, fold, shots, queries, seed):
    task_set = Molecules(split, fold, shots, queries)
    tasks = task_set.sample(3, seeded(seed))
    assert tasks.support_x.shape == (3, shots, FEATURES)
    assert tasks.query_x.shape == (3, queries, FEATURES)
    assert (tasks.support_y.sum(1) == shots // 2).all()
    assert (tasks.query_y.sum(1) == queries // 2).all()
    assert set(tasks.unit.tolist()) <= set(task_set.numbers)
    again = task_set.sample(3, seeded(seed))
    assert all(torch.equal(a, b) for a, b in zip(tasks, again, strict=True))


def test_support_and_query_share_no_molecule():
    """Molecules can share a fingerprint, so their numbers are compared."""
    task_set = Molecules("test", 0, 64, 64)
    drawn = []
    original, lib = type(library()).features, library()

    def noting(self, molecules):
        drawn.append(molecules)
        return original(self, molecules)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(lib), "features", noting)
        task_set.sample(8, seeded())
    for task in np.concatenate(drawn, 1):  # support and query: (8, 64) each
        assert len(set(task.tolist())) == 128


def test_labels_are_above_the_median_of_the_target():
    task_set = Molecules("test", 1, 32, 32)
    tasks = task_set.sample(6, seeded())
    lib = library()
    for x, y, unit in zip(tasks.query_x, tasks.query_y, tasks.unit.tolist(), strict=True):
        target = lib.targets[unit]
        own = lib.features(target.molecules)
        value = {
            zlib.crc32(r.tobytes()): v for r, v in zip(own.numpy(), target.values, strict=True)
        }
        twins = len(target.values) - len(value)  # molecules that share all their features
        values = np.array([value[zlib.crc32(row.tobytes())] for row in x.numpy()])
        assert ((values > np.median(target.values)) != y.bool().numpy()).sum() <= twins


def test_training_thresholds_vary():
    """One training target makes many tasks: some molecule is active in one and not in another."""
    task_set = Molecules("train", 0, 32, 64)
    task_set.targets, task_set.numbers = task_set.targets[3:4], task_set.numbers[3:4]
    tasks = task_set.sample(30, seeded())
    label = collections.defaultdict(set)
    for x, y in zip(tasks.query_x, tasks.query_y, strict=True):
        for row, one in zip(x.numpy(), y.tolist(), strict=True):
            label[zlib.crc32(row.tobytes())].add(one)
    assert any(len(seen) == 2 for seen in label.values())


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"split": "valid"}, "split must be one of"),
        ({"fold": 5}, "fold must be 0 to 4"),
        ({"shots": 3}, "shots must be even"),
        ({"queries": -2}, "queries must be a whole number"),
        ({"split": "test", "shots": 600, "queries": 400}, "too few"),
    ],
)
def test_bad_settings_get_a_sentence(arguments, words):
    with pytest.raises(ValueError, match=words):
        Molecules(**arguments)


# --- the metric ----------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    scores=st.lists(st.integers(-3, 3), min_size=4, max_size=20),
    data=st.data(),
)
def test_auroc_is_scikits(scores, data):
    labels = data.draw(st.lists(st.integers(0, 1), min_size=len(scores), max_size=len(scores)))
    labels[:2] = 0, 1
    logits = torch.tensor([[[-s / 2, s / 2] for s in scores]])
    ours = auroc(logits, torch.tensor([labels]))
    assert ours.item() == pytest.approx(roc_auc_score(labels, scores), abs=1e-6)


def test_auroc_needs_both_labels():
    with pytest.raises(ValueError, match="nothing can be ranked"):
        auroc(torch.zeros(1, 3, 2), torch.ones(1, 3, dtype=torch.int64))
    assert auroc.larger_is_better


# --- chemistry -----------------------------------------------------------------------------------


def test_stored_features_are_those_of_the_smiles():
    pytest.importorskip("rdkit", reason="rdkit is not installed: run `uv sync`")
    lib = library()
    with np.load(data_path("molecules", "molecules.npz")) as stored:
        numbers = stored["descriptors"]
    for i in range(0, len(lib.smiles), 4001):
        bits = chemistry.fingerprint(lib.smiles[i])
        assert (np.unpackbits(lib.fingerprints[i]) == bits).all()
        assert np.allclose(numbers[i], chemistry.descriptors(lib.smiles[i]), rtol=2e-3, atol=2e-3)


def test_two_spellings_are_one_molecule():
    pytest.importorskip("rdkit", reason="rdkit is not installed: run `uv sync`")
    assert chemistry.canonical("OCC") == chemistry.canonical("C(O)C")
    assert (chemistry.fingerprint("OCC") == chemistry.fingerprint("CCO")).all()


@pytest.mark.parametrize("what", ["canonical", "fingerprint", "descriptors", "draw"])
@pytest.mark.parametrize("smiles", ["C1CC", "not a molecule", "", "C(C)(C)(C)(C)C"])
def test_an_unparsable_smiles_is_named(what, smiles):
    pytest.importorskip("rdkit", reason="rdkit is not installed: run `uv sync`")
    with pytest.raises(ValueError, match="no SMILES string"):
        getattr(chemistry, what)(smiles)


def test_a_drawing_is_svg_and_without_rdkit_the_string(monkeypatch):
    pytest.importorskip("rdkit", reason="rdkit is not installed: run `uv sync`")
    drawn = chemistry.draw("c1ccccc1O")
    assert drawn.startswith("<svg") and drawn.count("<path") > 6
    real = builtins.__import__

    def without(name, *rest, **named):
        if name.partition(".")[0] == "rdkit":
            raise ImportError("no rdkit")
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    drawn = chemistry.draw("C<O")
    assert drawn.startswith("<svg") and "C&lt;O" in drawn
    with pytest.raises(ImportError, match="uv sync"):
        chemistry.fingerprint("CCO")


def test_reading_the_data_needs_no_rdkit(monkeypatch):
    library.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "rdkit", None)
    assert Molecules("test", 4).sample(1, seeded()).query_x.shape == (1, 64, FEATURES)
