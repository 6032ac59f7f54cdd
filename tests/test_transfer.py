"""Transfer learning: the new last layer, separate heads, and recordings of tasks."""

import pytest
import torch

from course_utils.learners.transfer import FrozenFeatures, MultiHead
from course_utils.networks import MLP
from course_utils.tasks import Sinusoids
from course_utils.tasks.recording import Recording
from course_utils.training import test, train


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_new_layer_solves_the_normal_equations():
    torch.manual_seed(0)
    network = MLP(1, 8, 8, 1).double()
    tasks = Sinusoids(shots=5, queries=7).sample(3, seeded())
    sx, sy, qx, _ = (t.double() for t in tasks[:4])
    got = FrozenFeatures(network, ridge=0.7).adapt(sx, sy)(qx)
    for t in range(3):
        f, q = (
            torch.cat([torch.relu(network[2](torch.relu(network[0](x)))), torch.ones(len(x), 1)], 1)
            for x in (sx[t], qx[t])
        )
        w = torch.linalg.solve(f.T @ f + 0.7 * torch.eye(9), f.T @ sy[t])
        torch.testing.assert_close(got[t], q @ w)


def test_each_head_is_trained_by_its_own_task_only():
    torch.manual_seed(0)
    learner = MultiHead(MLP(1, 8, 1), heads=4)
    tasks = Recording(Sinusoids().sample(4, seeded()), 5, 5).sample(50, seeded())
    only = tasks.part(0, 1)
    learner(only).sum().backward()
    touched = learner.head.grad.abs().sum((1, 2)) > 0
    assert touched.nonzero().flatten().tolist() == [int(only.unit)]


def test_separate_heads_learn_what_one_output_cannot():
    torch.manual_seed(0)
    learner = MultiHead(MLP(1, 40, 40, 1), heads=20, ridge=0.1)
    recording = Recording(Sinusoids(10, 90).sample(20, seeded()), shots=10, queries=10)
    before = test(learner, Sinusoids(), num_tasks=100).mean
    adam = torch.optim.Adam(learner.parameters(), 0.01)
    history = train(learner, recording, updates=300, optimizer=adam, progress=False)
    assert history.losses[-1] < 0.3 * history.losses[0]
    assert test(learner, Sinusoids(), num_tasks=100).mean < before


def test_a_recording_deals_what_was_recorded_and_nothing_twice():
    recorded = Sinusoids(6, 4).sample(5, seeded())
    tasks = Recording(recorded, shots=3, queries=7).sample(40, seeded(1))
    x = torch.cat([tasks.support_x, tasks.query_x], 1).squeeze(2)
    every = torch.cat([recorded.support_x, recorded.query_x], 1).squeeze(2)
    assert torch.equal(x.sort(1).values, every[tasks.unit].sort(1).values)
    assert set(tasks.unit.tolist()) == set(range(5))
    assert not torch.equal(tasks.support_x[0], tasks.support_x[1])


@pytest.mark.parametrize(("made", "sentence"), [
    (lambda: FrozenFeatures(MLP(1, 4, 1), ridge=0), "ridge must be above 0, got 0"),
    (lambda: MultiHead(MLP(1, 4, 1), 2)(Sinusoids().sample(2)), "which of the 2 heads is its own"),
    (lambda: Recording(Sinusoids(5, 5).sample(2), 8, 3), "need 11 examples .* only 10"),
])  # fmt: skip
def test_bad_input_gets_a_sentence(made, sentence):
    with pytest.raises(ValueError, match=sentence):
        made()
