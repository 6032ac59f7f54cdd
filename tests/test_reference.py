"""Points of reference: the nearest point by a loop, stacked Adam by torch’s own, task by task."""

import copy

import pytest
import torch

from course_utils.learners import FromScratch
from course_utils.learners.reference import FromScratchAdam, NearestPoint, WithAdam
from course_utils.networks import MLP
from course_utils.tasks import Sinusoids

TASKS = Sinusoids(shots=6, queries=9, noise=0.3).sample(3, torch.Generator().manual_seed(0))
SX, SY, QX, QY, _ = TASKS


def test_nearest_point_by_a_loop():
    got = NearestPoint().adapt(SX, SY)(QX)
    for t in range(3):
        for q in range(9):
            distances = [abs(QX[t, q].item() - x.item()) for x in SX[t]]
            assert got[t, q] == SY[t, distances.index(min(distances))]


def test_nearest_point_needs_a_point():
    with pytest.raises(ValueError, match="at least one support example"):
        NearestPoint().adapt(SX[:, :0], SY[:, :0])


def test_one_adam_over_all_is_one_adam_for_each():
    start = MLP(1, 8, 5, 1)  # a square or long weight, whose gradient lies transposed in memory
    got = WithAdam(start, inner_lr=0.01, inner_steps=20, weight_decay=0.5).adapt(SX, SY)(QX)
    for t in range(3):
        network = copy.deepcopy(start)
        adam = torch.optim.AdamW(network.parameters(), lr=0.01, weight_decay=0.5)
        for _ in range(20):
            adam.zero_grad()
            torch.nn.functional.mse_loss(network(SX[t]), SY[t]).backward()
            adam.step()
        torch.testing.assert_close(got[t], network(QX[t]), rtol=1e-4, atol=1e-5)


def test_from_scratch_starts_where_plain_descent_does():
    network = MLP(1, 8, 1)
    with_adam = FromScratchAdam(network, seed=3).adapt(SX, SY, steps=0)(QX)
    assert torch.equal(with_adam, FromScratch(network, seed=3).adapt(SX, SY, steps=0)(QX))


def test_the_trajectory_is_kept_and_the_start_unchanged():
    learner = WithAdam(MLP(1, 8, 1), 0.01, 5)
    before = [p.clone() for p in learner.parameters()]
    path = learner.trajectory(SX, SY)
    assert len(path) == 6 and not torch.equal(path[0](QX), path[5](QX))
    torch.testing.assert_close(path[5](QX), learner.adapt(SX, SY)(QX))
    assert all(torch.equal(a, b) for a, b in zip(before, learner.parameters(), strict=True))


def test_it_is_not_for_meta_learning():
    with pytest.raises(TypeError, match="nothing to meta-learn"):
        FromScratchAdam(MLP(1, 8, 1))(TASKS)
