"""The half cheetah's drawing is where MuJoCo says that the body is; films are small and play."""

import io
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.collections import PolyCollection
from PIL import Image

from course_utils import body, plots
from course_utils.tasks.robots import Record


@pytest.fixture
def walk():
    """Two made-up walks of 30 steps: the first goes 3 m forward, the second 1 m back."""
    state = 0.2 * torch.randn(2, 31, 17, generator=torch.Generator().manual_seed(0))
    way = torch.tensor([[0.1], [-1 / 30]]).expand(2, 30)
    return Record(state, torch.zeros(2, 30, 6), way)


def test_each_capsule_is_where_mujoco_has_it():
    pytest.importorskip("mujoco", reason="gymnasium[mujoco] is not installed: run `uv sync`")
    pytest.importorskip("gymnasium", reason="gymnasium[mujoco] is not installed: run `uv sync`")
    import mujoco

    from course_utils.tasks.robots import make_body

    cheetah = make_body()
    random = np.random.default_rng(0)
    for _ in range(20):
        positions = random.normal(size=9)
        cheetah.data.qpos[:] = positions
        mujoco.mj_forward(cheetah.model, cheetah.data)
        state = np.concatenate([positions[1:], random.normal(size=9)])
        ends = body.skeleton(positions[0], state)
        for name, (first, last) in zip(body.PARTS, ends, strict=True):
            i = mujoco.mj_name2id(cheetah.model, mujoco.mjtObj.mjOBJ_GEOM, name)
            radius, half = cheetah.model.geom_size[i][:2]
            center = cheetah.data.geom_xpos[i]
            along = half * cheetah.data.geom_xmat[i].reshape(3, 3)[:, 2]
            assert radius == body.RADIUS and center[1] == pytest.approx(0)
            np.testing.assert_allclose(first, (center - along)[[0, 2]], atol=1e-5, err_msg=name)
            np.testing.assert_allclose(last, (center + along)[[0, 2]], atol=1e-5, err_msg=name)
    cheetah.close()


def test_many_states_at_once(walk):
    at = body.places(walk)
    ends = body.skeleton(at, walk.state)
    assert ends.shape == (2, 31, 8, 2, 2)
    np.testing.assert_allclose(ends[1, 7], body.skeleton(at[1, 7], walk.state[1, 7]))


def test_places_add_up(walk):
    np.testing.assert_allclose(
        body.places(walk)[:, [0, 10, 30]], [[0, 1, 3], [0, -1 / 3, -1]], 1e-5
    )


def test_an_outline_keeps_its_radius_from_the_bone():
    ends = np.random.default_rng(0).normal(size=(5, 2, 2))
    for (first, last), corners in zip(ends, body.outlines(ends), strict=True):
        bone = last - first
        share = np.clip((corners - first) @ bone / (bone @ bone), 0, 1)
        distance = np.linalg.norm(corners - first - share[:, None] * bone, axis=1)
        np.testing.assert_allclose(distance, body.RADIUS, rtol=1e-6)


def test_a_strobe_shows_the_first_and_the_last_pose(walk):
    ax = plt.figure().add_subplot()
    body.strobe(ax, walk, every=7)
    poses = [c for c in ax.collections if isinstance(c, PolyCollection)]
    assert len(poses) == 6  # steps 0, 7, 14, 21, 28 and 30
    for pose, step in ((poses[0], 0), (poses[-1], 30)):
        expected = body.outlines(body.skeleton(0.1 * step, walk.state[0, step]))
        drawn = np.stack([path.vertices[:18] for path in pose.get_paths()])
        np.testing.assert_allclose(drawn, expected, atol=1e-5)
    darkness = [1 - pose.get_facecolor()[0, :3].mean() for pose in poses]
    assert darkness == sorted(darkness)
    assert ax.get_xlabel() == "metres forward" and ax.get_xlim()[1] > 3.5
    plt.close(ax.figure)


def test_a_film_plays_as_fast_as_the_robot_and_says_what_it_shows(walk):
    shown = body.film({"MAML": walk, "mine": walk}, robot=1, every=4)
    (bundle, notes) = shown._repr_mimebundle_()
    assert [*bundle] == ["image/png"] and notes["image/png"]["alt"].endswith("-1.0 m; mine -1.0 m")
    film = Image.open(io.BytesIO(shown.data))
    assert film.n_frames == 9 and film.info["loop"] == 0
    assert film.info["duration"] == 200
    pixels = []
    for step in range(film.n_frames):
        film.seek(step)
        pixels.append(np.asarray(film.convert("RGB")).astype(int))
    assert film.info["duration"] > 1000  # the last picture stays for a while
    assert all((a != b).any() for a, b in pairwise(pixels))
    blue = [int(plots.BLUE[i : i + 2], 16) for i in (1, 3, 5)]
    rows = np.nonzero(np.abs(pixels[0] - blue).max(-1) < 25)[0]
    assert len(rows) > 500 and rows.max() < len(pixels[0]) / 2  # MAML, in the upper row
    with pytest.raises(ValueError, match="same number of steps"):
        shorter = Record(walk.state[:, :5], walk.command[:, :4], walk.way[:, :4])
        body.film({"MAML": walk, "mine": shorter})
