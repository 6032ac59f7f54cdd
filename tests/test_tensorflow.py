"""The job in TensorFlow: `uv run --group tensorflow pytest tests/test_tensorflow.py`."""

import numpy as np
import pytest
import torch
from test_tools import close, start

from course_utils import tools
from course_utils.learners import MAML
from course_utils.tasks import Tasks

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


def test_twenty_updates_are_adams_up_to_its_epsilon_and_roundings():
    """Keras adds ε before v is corrected, ε / √(1 − β₂ᵗ) after; its rate and β are float32."""
    job = tools.sinusoid_job()
    maml = MAML(tools.job.network(job), job.inner_lr, job.steps)
    adam = torch.optim.Adam(maml.parameters())
    tasks, step = Tasks(*map(torch.from_numpy, job.tasks)), tools.start("TensorFlow", job)
    lr, *rounded = map(float, np.float32([job.outer_lr, 0.9, 0.999]))

    def correction(beta_1, beta_2):
        return np.sqrt(1 - beta_2**t) / (1 - beta_1**t)

    for t in range(1, 21):
        adam.param_groups[0]["eps"] = 1e-8 / (1 - 0.999**t) ** 0.5
        adam.param_groups[0]["lr"] = lr * correction(*rounded) / correction(0.9, 0.999)
        losses = maml.outer_step(tasks, adam)
        np.testing.assert_allclose(step(job.tasks)[0], losses.detach(), rtol=0, atol=1e-9)
