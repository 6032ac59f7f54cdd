"""Ridge head, Gaussian process, nearest molecule, scikit-learn behind two verbs: oracles."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal
from sklearn.ensemble import RandomForestClassifier
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import DotProduct
from sklearn.linear_model import LogisticRegression, Ridge
from torch import nn

from course_utils.learners import (
    BitWeights,
    RidgeHead,
    Scikit,
    TanimotoGP,
    TanimotoNeighbor,
)
from course_utils.learners.closed_form import tanimoto
from course_utils.tasks import Tasks
from course_utils.training import train


def molecules(*shape, seed=0, bits=24, extra=3):
    """Random 0/1 bits, followed by `extra` numbers: (*shape, bits + extra)."""
    generator = torch.Generator().manual_seed(seed)
    on = (torch.rand(*shape, bits, generator=generator) < 0.3).double()
    on[..., 0] = 1
    return torch.cat([on, torch.randn(*shape, extra, generator=generator).double()], -1)


def labels(tasks, shots):
    return torch.tensor([[0, 1] * (shots // 2)] * tasks)


def perturbed(learner, seed=1):
    """The learner in double precision, away from the zeros that it starts with."""
    generator = torch.Generator().manual_seed(seed)
    learner = learner.double()
    with torch.no_grad():
        for p in learner.parameters():
            p.add_(0.3 * torch.randn(p.shape, generator=generator))
    return learner


# --- Tanimoto ------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(a=st.sets(st.integers(0, 9)), b=st.sets(st.integers(0, 9)), seed=st.integers(0, 9))
def test_tanimoto_is_shared_over_either(a, b, seed):
    weight = torch.rand(10, generator=torch.Generator().manual_seed(seed)).double() + 0.1
    x, y = (torch.tensor([[[float(i in s) for i in range(10)]]]).double() for s in (a, b))
    for w in (None, weight):
        size = (lambda s: float(len(s))) if w is None else (lambda s, w=w: w[list(s)].sum().item())
        expected = size(a & b) / size(a | b) if a | b else 0.0
        assert tanimoto(x, y, w).item() == pytest.approx(expected)


def test_the_kernel_is_positive_definite_for_any_weights():
    gp = perturbed(TanimotoGP((16, 8), 3))
    x = molecules(1, 40)
    assert torch.linalg.eigvalsh(gp.kernel(x, x)).min() > -1e-9


# --- the ridge head ------------------------------------------------------------------------------


def test_ridge_head_is_scikits_ridge():
    head = perturbed(RidgeHead(nn.Linear(27, 5)))
    x, query, y = molecules(2, 8), molecules(2, 6, seed=1), labels(2, 8)
    logits = head.adapt(x, y)(query).detach()
    for t in range(2):
        z, zq = (head.encoder(v[t]).detach().numpy() for v in (x, query))
        ridge = Ridge(alpha=head.log_ridge.exp().item(), fit_intercept=False)
        said = ridge.fit(z, np.eye(2)[y[t]]).predict(zq)
        expected = head.log_scale.exp().item() * said + head.shift.item()
        assert np.allclose(logits[t], expected)


def test_gradient_flows_through_the_solution_exactly():
    head = perturbed(RidgeHead(BitWeights(24)))
    x, query, y = molecules(2, 6), molecules(2, 4, seed=1), labels(2, 6)
    flat = head.encoder.log_weight.detach().clone().requires_grad_()

    def loss(weight):
        swapped = {"encoder.log_weight": weight}
        tasks = Tasks(x, y, query, labels(2, 4))
        return torch.func.functional_call(head, swapped, (tasks,)).mean()

    assert torch.autograd.gradcheck(loss, flat)


def test_bit_weights_drop_what_follows_the_bits_and_normalise():
    encoder, x = BitWeights(24), molecules(5).float()
    z = encoder(x)
    assert z.shape == (5, 24)
    assert torch.allclose(z.norm(dim=1), torch.ones(5))


# --- the Gaussian process ------------------------------------------------------------------------


def test_marginal_likelihood_is_scipys():
    gp = perturbed(TanimotoGP((16, 8), 3))
    tasks = Tasks(molecules(2, 6), labels(2, 6), molecules(2, 4, seed=1), labels(2, 4))
    got = gp(tasks).detach()
    for t in range(2):
        x = torch.cat([tasks.support_x[t], tasks.query_x[t]])[None]
        y = 2 * torch.cat([tasks.support_y[t], tasks.query_y[t]]).numpy() - 1
        mean, cov = gp.mean(x)[0].detach().numpy(), gp.covariance(x)[0].detach().numpy()
        assert got[t].item() == pytest.approx(-multivariate_normal(mean, cov).logpdf(y) / len(y))


def test_posterior_is_that_of_the_joint_gaussian():
    """By conditioning the joint distribution of support and query labels directly."""
    gp = perturbed(TanimotoGP((16, 8), 3))
    x, query, y = molecules(1, 6), molecules(1, 4, seed=1), labels(1, 6)
    mean, variance = (v.detach() for v in gp.posterior(x, y)(query))
    both = torch.cat([x, query], 1)
    joint = gp.covariance(both)[0].detach().numpy()
    prior = gp.mean(both)[0].detach().numpy()
    gain = joint[6:, :6] @ np.linalg.inv(joint[:6, :6])
    expected = prior[6:] + gain @ (2 * y[0].numpy() - 1 - prior[:6])
    assert np.allclose(mean[0], expected)
    assert np.allclose(variance[0], np.diag(joint[6:, 6:] - gain @ joint[:6, 6:]))


def test_gp_agrees_with_scikits_where_the_kernel_is_the_same():
    """On equally long, equally weighted bits a Gaussian process of scikit-learn is the oracle."""
    x, query, y = molecules(1, 8, extra=0), molecules(1, 5, seed=2, extra=0), labels(1, 8)
    gp = TanimotoGP((24,)).double()
    similar = tanimoto(torch.cat([x, query], 1), torch.cat([x, query], 1))[0].numpy()
    root = np.linalg.cholesky(similar + 1e-10 * np.eye(13))  # features with that very kernel
    size, noise = gp.log_size.exp().item(), gp.log_noise.exp().item()
    theirs = GaussianProcessRegressor(
        size * DotProduct(0.0, "fixed"), alpha=noise, optimizer=None
    ).fit(root[:8], 2 * y[0].numpy() - 1)
    got = gp.adapt(x, y)(query)[0, :, 1].detach()
    assert np.allclose(got, theirs.predict(root[8:]), atol=1e-6)


def test_a_molecule_that_was_measured_is_predicted_as_measured():
    gp = TanimotoGP((24,)).double()
    with torch.no_grad():
        gp.log_noise.fill_(-12.0)
    x, y = molecules(2, 8, extra=0), labels(2, 8)
    assert torch.allclose(gp.adapt(x, y)(x)[..., 1], 2 * y.double() - 1, atol=1e-3)


def test_training_finds_the_bits_that_matter():
    """In these tasks the label is the first bit, or its opposite; the other bits are noise."""

    class FirstBit:
        def sample(self, num_tasks, generator=None):
            x = (torch.rand(num_tasks, 24, 12, generator=generator) < 0.5).float()
            flip = torch.rand(num_tasks, 1, generator=generator) < 0.5
            y = ((x[..., 0] == 1) ^ flip).long()
            return Tasks(x[:, :12], y[:, :12], x[:, 12:], y[:, 12:])

    gp = TanimotoGP((12,))
    optimizer = torch.optim.Adam(gp.parameters(), 0.1)
    train(gp, FirstBit(), updates=60, tasks_per_update=8, optimizer=optimizer, progress=False)
    assert gp.log_weight[0] > gp.log_weight[1:].max() + 1


@pytest.mark.parametrize(
    "learner", [TanimotoGP((16, 8), 3), RidgeHead(BitWeights(24)), TanimotoNeighbor(24)]
)
def test_a_prediction_depends_on_no_other_query_and_on_no_order(learner):
    learner = perturbed(learner)
    x, query, y = molecules(2, 8), molecules(2, 6, seed=1), labels(2, 8)
    whole = learner.adapt(x, y)(query)
    assert whole.shape == (2, 6, 2)
    assert torch.allclose(whole[:, 2:3], learner.adapt(x, y)(query[:, 2:3]))
    order = torch.tensor([3, 0, 7, 5, 2, 1, 6, 4])
    assert torch.allclose(whole, learner.adapt(x[:, order], y[:, order])(query))


# --- what learns from the support set alone ------------------------------------------------------


def test_the_nearest_molecule_decides():
    x, query, y = molecules(3, 8), molecules(3, 6, seed=1), labels(3, 8)
    logits = TanimotoNeighbor(24).adapt(x, y)(query)
    near = tanimoto(query[..., :24], x[..., :24])
    for t in range(3):
        best = near[t].max(1)
        for q in range(6):
            nearest = y[t][near[t, q] == best.values[q]]
            assert logits[t, q].argmax() in nearest
            assert logits[t, q].max() == best.values[q]


def test_scikit_is_scikit():
    x, query, y = molecules(2, 8), molecules(2, 6, seed=1), labels(2, 8)
    logits = Scikit(LogisticRegression(C=0.5), 24).adapt(x, y)(query)
    for t in range(2):
        model = LogisticRegression(C=0.5).fit(x[t, :, :24].numpy(), y[t].numpy())
        difference = logits[t, :, 1] - logits[t, :, 0]
        assert np.allclose(difference, model.decision_function(query[t, :, :24].numpy()))


def test_a_forest_never_sure_gives_finite_logits():
    x, y = molecules(1, 8), labels(1, 8)
    logits = Scikit(RandomForestClassifier(5, random_state=0)).adapt(x, y)(x)
    assert torch.isfinite(logits).all()


def test_errors_are_sentences():
    x = molecules(1, 4)
    for learner in (Scikit(LogisticRegression()), TanimotoNeighbor(24), RidgeHead(BitWeights(24))):
        with pytest.raises(ValueError, match="lacks examples"):
            learner.adapt(x, torch.tensor([[1, 1, 1, 1]]))
    with pytest.raises(TypeError, match="nothing to meta-learn"):
        Scikit(LogisticRegression())(Tasks(x, labels(1, 4), x, labels(1, 4)))
