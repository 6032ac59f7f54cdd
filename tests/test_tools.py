"""One job in many tools: those of the plain install against each other and finite differences."""

import numpy as np
import pytest

from course_utils import environment, tools

TOOLS = ["PyTorch alone", "torch.func", "course_utils", "learn2learn"]


def close(ours, theirs, tolerance=1e-5):
    """Losses and meta-gradients agree, the gradients by their length."""
    np.testing.assert_allclose(ours[0], theirs[0], rtol=tolerance)
    flat = [np.concatenate([g.ravel() for g in gradients]) for _, gradients in (ours, theirs)]
    assert np.linalg.norm(flat[0] - flat[1]) <= tolerance * np.linalg.norm(flat[1])


def start(tool, job):
    if not tools.installed(tool):
        pytest.skip(f"{tool} is not installed: {tools.TOOLS[tool][2]}")
    return tools.start(tool, job)


@pytest.mark.parametrize("first_order", [False, True], ids=["second order", "first order"])
@pytest.mark.parametrize("tool", TOOLS[1:])
def test_the_tools_agree(tool, first_order):
    job = tools.sinusoid_job(num_tasks=3, steps=2, first_order=first_order)
    reference, step = (start(t, job) for t in ("PyTorch alone", tool))
    close(step(job.tasks), reference(job.tasks), 1e-10)
    for _ in range(3):  # the weights have moved alike
        ours, theirs = step(job.tasks), reference(job.tasks)
    close(ours, theirs, 1e-10)


@pytest.mark.parametrize("tool", TOOLS)
def test_the_meta_gradient_is_the_slope_of_the_losses(tool):
    job = tools.sinusoid_job(num_tasks=3, steps=2, inner_lr=0.02)
    _, gradients = start(tool, job)(job.tasks)
    generator = np.random.default_rng(0)
    direction = [generator.standard_normal(w.shape) for w in job.weights]

    def mean_loss(size):
        moved = [w + size * d for w, d in zip(job.weights, direction, strict=True)]
        return start(tool, job._replace(weights=moved))(job.tasks)[0].mean()

    slope = sum((g * d).sum() for g, d in zip(gradients, direction, strict=True))
    assert slope == pytest.approx((mean_loss(1e-6) - mean_loss(-1e-6)) / 2e-6, rel=1e-5)


def test_first_order_is_another_gradient_of_the_same_losses():
    one, two = (
        start("course_utils", job)(job.tasks)
        for job in (tools.sinusoid_job(), tools.sinusoid_job(first_order=True))
    )
    np.testing.assert_allclose(one[0], two[0])
    assert np.abs(one[1][0] - two[1][0]).max() > 1e-3


def test_a_job_is_the_same_each_time_and_the_network_starts_from_it():
    job, again, other = tools.sinusoid_job(), tools.sinusoid_job(), tools.sinusoid_job(seed=1)
    for a, b in zip(job.weights + job.tasks, again.weights + again.tasks, strict=True):
        assert np.array_equal(a, b)
    assert not np.array_equal(job.tasks[0], other.tasks[0])
    made = list(tools.job.network(job).parameters())
    assert all(np.array_equal(p.detach(), w) for p, w in zip(made, job.weights, strict=True))


def test_lines_are_those_with_code():
    source = (
        '"""Text\nof two lines."""\nimport os\n\nx = (  # a comment\n    1\n)\n# none\nx += 1\n'
    )
    assert tools.lines_of_code(source) == 4
    assert tools.source("JAX", "loss", "run").startswith("def loss(weights, x, y):")
    assert tools.lines("course_utils") < tools.lines("learn2learn") < tools.lines("PyTorch alone")


def test_what_is_missing_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(tools.TOOLS, "TensorFlow", ("tensorflow", "no_such_thing", "uv sync it"))
    assert not tools.installed("TensorFlow")
    with pytest.raises(ImportError, match="TensorFlow is not installed: run `uv sync it`"):
        tools.load("TensorFlow")


def test_the_table_holds_what_the_tools_do_now():
    """All agreed when it was made, and this course's numbers are still those."""
    rows = environment.table("tools_table")["tools"]
    assert list(rows) == list(tools.TOOLS)
    for order, first in (("second order", False), ("first order", True)):
        for row in rows.values():
            assert row[order]["loss difference"] < 1e-5 > row[order]["gradient difference"]
        job = tools.sinusoid_job(first_order=first)
        losses, _ = start("course_utils", job)(job.tasks)
        np.testing.assert_allclose(losses, rows["course_utils"][order]["losses"], rtol=1e-4)
    assert all(row["lines"] == tools.lines(tool) for tool, row in rows.items())
