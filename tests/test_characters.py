"""Drawn characters: the data, the pen, the hand, the task set, and `prepare`."""

import csv
import hashlib
import itertools
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file
from scipy import ndimage

from course_utils.environment import data_path
from course_utils.tasks import Characters
from course_utils.tasks import handwriting as hw
from course_utils.tasks.characters import in_omniglot, prepare
from course_utils.tasks.prepare import prepare_all, thin


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


# --- the data ------------------------------------------------------------------------------------


def scripts() -> dict:
    return json.loads(data_path("characters", "scripts.json").read_text(encoding="utf8"))


def test_splits_share_no_script_and_hold_no_letter_twice():
    parts = {split: Characters(split) for split in ("train", "validation", "test")}
    names = [s for part in parts.values() for s in part.scripts]
    assert sorted(names) == sorted(scripts()) and len(names) == len(set(names)) == 135
    assert [len(part.scripts) for part in parts.values()] == [96, 19, 20]
    letters = [letter for part in parts.values() for letter in part.names]
    assert len(letters) == len(set(letters)) == len(hw.stored()[0].point)
    rows = torch.cat([part.rows for part in parts.values()])
    assert sorted(rows.tolist()) == list(range(len(letters)))
    assert set(in_omniglot()) <= set(parts["train"].scripts)
    assert all(part.script.bincount().min() >= 19 for s, part in parts.items() if s != "train")


def test_letters_prepared_in_parts_are_those_prepared_at_once():
    raw = load_file(data_path("characters", "strokes.safetensors"))
    at_once, (in_parts, _) = hw.in_steps(*(raw[name] for name in hw.STORED)), hw.stored()
    for name, values in vars(at_once).items():
        torch.testing.assert_close(getattr(in_parts, name), values, atol=1e-6, rtol=0)


def test_no_two_letters_are_alike_nor_is_a_removed_one_still_there():
    """Drawn neatly and blurred, no letter's nearest neighbour is as near as what was removed."""
    letters, _ = hw.stored()
    sheets = []
    for part in torch.arange(len(letters.point)).split(500):
        x, scale = hw.fitted(
            letters.point[part], torch.ones(len(part), hw.POINTS, dtype=torch.bool), hw.LONG_SIDE
        )
        ink = letters.length[part] / hw.POINTS * scale
        width = torch.full((len(part),), 1.5 / 28)
        sheets.append(hw.inked(x + 0.5, ink.expand(-1, hw.POINTS), width, 28))
    blurred = ndimage.gaussian_filter(torch.cat(sheets)[:, 0].numpy(), (0, 1.2, 1.2))
    flat = torch.from_numpy(blurred).flatten(1)
    flat = flat / flat.norm(dim=1, keepdim=True)
    likeness = torch.cat([(block @ flat.T) for block in flat.split(1000)])
    likeness.fill_diagonal_(0)
    assert likeness.max() < 0.985
    there = {f"{s},U+{ord(c):04X}" for s, about in scripts().items() for c in about["letters"]}
    with open(data_path("characters", "removed.csv"), encoding="utf8") as file:
        removed = list(csv.reader(file))[1:]
    assert len(removed) > 1000
    assert not there & {",".join(row[:2]) for row in removed}
    likes = {",".join(row[2:]) for row in removed if row[2]}  # empty: too few were left of a script
    assert likes <= there | {",".join(row[:2]) for row in removed if not row[2]}


def test_letters_are_centred_and_their_strokes_whole():
    letters, _ = hw.stored()
    side = letters.point.amax(1) - letters.point.amin(1)
    assert (side.amax(1) - 1).abs().max() < 0.12  # the ends of strokes lie between the steps
    assert letters.point.abs().max() <= 0.5 + 1e-6
    step = (letters.point[:, 1:] - letters.point[:, :-1]).norm(dim=2)
    same = letters.stroke[:, 1:] == letters.stroke[:, :-1]
    longest = (letters.length / hw.POINTS).expand_as(step)
    ordinary = letters.stroke.amax(1) < hw.STROKES - 1  # stroke 8 counts as stroke 0 again
    assert (step - longest)[same & ordinary[:, None]].max() < 1e-5


def test_every_dot_is_drawn():
    """Each stroke of each letter, however short, has a point at least."""
    letters, _ = hw.stored()
    counts = torch.from_numpy(
        load_file(data_path("characters", "strokes.safetensors"))["strokes_per_letter"]
    ).long()
    there = torch.nn.functional.one_hot(letters.stroke, hw.STROKES).amax(1).sum(1)
    assert torch.equal(there, counts.clamp(max=hw.STROKES))


