"""The job in TensorFlow: `uv run --group tensorflow pytest tests/test_tensorflow.py`."""

import numpy as np
import pytest
from test_tools import close, start

from course_utils import tools

if not tools.installed("TensorFlow"):
    pytest.skip(
        "TensorFlow is not installed: uv run --group tensorflow pytest tests/test_tensorflow.py",
        allow_module_level=True,
    )


@pytest.mark.parametrize("first_order", [False, True], ids=["second order", "first order"])
@pytest.mark.parametrize("peer", ["course_utils", "learn2learn"])
def test_losses_and_meta_gradients_agree(peer, first_order):
    job = tools.sinusoid_job(num_tasks=4, first_order=first_order)
    close(start("TensorFlow", job)(job.tasks), start(peer, job)(job.tasks))


def test_they_agree_in_single_precision_too():
    job = tools.sinusoid_job(dtype="float32", steps=1)
    ours, theirs = (start(t, job)(job.tasks) for t in ("TensorFlow", "course_utils"))
    assert ours[0].dtype == np.float32
    close(ours, theirs)


def test_each_task_has_weights_of_its_own():
    job = tools.sinusoid_job(num_tasks=4)
    module = tools.load("TensorFlow")
    sx, sy, qx, _ = map(module.tf.constant, job.tasks)
    together = module.meta_learner(job.weights, sx, sy, 0.01, 5)(qx)
    for t in range(4):
        alone = module.meta_learner(job.weights, sx[t : t + 1], sy[t : t + 1], 0.01, 5)(
            qx[t : t + 1]
        )
        np.testing.assert_allclose(alone[0], together[t], rtol=1e-10)


def test_a_step_moves_the_weights_as_adam_does_up_to_its_epsilon():
    """Keras divides by √v + ε before v is corrected for its start: ε / √(1 − β₂) at first."""
    job = tools.sinusoid_job(num_tasks=4, steps=1)
    step = tools.start("TensorFlow", job)
    _, gradients = step(job.tasks)
    moved, _ = step(job.tasks)
    epsilon = 1e-8 / np.sqrt(1 - 0.999)
    by_hand = [
        w - 0.001 * g / (np.abs(g) + epsilon) for w, g in zip(job.weights, gradients, strict=True)
    ]
    expected, _ = tools.start("PyTorch alone", job._replace(weights=by_hand))(job.tasks)
    np.testing.assert_allclose(moved, expected, rtol=1e-6)
