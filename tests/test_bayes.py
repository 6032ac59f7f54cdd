"""The exact ceiling against brute-force integration, and nothing beats it."""

import numpy as np
import pytest
import torch
from scipy import stats

from course_utils import checkpoints
from course_utils.learners import BayesOptimalSinusoid
from course_utils.learners.bayes import truncated_normal
from course_utils.tasks import Sinusoids
from course_utils.training import bootstrap_interval, test


def tasks_for(shots, noise, num_tasks=8):
    task_set = Sinusoids(shots=shots, queries=30, noise=noise)
    return task_set, task_set.sample(num_tasks, torch.Generator().manual_seed(5))


def brute_force(tasks, noise):
    """The posterior mean on a fine grid of amplitude and phase, by the midpoint rule."""
    amplitude = 0.1 + 4.9 * (np.arange(500) + 0.5) / 500
    phase = np.pi * (np.arange(700) + 0.5) / 700
    a, p = np.meshgrid(amplitude, phase, indexing="ij")
    means = []
    for x, y, q in zip(*(t.squeeze(-1).double().numpy() for t in tasks[:3]), strict=True):
        log_likelihood = sum(
            (stats.norm.logpdf(yi, a * np.sin(xi - p), noise) for xi, yi in zip(x, y, strict=True)),
            start=np.zeros_like(a),
        )
        weight = np.exp(log_likelihood - np.max(log_likelihood))
        weight /= weight.sum()
        means.append([(weight * a * np.sin(qi - p)).sum() for qi in q])
    return torch.tensor(np.array(means)).unsqueeze(-1)


@pytest.mark.parametrize("shots", [0, 1, 3, 10])
def test_equals_integration_over_amplitude_and_phase(shots):
    task_set, tasks = tasks_for(shots, 0.3, num_tasks=3)
    predict = BayesOptimalSinusoid(task_set).adapt(tasks.support_x, tasks.support_y)
    expected = brute_force(tasks, 0.3)
    torch.testing.assert_close(predict(tasks.query_x).double(), expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("noise", [0.02, 0.05, 0.3, 1.0])
@pytest.mark.parametrize("shots", [0, 1, 2, 5, 20])
def test_unchanged_when_the_nodes_double(shots, noise):
    task_set, tasks = tasks_for(shots, noise, num_tasks=30)
    once = BayesOptimalSinusoid(task_set)
    twice = BayesOptimalSinusoid(task_set, nodes=2 * once.nodes)
    x, y, q = tasks[:3]
    difference = once.adapt(x, y)(q) - twice.adapt(x, y)(q)
    assert difference.abs().max() < 1e-4


@pytest.mark.parametrize("shots", [2, 5])
def test_without_noise_two_points_determine_the_curve(shots):
    task_set, tasks = tasks_for(shots, 0.0, num_tasks=100)
    prediction = BayesOptimalSinusoid(task_set).adapt(tasks.support_x, tasks.support_y)(
        tasks.query_x
    )
    errors = (prediction - tasks.query_y).abs().amax((1, 2))
    assert errors.median() < 1e-4
    assert (errors < 1e-2).float().mean() >= 0.9  # points nearly π apart say the same thing twice


def test_one_exact_point_is_the_limit_of_little_noise():
    exact, tasks = tasks_for(1, 0.0, num_tasks=20)
    nearly = Sinusoids(shots=1, noise=0.01)
    x, y, q = tasks[:3]
    limit = BayesOptimalSinusoid(nearly, nodes=8192).adapt(x, y)(q)
    difference = BayesOptimalSinusoid(exact).adapt(x, y)(q) - limit
    assert difference.abs().mean() < 0.01


@pytest.mark.parametrize("low, high, mean, sd", [
    (0.1, 5.0, 2.0, 1.0), (0.1, 5.0, -3.0, 0.4), (0.1, 5.0, 40.0, 1.5), (0.1, 5.0, 4.9, 100.0),
])  # fmt: skip
def test_truncated_normal_agrees_with_scipy(low, high, mean, sd):
    log_mass, average = truncated_normal(
        torch.tensor(mean).double(), torch.tensor(sd).double(), low, high
    )
    a, b = (low - mean) / sd, (high - mean) / sd
    assert average.item() == pytest.approx(stats.truncnorm.mean(a, b, mean, sd), rel=1e-6)
    grid = np.linspace(low, high, 200_001)
    top = np.max(-((grid - mean) ** 2) / 2 / sd**2)
    mass = np.log(np.trapezoid(np.exp(-((grid - mean) ** 2) / 2 / sd**2 - top), grid)) + top
    assert log_mass.item() == pytest.approx(mass, abs=1e-5)


def test_survives_points_that_no_sine_of_the_family_could_give():
    for noise in (0.0, 0.3):
        for shots in (1, 2, 6):
            learner = BayesOptimalSinusoid(Sinusoids(shots=shots, noise=noise))
            x, y = torch.zeros(1, shots, 1), 1e3 * torch.ones(1, shots, 1)
            assert learner.adapt(x, y)(torch.linspace(-5, 5, 9).view(1, 9, 1)).isfinite().all()


@pytest.mark.parametrize("name", ["maml_sinusoid", "maml_sinusoid_one_step", "joint_sinusoid"])
@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_nothing_beats_the_ceiling(name, noise):
    task_set = Sinusoids(shots=5, queries=50, noise=noise)
    learner = checkpoints.load(name + ("_noisy" if noise else ""))
    ours = test(learner, task_set, num_tasks=300)
    ceiling = test(BayesOptimalSinusoid(task_set), task_set, num_tasks=300)
    low, _ = bootstrap_interval(ours.scores - ceiling.scores)
    assert low > 0