# --- the pen -------------------------------------------------------------------------------------


def by_distance(corners, width: float, size: int) -> np.ndarray:
    """The oracle: each pixel's distance to the nearest segment, one by one."""
    pixels = (np.stack(np.meshgrid(np.arange(size), np.arange(size)), 2) + 0.5) / size
    nearest = np.full((size, size), np.inf)
    for a, b in itertools.pairwise(corners):
        t = np.clip(((pixels - a) @ (b - a)) / ((b - a) @ (b - a)), 0, 1)
        nearest = np.minimum(nearest, np.linalg.norm(pixels - (a + t[..., None] * (b - a)), axis=2))
    return np.clip(0.5 + size * (width / 2 - nearest), 0, 1)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), size=st.sampled_from([20, 28, 40]), pen=st.floats(1.2, 2.6))
def test_the_pen_draws_what_distances_say(seed, size, pen):
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, 2 * np.pi)
    first = rng.uniform(0.3, 0.7, 2)
    corners = [first + r * np.array([np.cos(angle), np.sin(angle)]) for r in (-0.25, 0, 0.25)]
    corners[1] = corners[1] + rng.normal(0, 0.08, 2)
    corners = np.array(corners)
    lengths = np.linalg.norm(np.diff(corners, axis=0), axis=1)
    way = np.concatenate([[0], lengths.cumsum()])
    at = (np.arange(hw.POINTS) + 0.5) / hw.POINTS * way[-1]
    points = np.stack([np.interp(at, way, corners[:, i]) for i in (0, 1)], 1)
    ink = torch.full((1, hw.POINTS), way[-1] / hw.POINTS)
    drawn = hw.inked(torch.from_numpy(points).float()[None], ink, torch.tensor([pen / size]), size)[
        0, 0
    ].numpy()
    expected = by_distance(corners, pen / size, size)
    assert np.abs(drawn - expected).mean() < 0.008
    assert np.abs(drawn - expected).max() < 0.55  # ends are half a pixel short
    assert drawn.sum() == pytest.approx(expected.sum(), rel=0.13)


def test_points_without_ink_leave_no_trace():
    points = torch.rand(3, hw.POINTS, 2, generator=seeded())
    none = hw.inked(points, torch.zeros(3, hw.POINTS), torch.full((3,), 0.06), 28)
    assert torch.equal(none, torch.zeros(3, 1, 28, 28))


# --- the task set --------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(
    num_tasks=st.integers(0, 3), ways=st.integers(1, 20), shots=st.integers(0, 3),
    queries=st.integers(0, 3), within=st.sampled_from([False, True, 0.5]),
    split=st.sampled_from(["train", "validation", "test"]), seed=st.integers(0, 99),
)  # fmt: skip
def test_tasks_have_the_form_promised(num_tasks, ways, shots, queries, within, split, seed):
    tasks = Characters(split, ways, shots, queries, within).sample(num_tasks, seeded(seed))
    assert tasks.support_x.shape == (num_tasks, ways * shots, 1, 28, 28)
    assert tasks.query_x.shape == (num_tasks, ways * queries, 1, 28, 28)
    x = torch.cat([tasks.support_x, tasks.query_x], 1)
    assert x.dtype == torch.float32 and ((x >= 0) & (x <= 1)).all()
    assert tasks.support_y.dtype == tasks.query_y.dtype == torch.int64
    for y, each in ((tasks.support_y, shots), (tasks.query_y, queries)):
        assert torch.equal(y, torch.arange(ways).repeat_interleave(each).expand(num_tasks, -1))
    assert x.flatten(2).sum(2).min() > 3 if x.numel() else True  # there is ink in each
    flat = x.flatten(2)
    for task in flat:  # no drawing twice
        assert len(torch.unique(task, dim=0)) == len(task)
    assert (tasks.unit is None) == (within is not True)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 999), ways=st.integers(1, 40), within=st.sampled_from([0.0, 0.5, 1.0]))
def test_no_class_comes_twice_in_a_task_and_a_script_is_one_script(seed, ways, within):
    task_set = Characters("validation", ways, within_script=within)
    chosen, unit = task_set.classes.choose(6, seeded(seed), torch.device("cpu"))
    assert all(len(set(row.tolist())) == ways for row in chosen)
    assert chosen.min() >= 0 and chosen.max() < len(task_set.names)
    if within == 1:
        assert torch.equal(task_set.script[chosen], unit[:, None].expand(-1, ways))


