"""Logistic regression with a meta-learned prior: scikit-learn and scipy are the oracles."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression, Ridge
from torch.func import functional_call

from course_utils import checkpoints
from course_utils.learners import PriorLogistic
from course_utils.tasks import Tasks


def tasks(count=2, shots=8, inputs=20, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = (torch.rand(count, shots, inputs, generator=generator) < 0.3).double()
    return x, torch.tensor([[0, 1] * (shots // 2)] * count)


def with_prior(C=0.3, strength=1.5, inputs=20):
    learner = PriorLogistic(inputs, C, strength).double()
    learner.mean.data = torch.randn(inputs, generator=torch.Generator().manual_seed(5)).double()
    return learner


def difference(learner, x, y, query):
    logits = learner.adapt(x, y)(query)
    return (logits[..., 1] - logits[..., 0]).detach().numpy()


@pytest.mark.parametrize("C", [0.01, 0.1, 1.0])
@pytest.mark.parametrize("inputs", [20, 12])
def test_without_a_prior_it_is_scikits(C, inputs):
    (x, y), (query, _) = tasks(), tasks(seed=1)
    got = difference(PriorLogistic(inputs, C).double(), x, y, query)
    for t in range(2):
        oracle = LogisticRegression(C=C, tol=1e-10, max_iter=1000)
        oracle.fit(x[t, :, :inputs].numpy(), y[t].numpy())
        assert np.allclose(got[t], oracle.decision_function(query[t, :, :inputs]), atol=1e-4)


def test_with_a_prior_it_is_the_minimum_of_its_objective():
    (x, y), (query, _), learner = tasks(), tasks(seed=1), with_prior()
    got, prior = difference(learner, x, y, query), (1.5 * learner.mean.data).numpy()
    for t in range(2):
        inputs, sign = x[t].numpy(), 2 * y[t].numpy() - 1

        def objective(v, inputs=inputs, sign=sign):
            loss = np.logaddexp(0, -sign * (inputs @ v[:-1] + v[-1])).sum()
            return 0.3 * loss + ((v[:-1] - prior) ** 2).sum() / 2

        best = minimize(objective, np.zeros(21), tol=1e-12).x
        assert np.allclose(got[t], query[t].numpy() @ best[:-1] + best[-1], atol=1e-4)


def test_with_little_weight_on_the_data_the_prior_ranks():
    (x, y), (query, _), learner = tasks(), tasks(seed=1), with_prior(C=1e-6)
    got, said = difference(learner, x, y, query), (query @ learner.mean).detach().numpy()
    assert np.allclose(got - got[:, :1], 1.5 * (said - said[:, :1]), atol=1e-3)


def test_the_prior_is_the_mean_of_the_ridge_regressions():
    (x, y), learner = tasks(3, 30), PriorLogistic(20).double()
    learner.learn(zip(x, y, strict=True), ridge=2.0)
    oracle = [
        Ridge(alpha=2.0).fit(a.numpy(), 2 * b.numpy() - 1).coef_ for a, b in zip(x, y, strict=True)
    ]
    assert np.allclose(learner.mean.detach(), np.mean(oracle, 0))


def test_it_helps_where_tasks_share_a_direction():
    """In all these tasks the first inputs speak for label 1: eight examples hardly show it."""
    generator = torch.Generator().manual_seed(0)

    def draw(count, shots):
        x = torch.randn(count, shots, 30, generator=generator).double()
        w = torch.randn(count, 30, generator=generator).double() * 0.2
        w[:, :5] += 1
        f = (x @ w.unsqueeze(2)).squeeze(2)
        return x, (f > f.median(1, keepdim=True).values).long()

    learner = PriorLogistic(30, 0.1, 4.0).double()
    learner.learn(zip(*draw(10, 200), strict=True), ridge=10.0)
    x, y = draw(40, 108)
    while (y[:, :8].sum(1) == 0).any() or (y[:, :8].sum(1) == 8).any():
        x, y = draw(40, 108)
    right = []
    for strength in (0.0, 4.0):
        learner.strength = strength
        logits = learner.adapt(x[:, :8], y[:, :8])(x[:, 8:])
        right.append((logits.argmax(2) == y[:, 8:]).double().mean().item())
    assert right[1] > right[0] + 0.05


def test_the_meta_gradient_goes_through_newtons_method():
    (x, y), (query, labels) = tasks(2, 6, 5), tasks(2, 4, 5, seed=1)
    learner = with_prior(inputs=5)

    def loss(mean):
        return functional_call(learner, {"mean": mean}, (Tasks(x, y, query, labels),)).mean()

    assert torch.autograd.gradcheck(loss, learner.mean.detach().clone().requires_grad_())


def test_no_query_depends_on_another_and_order_does_not_matter():
    (x, y), (query, _), learner = tasks(), tasks(seed=1), with_prior()
    whole = difference(learner, x, y, query)
    assert np.allclose(whole[:, 2:3], difference(learner, x, y, query[:, 2:3]))
    order = torch.tensor([3, 0, 7, 5, 2, 1, 6, 4])
    assert np.allclose(whole, difference(learner, x[:, order], y[:, order], query))


def test_it_is_saved_with_its_settings(tmp_path):
    learner = with_prior()
    checkpoints.save(learner, "prior", {}, tmp_path)
    back = checkpoints.load("prior", tmp_path)
    assert (back.inputs, back.C, back.strength) == (20, 0.3, 1.5)
    assert torch.allclose(back.mean.double(), learner.mean)


def test_a_class_without_examples_gets_a_sentence():
    x, _ = tasks()
    with pytest.raises(ValueError, match="lacks examples"):
        PriorLogistic(20).double().adapt(x, torch.ones(2, 8, dtype=torch.int64))
    with pytest.raises(ValueError, match="two classes"):
        PriorLogistic(20).double().adapt(x, torch.tensor([[0, 1, 2, 0, 1, 2, 0, 1]] * 2))
