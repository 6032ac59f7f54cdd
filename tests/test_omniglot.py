"""Omniglot: real handwriting in the form of the drawn characters; archives that are missing or
damaged."""

import hashlib
import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from course_utils.tasks import Omniglot, omniglot
from course_utils.tasks.characters import prepare

real = pytest.mark.skipif(
    "COURSE_OMNIGLOT" not in os.environ,
    reason="Omniglot is not here: download images_background_small1.zip and name its folder in the"
    " environment variable COURSE_OMNIGLOT",
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def png(character: int, drawer: int) -> bytes:
    """A drawing that tells its character and its drawer: a bar and a dot."""
    image = np.full((105, 105), True)
    image[10:95, 20:23] = False
    image[15 + 5 * character, 20:70] = False
    image[8 + 4 * drawer : 11 + 4 * drawer, 85:88] = False
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "png")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with an archive of Omniglot's layout: three alphabets of 3, 5 and 8 characters."""
    folder = tmp_path_factory.mktemp("omniglot")
    path, total = folder / "images_background.zip", -1
    with zipfile.ZipFile(path, "w") as file:
        for alphabet, count in {"Angelic": 3, "Braille": 5, "Cyrillic": 8}.items():
            for c in range(count):
                total += 1
                for d in reversed(range(20)):  # in no order
                    name = f"{alphabet}/character{c + 1:02}/{17 * c:04}_{d + 1:02}.png"
                    file.writestr(f"images_background/{name}", png(total, d))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(omniglot.MD5, "background", omniglot.md5(path))
        yield folder


@settings(max_examples=20, deadline=None)
@given(
    ways=st.integers(1, 8), shots=st.integers(0, 10), queries=st.integers(0, 10),
    within=st.booleans(), seed=st.integers(0, 99),
)  # fmt: skip
def test_tasks_have_the_form_promised(made, ways, shots, queries, within, seed):
    task_set = Omniglot(made, "background", ways, shots, queries, within)
    tasks = task_set.sample(3, seeded(seed))
    assert tasks.support_x.shape == (3, ways * shots, 1, 28, 28)
    assert tasks.query_x.shape == (3, ways * queries, 1, 28, 28)
    assert torch.equal(tasks.query_y[0], torch.arange(ways).repeat_interleave(queries))
    everything = torch.cat([tasks.support_x, tasks.query_x], 1).flatten(2)
    for task in everything:  # neither a class nor a drawing twice
        assert len(torch.unique(task, dim=0)) == ways * (shots + queries)
    if within:
        sizes = {"Angelic": 3, "Braille": 5, "Cyrillic": 8}
        assert all(sizes[task_set.scripts[u]] >= ways for u in tasks.unit)
    else:
        assert tasks.unit is None


def test_all_classes_of_a_shot_are_by_one_drawer(made):
    task_set = Omniglot(made, "background", 5, 2, 1, within_script=True)
    tasks = task_set.sample(8, seeded())
    flat = task_set.drawings.flatten(2)  # (classes, 20, pixels)
    x = torch.cat([tasks.support_x.view(8, 5, 2, -1), tasks.query_x.view(8, 5, 1, -1)], 2)
    for task in x:
        found = [(flat == one).all(2).nonzero()[0] for of_class in task for one in of_class]
        drawers = torch.stack(found).view(5, 3, 2)  # (class, drawer) of each drawing
        assert (drawers[..., 1] == drawers[:1, :, 1]).all()  # the same in every class
        assert len(set(drawers[0, :, 1].tolist())) == 3  # and different ones
        assert len(set(drawers[:, 0, 0].tolist())) == 5


def test_drawings_are_prepared_and_in_the_drawers_order(made):
    task_set = Omniglot(made, "background")
    assert task_set.scripts == ["Angelic", "Braille", "Cyrillic"]
    assert task_set.script.tolist() == [0] * 3 + [1] * 5 + [2] * 8
    assert task_set.drawings.shape == (16, 20, 1, 28, 28)
    for character, drawer in ((1, 0), (3, 19), (15, 4)):
        expected = prepare(omniglot.picture(png(character, drawer)))
        assert torch.equal(task_set.drawings[character, drawer], expected)