def test_every_class_and_every_able_script_is_as_likely_as_another():
    task_set = Characters("test", 30, within_script=True)
    chosen, unit = task_set.classes.choose(4000, seeded(), torch.device("cpu"))
    count = unit.bincount(minlength=20)
    able = task_set.script.bincount() >= 30
    assert torch.equal(count > 0, able)
    expected = 4000 / able.sum()
    assert ((count[able] - expected) ** 2 / expected).sum() < 45  # χ², far beyond 99.9 %
    chosen, _ = Characters("test", 30).classes.choose(4000, seeded(), torch.device("cpu"))
    count = chosen.flatten().bincount(minlength=len(task_set.names))
    expected = chosen.numel() / len(count)
    assert (count - expected).abs().max() < 6 * expected**0.5


def test_a_share_of_the_tasks_is_within_a_script():
    task_set = Characters("train", 5, within_script=0.3)
    chosen, _ = task_set.classes.choose(3000, seeded(), torch.device("cpu"))
    script = task_set.script[chosen]
    assert (script == script[:, :1]).all(1).float().mean().item() == pytest.approx(0.3, abs=0.03)


def test_the_same_seed_deals_the_same_tasks():
    task_set = Characters(within_script=True)
    first, again, other = (task_set.sample(2, seeded(s)) for s in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first.support_x, other.support_x)


def test_turned_letters_are_classes_of_scripts_of_their_own():
    plain, task_set = Characters("test", 20), Characters("test", 20, 1, 1, True, turned=True)
    assert len(task_set.names) == 8 * len(plain.names) and len(task_set.scripts) == 8 * 20
    assert torch.equal(task_set.script.bincount(), plain.script.bincount().repeat(8))
    tasks = task_set.sample(30, seeded())
    assert tasks.unit.max() > 20
    eighths = hw.turns(torch.device("cpu"))
    assert torch.equal(eighths[0], torch.eye(2))
    assert len({tuple(m.flatten().tolist()) for m in eighths}) == 8
    assert torch.equal(eighths @ eighths.mT, torch.eye(2).expand(8, 2, 2))
    letters = hw.stored()[0][task_set.rows[:1].expand(8)].turned(torch.arange(8))
    assert torch.equal(letters.point, hw.stored()[0].point[task_set.rows[0]] @ eighths)


def test_scripts_can_be_left_out():
    left = Characters("train", without=in_omniglot())
    assert set(left.scripts) == set(Characters("train").scripts) - set(in_omniglot())
    assert len(left.names) == len(left.rows) == len(left.script)


def test_a_drawer_is_the_same_for_all_classes():
    """The pen's width, read off the drawings, goes with the drawer and not with the letter."""
    task_set = Characters("train", 20, 8, 0)
    x = task_set.sample(10, seeded()).support_x.view(10, 20, 8, -1)  # (T, ways, drawers, pixels)
    dark = (x > 0.95).sum(3) / x.sum(3).clamp(min=1)  # thick lines have a core
    between = dark.mean(1).var(1).mean()  # drawers' means, over ways
    shuffled = dark.flatten(1)[:, torch.randperm(160, generator=seeded())].view(10, 20, 8)
    assert between > 3 * shuffled.mean(1).var(1).mean()


def test_a_hand_varies_what_it_writes_but_not_beyond_recognition():
    """Nearest neighbour by pixels is much better than chance, and far from perfect."""
    tasks = Characters("test", 10, 1, 5).sample(60, seeded())
    d = torch.cdist(tasks.query_x.flatten(2), tasks.support_x.flatten(2))
    accuracy = (d.argmin(2) == tasks.query_y).float().mean().item()
    assert 0.3 < accuracy < 0.85


