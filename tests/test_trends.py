"""Chapter 08's learners and instruments against independent ways to the same numbers."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from course_utils import checkpoints
from course_utils.interpret import (
    activations,
    cka,
    freeze,
    influence,
    layers_of,
    relative_change,
    weights_by_layer,
)
from course_utils.learners import (
    MAML,
    BayesOptimalSinusoid,
    FromScratch,
    ImplicitMAML,
    InContext,
    LearnedOptimizer,
    RecomputingMAML,
)
from course_utils.networks import MLP, Conv4
from course_utils.tasks import Badges, Sinusoids, Tasks
from course_utils.tasks.recording import Recording
from course_utils.training import test, train


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tasks_of(count: int = 3, shots: int = 5, queries: int = 7) -> Tasks:
    return Sinusoids(shots, queries).sample(count, seeded())


class TestInContext:
    @pytest.fixture
    def reader(self):
        torch.manual_seed(0)
        return InContext(width=16, layers=2, heads=2).eval()

    def test_a_question_is_answered_on_its_own(self, reader):
        tasks = tasks_of()
        predict = reader.adapt(tasks.support_x, tasks.support_y)
        together = predict(tasks.query_x)
        alone = torch.cat([predict(q) for q in tasks.query_x.split(1, 1)], 1)
        torch.testing.assert_close(together, alone)

    def test_the_order_of_the_examples_does_not_matter(self, reader):
        tasks, order = tasks_of(), torch.randperm(5)
        turned = reader.adapt(tasks.support_x[:, order], tasks.support_y[:, order])
        straight = reader.adapt(tasks.support_x, tasks.support_y)
        torch.testing.assert_close(turned(tasks.query_x), straight(tasks.query_x))

    def test_the_examples_do_matter(self, reader):
        tasks = tasks_of()
        one = reader.adapt(tasks.support_x, tasks.support_y)(tasks.query_x)
        other = reader.adapt(tasks.support_x, tasks.support_y + 1)(tasks.query_x)
        none = reader.adapt(tasks.support_x[:, :0], tasks.support_y[:, :0])(tasks.query_x)
        assert (one - other).abs().min() > 0 and (one - none).abs().min() > 0
        assert none.shape == tasks.query_y.shape

    def test_inputs_and_targets_of_any_size(self):
        reader = InContext(inputs=3, outputs=2, width=16, layers=1, heads=2)
        predict = reader.adapt(torch.randn(4, 5, 3), torch.randn(4, 5, 2))
        assert predict(torch.randn(4, 6, 3)).shape == (4, 6, 2)

    def test_it_learns_and_is_saved(self, tmp_path):
        torch.manual_seed(0)
        reader, family = InContext(width=16, layers=1, heads=2), Sinusoids(5, 5)
        before = test(reader, family, num_tasks=100).mean
        train(reader, family, updates=60, progress=False)
        assert test(reader, family, num_tasks=100).mean < before
        checkpoints.save(reader, "reader", {}, tmp_path)
        back = checkpoints.load("reader", tmp_path)
        tasks = tasks_of()
        torch.testing.assert_close(
            back.adapt(*tasks[:2])(tasks.query_x), reader.adapt(*tasks[:2])(tasks.query_x)
        )

    @pytest.mark.parametrize("shots", [1, 5, 10])
    def test_the_one_that_ships_is_not_better_than_possible(self, shots):
        family = Sinusoids(shots, 50, noise=0.3)
        ours = test(checkpoints.load("in_context_sinusoid_noisy"), family, num_tasks=300)
        best = test(BayesOptimalSinusoid(family), family, num_tasks=300)
        assert ours.interval[1] > best.interval[0]
        assert ours.mean < 2  # and it does learn: the mean of all sines has an error of 4


def test_the_implicit_gradient_is_that_of_the_minimum():
    """Finite differences of the query loss at the end of a very long inner loop."""
    torch.manual_seed(0)
    x, y = torch.randn(2, 6, 2).double(), torch.randn(2, 6, 1).double()
    tasks = Tasks(x[:, :4], y[:, :4], x[:, 4:], y[:, 4:])
    learner = ImplicitMAML(nn.Linear(2, 1).double(), 0.1, 500, strength=2.0, iterations=10)
    learner(tasks).mean().backward()

    def objective() -> float:
        predict = learner.adapt(tasks.support_x, tasks.support_y)
        return (predict(tasks.query_x) - tasks.query_y).pow(2).mean().item()

    for p in learner.parameters():
        for i in range(p.numel()):
            with torch.no_grad():
                p.view(-1)[i] += 1e-5
                above = objective()
                p.view(-1)[i] -= 2e-5
                below = objective()
                p.view(-1)[i] += 1e-5
            assert p.grad.view(-1)[i].item() == pytest.approx((above - below) / 2e-5, rel=1e-4)


def test_implicit_maml_learns():
    torch.manual_seed(0)
    learner = ImplicitMAML(MLP(1, 20, 20, 1), 0.02, 3)
    family = Sinusoids(10, 10, amplitude=(3, 5), phase=(0, 0.5))
    before = test(learner, family, num_tasks=100).mean
    optimizer = torch.optim.Adam(learner.parameters(), lr=0.01)
    train(learner, family, updates=60, optimizer=optimizer, progress=False)
    assert test(learner, family, num_tasks=100).mean < 0.7 * before


@pytest.mark.parametrize("network", [MLP(1, 8, 8, 1), nn.Linear(1, 1)])
def test_recomputing_changes_memory_not_numbers(network):
    tasks, results = tasks_of(), []
    for kind in (MAML, RecomputingMAML):
        learner = kind(network, 0.05, 4)
        network.zero_grad()
        losses = learner(tasks)
        losses.mean().backward()
        results.append([losses, *(p.grad.clone() for p in network.parameters())])
    torch.testing.assert_close(*results)
    with torch.no_grad():
        one, other = (kind(network, 0.05, 4)(tasks) for kind in (MAML, RecomputingMAML))
    torch.testing.assert_close(one, other)


class TestLearnedOptimizer:
    def test_with_the_rule_of_gradient_descent_it_is_gradient_descent(self, monkeypatch):
        monkeypatch.setattr(LearnedOptimizer, "move", lambda self, g, m, v, step: -0.05 * g)
        tasks = tasks_of()
        ours = LearnedOptimizer(MLP(1, 8, 1), 4).eval().trajectory(*tasks[:2])
        plain = FromScratch(MLP(1, 8, 1), 0.05, 4).trajectory(*tasks[:2])
        for a, b in zip(ours, plain, strict=True):
            torch.testing.assert_close(a(tasks.query_x), b(tasks.query_x))

    def test_the_first_move_of_a_rule_written_out(self):
        """After one step both running means are the gradient's own: g/|g| twice, log |g| / 10."""
        torch.manual_seed(0)
        learner = LearnedOptimizer(MLP(1, 1), 1)
        g = torch.tensor([[0.5, -2.0]])
        seen = torch.stack([g.sign(), g.sign(), g.abs().log() / 10], -1)
        way, size = learner.rule(seen).unbind(-1)
        got = learner.move(g, 0.1 * g, 0.05 * g**2, 1)
        torch.testing.assert_close(got, 0.01 * way * size.exp())

    def test_only_the_rule_is_trained_and_the_mould_stays(self):
        torch.manual_seed(0)
        learner = LearnedOptimizer(MLP(1, 8, 1), 5)
        mould = copy.deepcopy(learner.network.state_dict())
        rule = copy.deepcopy(learner.rule.state_dict())
        train(learner, Sinusoids(10, 10), updates=3, tasks_per_update=4, progress=False)
        assert all(torch.equal(w, mould[n]) for n, w in learner.network.state_dict().items())
        assert not torch.equal(learner.rule.state_dict()["0.weight"], rule["0.weight"])

    def test_fresh_networks_differ_in_training_and_are_fixed_in_testing(self):
        learner, tasks = LearnedOptimizer(MLP(1, 8, 1), 2), tasks_of()
        assert not torch.equal(learner.train()(tasks), learner(tasks))
        assert torch.equal(learner.eval()(tasks), learner(tasks))

    def test_it_learns(self):
        torch.manual_seed(0)
        learner, family = LearnedOptimizer(MLP(1, 8, 1), 10), Sinusoids(10, 10)
        before = test(learner, family, num_tasks=50).mean
        optimizer = torch.optim.Adam(learner.rule.parameters(), lr=0.01)
        train(learner, family, updates=40, tasks_per_update=8, optimizer=optimizer, progress=False)
        assert test(learner, family, num_tasks=50).mean < before - 0.2


