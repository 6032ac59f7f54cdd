"""The job in JAX, higher and TorchOpt: `uv run --group peers pytest tests/test_peers.py`."""

import pytest
from test_tools import close, start

from course_utils import tools

TOOLS = ["JAX", "higher", "TorchOpt"]
for tool in TOOLS:
    if not tools.installed(tool):
        pytest.skip(
            f"{tool} is not installed: uv run --group peers pytest tests/test_peers.py",
            allow_module_level=True,
        )


@pytest.mark.parametrize("first_order", [False, True], ids=["second order", "first order"])
@pytest.mark.parametrize("tool", TOOLS)
def test_losses_and_meta_gradients_agree(tool, first_order):
    job = tools.sinusoid_job(num_tasks=4, first_order=first_order)
    reference, step = (start(t, job) for t in ("course_utils", tool))
    close(step(job.tasks), reference(job.tasks))
    for _ in range(3):  # the weights have moved alike
        ours, theirs = step(job.tasks), reference(job.tasks)
    close(ours, theirs)