def test_other_sizes_show_the_same_drawing():
    small, large = (Characters("test", 3, 1, 1, size=s).sample(1, seeded()) for s in (28, 56))
    shrunk = torch.nn.functional.avg_pool2d(large.support_x[0], 2)
    assert (shrunk - small.support_x[0]).abs().mean() < 0.04


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"split": "dev"}, "split must be one of train, validation, test, got 'dev'"),
        ({"shots": -1}, "shots must be a whole number, 0 or more, got -1"),
        ({"ways": 0}, "ways must be 1 or more"),
        ({"split": "test", "ways": 5000}, "5000 ways asked for, but there are only 9"),
        ({"ways": 500, "within_script": True}, "500 ways within a script asked for, but"),
        ({"within_script": 1.5}, "within_script must be True, False or a share, got 1.5"),
        ({"without": ("Klingon",)}, "no script is called 'Klingon'"),
    ],
)
def test_bad_arguments_get_a_sentence(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        Characters(**arguments)


# --- prepare -------------------------------------------------------------------------------------


def plus(side: int, pen: int, shift=(0, 0)) -> np.ndarray:
    """A cross with arms of different lengths."""
    image = np.zeros((side, side))
    down, right = side // 2 + shift[0], side // 2 + shift[1]
    long, short, half = round(0.3 * side), round(0.15 * side), pen / 2
    image[down - long : down + long, round(right - half) : round(right + half)] = 1
    image[round(down - half) : round(down + half), right - short : right + short] = 1
    return image


def test_prepare_does_not_care_for_place_size_pen_or_darkness():
    reference = prepare(plus(100, 3))
    assert reference.shape == (1, 28, 28) and reference.max() == 1 and reference.min() == 0
    for other in (
        plus(100, 3, (15, -20)), plus(300, 9), plus(100, 5), 0.2 + 0.5 * plus(100, 3),
        plus(1000, 12), 255 * plus(60, 2).astype(np.uint8),
    ):  # fmt: skip
        assert (prepare(other) - reference).abs().mean() < 0.03


def test_prepared_drawings_look_like_drawn_ones():
    """Size, centre and amount of ink of `prepare`d drawings are those of the drawn ones."""
    task_set = Characters("validation", 40, 1, 1)
    drawn = task_set.sample(3, seeded()).support_x.flatten(0, 1)
    large = Characters("validation", 40, 1, 1, size=105).sample(3, seeded()).support_x
    again = prepare_all(large.flatten(0, 1)[:, 0].numpy())
    assert (again - drawn).abs().mean() < 0.08
    assert again.sum().item() == pytest.approx(drawn.sum().item(), rel=0.15)
    for x in (drawn, again):
        rows, columns = (x[:, 0].amax(d) > 0.5 for d in (2, 1))
        extent = torch.maximum(rows.sum(1), columns.sum(1)).float()
        assert extent.mean().item() == pytest.approx(25, abs=1.0)


def test_prepare_gives_zeros_for_an_empty_drawing_and_keeps_a_dot_small():
    for empty in (np.zeros((50, 80)), np.ones((9, 9)), np.zeros((0, 0)), torch.zeros(28, 28)):
        assert torch.equal(prepare(empty), torch.zeros(1, 28, 28))
    dot = np.zeros((100, 100))
    dot[40:43, 60:63] = 1
    assert 0 < prepare(dot).sum() < 20
    line = np.zeros((105, 105))
    line[10:95, 50:53] = 1
    assert prepare(line)[0, 3:25, 13:15].min() > 0.5  # drawn out to the usual long side, centred


@pytest.mark.parametrize("image", [np.zeros(5), np.zeros((3, 28, 28)), np.full((4, 4), np.nan)])
def test_prepare_refuses_what_is_no_drawing(image):
    with pytest.raises(ValueError, match="a drawing"):
        prepare(image)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_thinning_keeps_what_hangs_together_and_leaves_no_block(seed):
    rng = np.random.default_rng(seed)
    ink = np.zeros((40, 40), bool)
    for _ in range(3):
        a, b = rng.integers(4, 36, (2, 2))
        for t in np.linspace(0, 1, 60):
            r, c = np.round(a + t * (b - a)).astype(int)
            ink[r - 1 : r + 2, c - 1 : c + 2] = True
    line = thin(ink)
    eight = np.ones((3, 3))
    assert not (line & ~ink).any()
    assert ndimage.label(line, eight)[1] == ndimage.label(ink, eight)[1]
    holes = [ndimage.label(np.pad(~x, 1, constant_values=True))[1] for x in (ink, line)]
    assert holes[0] == holes[1]
    assert line.sum() < 0.6 * ink.sum()


def test_the_loaded_strokes_are_those_in_the_checksums():
    path = data_path("characters", "strokes.safetensors")
    line = f"{hashlib.sha256(path.read_bytes()).hexdigest()}  characters/strokes.safetensors"
    assert line in data_path("SHA256SUMS").read_text(encoding="utf8").splitlines()
    assert sum(p.stat().st_size for p in path.parent.iterdir()) < 1_000_000