class TestBadges:
    @given(size=st.integers(1, 5), count=st.integers(2, 6), seed=st.integers(0, 99))
    def test_a_task_wears_one_badge_and_no_two_the_same(self, size, count, seed):
        plain = Sinusoids(3, 4).sample(count, seeded(seed))
        tasks = Badges(Sinusoids(3, 4), size).sample(count, seeded(seed))
        assert torch.equal(tasks.support_x[..., :1], plain.support_x)
        assert torch.equal(tasks.query_y, plain.query_y)
        badges = torch.cat([tasks.support_x, tasks.query_x], 1)[..., 1:]  # (T, S + Q, size)
        assert (badges == badges[:, :1]).all()
        assert len(torch.unique(badges[:, 0], dim=0)) == count

    def test_recorded_a_task_keeps_its_badge(self):
        kept = Recording(Badges(Sinusoids(3, 3), 2).sample(4, seeded()), 2, 2)
        tasks = kept.sample(50, seeded(1))
        badges = torch.cat([tasks.unit[:, None], tasks.support_x[:, 0, 1:]], 1)
        assert len(torch.unique(badges, dim=0)) == 4
        anew = Badges(Recording(Sinusoids(3, 3).sample(4, seeded()), 2, 2), 2).sample(50, seeded(1))
        assert len(torch.unique(anew.support_x[:, 0, 1:], dim=0)) == 50


