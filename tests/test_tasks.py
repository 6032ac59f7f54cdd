"""Task families deal what they promise; bad input gets a sentence."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.tasks import Sinusoids, Tasks, sinusoid


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@settings(max_examples=40, deadline=None)
@given(
    num_tasks=st.integers(0, 6),
    shots=st.integers(0, 7),
    queries=st.integers(0, 7),
    low=st.floats(-3, 3),
    width=st.floats(0, 4),
    seed=st.integers(0, 99),
)
def test_sinusoids_keep_to_their_ranges(num_tasks, shots, queries, low, width, seed):
    task_set = Sinusoids(shots, queries, amplitude=(1.0, 2.0), x_range=(low, low + width))
    tasks = task_set.sample(num_tasks, seeded(seed))
    assert tasks.support_x.shape == tasks.support_y.shape == (num_tasks, shots, 1)
    assert tasks.query_x.shape == tasks.query_y.shape == (num_tasks, queries, 1)
    assert len(tasks) == num_tasks
    x, y = (torch.cat(pair, 1) for pair in ((tasks[0], tasks[2]), (tasks[1], tasks[3])))
    assert ((x >= low - 1e-5) & (x <= low + width + 1e-5)).all()
    assert (y.abs() <= 2.0 + 1e-5).all()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_a_noise_free_task_is_one_sine_with_amplitude_and_phase_in_range(seed):
    """Least squares on support and query together recovers both, with nothing left over."""
    tasks = Sinusoids(shots=5, queries=5).sample(3, seeded(seed))
    x = torch.cat([tasks.support_x, tasks.query_x], 1).double()
    y = torch.cat([tasks.support_y, tasks.query_y], 1).double()
    features = torch.cat([x.sin(), -x.cos()], 2)  # y = (A cos φ) sin x − (A sin φ) cos x
    solution = torch.linalg.lstsq(features, y).solution.squeeze(2)
    assert (features @ solution.unsqueeze(2) - y).abs().max() < 1e-4
    assert ((solution.norm(dim=1) > 0.1 - 1e-3) & (solution.norm(dim=1) < 5 + 1e-3)).all()
    phase = torch.atan2(solution[:, 1], solution[:, 0])
    assert ((phase > -1e-2) & (phase < math.pi + 1e-2)).all()


def test_support_and_query_share_no_point():
    tasks = Sinusoids(shots=20, queries=20).sample(50, seeded())
    assert not (tasks.support_x == tasks.query_x.transpose(1, 2)).any()


def test_amplitude_and_phase_are_uniform():
    """Mean and variance of y at a fixed x agree with the integral over the prior."""
    tasks = Sinusoids(shots=1, queries=0, x_range=(1.0, 1.0)).sample(200_000, seeded())
    y = tasks.support_y.flatten()
    phase = torch.linspace(0, math.pi, 10_001)
    s = sinusoid(torch.tensor(1.0), 1.0, phase)
    assert y.mean().item() == pytest.approx(2.55 * s.mean().item(), abs=0.03)
    second = (5**3 - 0.1**3) / (3 * 4.9)  # E[A²]
    assert y.pow(2).mean().item() == pytest.approx(second * s.pow(2).mean().item(), abs=0.05)


def test_noise_has_the_size_asked_for():
    flat = Sinusoids(shots=500, queries=500, amplitude=(0.0, 0.0), noise=0.3).sample(20, seeded())
    assert flat.support_y.std().item() == pytest.approx(0.3, rel=0.03)
    assert flat.query_y.std().item() == pytest.approx(0.3, rel=0.03)


def test_the_same_seed_deals_the_same_tasks():
    task_set = Sinusoids(noise=0.3)
    first, again, other = (task_set.sample(4, seeded(s)) for s in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first[:4], again[:4], strict=True))
    assert not torch.equal(first.support_x, other.support_x)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"shots": -1}, "shots must be a whole number, 0 or more, got -1"),
        ({"queries": 2.5}, "queries must be a whole number, 0 or more, got 2.5"),
        ({"noise": -0.1}, "noise must be 0 or more, got -0.1"),
        ({"queries": "5"}, "queries must be a whole number, 0 or more, got 5"),
        ({"amplitude": (2, 1)}, "amplitude must be a pair"),
        ({"amplitude": 2.0}, r"amplitude must be a pair \(low, high\) with low <= high, got 2.0"),
        ({"phase": (1, 2, 3)}, "phase must be a pair"),
        ({"phase": ("a", 2)}, "phase must be a pair"),
    ],
)
def test_bad_arguments_get_a_sentence(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        Sinusoids(**arguments)


def test_whole_numbers_of_numpy_are_counts():
    assert Sinusoids(shots=np.int64(5)).sample(np.int32(2)).support_x.shape == (2, 5, 1)


def test_a_negative_number_of_tasks_is_refused():
    with pytest.raises(ValueError, match="num_tasks must be a whole number, 0 or more, got -2"):
        Sinusoids().sample(-2)


def test_parts_of_a_batch_keep_their_units():
    tasks = Tasks(*(torch.arange(6.0).view(3, 2),) * 4, unit=torch.tensor([7, 8, 8]))
    part = tasks.part(1, 3)
    assert len(part) == 2 and part.unit.tolist() == [8, 8]
    assert torch.equal(part.query_y, tasks.query_y[1:])