def test_the_same_seed_deals_the_same_tasks(made):
    task_set = Omniglot(made, "background", within_script=True)
    first, again, other = (task_set.sample(2, seeded(s)) for s in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first.query_x, other.query_x)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"split": "small"}, "split must be one of background_small1, background, evaluation, got"),
        ({"split": "background", "shots": 6}, "6 shots and 15 queries need 21 drawings"),
        ({"split": "background", "ways": 17}, "17 ways asked for, but there are only 16"),
        ({"split": "background", "ways": 9, "within_script": True}, "the largest, Cyrillic, has"),
        ({"queries": -1}, "queries must be a whole number, 0 or more, got -1"),
    ],
)
def test_bad_arguments_get_a_sentence(made, arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        Omniglot(made, **arguments)


def test_torchvisions_folder_is_found(made, tmp_path):
    (tmp_path / "omniglot-py").mkdir()
    source = made / "images_background.zip"
    (tmp_path / "omniglot-py" / source.name).write_bytes(source.read_bytes())
    assert len(Omniglot(tmp_path, "background").scripts) == 3


def test_the_environment_names_the_folder(made, monkeypatch):
    monkeypatch.setenv("COURSE_OMNIGLOT", str(made))
    assert len(Omniglot(split="background").scripts) == 3
    monkeypatch.delenv("COURSE_OMNIGLOT")
    with pytest.raises(FileNotFoundError, match="where is Omniglot"):
        Omniglot(split="background")


def test_a_missing_archive_gets_a_sentence_that_says_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"images_evaluation.zip is not in .*download it"):
        Omniglot(tmp_path, "evaluation")


def test_a_damaged_archive_is_named(made, tmp_path):
    whole = (made / "images_background.zip").read_bytes()
    (tmp_path / "images_background.zip").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"is damaged .*delete it and download it anew"):
        Omniglot(tmp_path, "background")


def serve(monkeypatch, folder: Path, data: bytes) -> None:
    """Have the evaluation archive downloaded from `folder`, where it holds `data`."""
    (folder / "images_evaluation.zip").write_bytes(data)
    monkeypatch.setattr(omniglot, "SOURCE", folder.as_uri())


def test_a_download_appears_whole_or_not_at_all(made, tmp_path, monkeypatch):
    whole = (made / "images_background.zip").read_bytes()
    monkeypatch.setitem(omniglot.MD5, "evaluation", hashlib.md5(whole).hexdigest())
    serve(monkeypatch, tmp_path, whole[:-100])
    with pytest.raises(ValueError, match="is not Omniglot"):
        Omniglot(tmp_path / "new", "evaluation", download=True)
    assert list((tmp_path / "new").iterdir()) == []
    serve(monkeypatch, tmp_path, whole)
    assert len(Omniglot(tmp_path / "new", "evaluation", download=True).scripts) == 3
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["images_evaluation.zip"]


def test_a_download_that_fails_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(omniglot, "SOURCE", (tmp_path / "nowhere").as_uri())
    with pytest.raises(ConnectionError, match=r"could not be downloaded .* put it into"):
        Omniglot(tmp_path / "new", "evaluation", download=True)
    assert list((tmp_path / "new").iterdir()) == []


@real
def test_the_real_small_archive():
    task_set = Omniglot(split="background_small1", ways=20, shots=1, queries=1, within_script=True)
    assert task_set.scripts == ["Balinese", "Early_Aramaic", "Greek", "Korean", "Latin"]
    assert task_set.script.bincount().tolist() == [24, 22, 24, 40, 26]
    assert task_set.drawings.shape == (136, 20, 1, 28, 28)
    ink = task_set.drawings.flatten(2).sum(2)
    assert ink.min() > 5 and ink.max() < 250
    tasks = task_set.sample(100, seeded())
    d = torch.cdist(tasks.query_x.flatten(2), tasks.support_x.flatten(2))
    error = (d.argmin(2) != tasks.query_y).float().mean().item()
    assert 0.3 < error < 0.8  # pixels are a poor guide, and better than chance