class TestInstruments:
    def test_layers_and_the_norms_that_belong_to_them(self):
        assert layers_of(MLP(1, 4, 1)) == ["0", "2"]
        found = weights_by_layer(Conv4(5, filters=8))
        assert list(found) == ["0", "3", "6", "9", "13"]
        assert found["0"] == ["0.weight", "0.bias", "1.weight", "1.bias"]

    def test_a_frozen_layer_stays_and_the_learner_too(self):
        maml, tasks = MAML(MLP(1, 8, 8, 1), 0.1, 3), tasks_of()
        held = freeze(maml, ["0", "4"])
        adapted = held.adapt(*tasks[:2])
        assert list(adapted.parameters) == ["2.weight", "2.bias"]
        assert len(maml.adaptable()) == 6
        still = freeze(maml, ["0", "2", "4"])
        expected = maml.network(tasks.query_x)
        torch.testing.assert_close(still.adapt(*tasks[:2])(tasks.query_x), expected)
        with pytest.raises(ValueError, match="no layer is called '1'; there are 0, 2, 4"):
            freeze(maml, ["1"])

    def test_relative_change_of_weights_by_hand(self):
        maml, tasks = MAML(MLP(1, 3, 1), 0.1, 2), tasks_of()
        adapted = maml.adapt(*tasks[:2])
        got = relative_change(maml, adapted)["0"]
        start = torch.cat([p.flatten() for p in maml.network[0].parameters()])
        for t in range(3):
            end = torch.cat([adapted.parameters[n][t].flatten() for n in ("0.weight", "0.bias")])
            expected = (end - start).norm() / start.norm()
            assert got[t].item() == pytest.approx(expected.item(), rel=1e-5)

    def test_activations_are_what_the_next_layer_is_given(self):
        network, x = MLP(1, 4, 3, 1), torch.randn(5, 1)
        found = activations(network, dict(network.named_parameters()), x)
        torch.testing.assert_close(found["0"], network[1](network[0](x)).detach())
        torch.testing.assert_close(found["2"], network[3](network[2](found["0"])).detach())
        torch.testing.assert_close(found["4"], network(x).detach())

    def test_cka_through_the_kernels_and_its_blindness(self):
        a, b = torch.randn(20, 3).double() + 1, torch.randn(20, 5).double()
        centre = torch.eye(20).double() - 1 / 20
        k, m = centre @ a @ a.T @ centre, centre @ b @ b.T @ centre
        assert cka(a, b) == pytest.approx(((k * m).sum() / (k.norm() * m.norm())).item())
        turn, _ = torch.linalg.qr(torch.randn(3, 3).double())
        assert cka(a, 7 * a @ turn + 2) == pytest.approx(1)
        assert cka(a, b) == pytest.approx(cka(b, a)) and 0 < cka(a, b) < 1

    @pytest.mark.parametrize(
        "learner",
        [MAML(MLP(1, 8, 8, 1).double(), 0.05, 3), InContext(width=8, layers=2, heads=2).double()],
        ids=["MAML", "InContext"],
    )
    def test_influence_is_a_derivative(self, learner):
        x, y, at = (torch.randn(n, 1).double() for n in (4, 4, 3))
        got = influence(learner.eval(), x, y, at)
        assert got.shape == (3, 4)
        for s in range(4):
            moved = []
            for sign in (1, -1):
                other = y.clone()
                other[s] += sign * 1e-5
                with torch.no_grad():
                    moved.append(learner.adapt(x[None], other[None])(at[None]).flatten())
            torch.testing.assert_close(
                got[:, s], (moved[0] - moved[1]) / 2e-5, rtol=1e-4, atol=1e-6
            )
