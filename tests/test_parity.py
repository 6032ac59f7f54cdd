"""Our meta-gradients against learn2learn's, against finite differences, and path against path."""

import copy
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course_utils.learners import (
    ANIL,
    FOMAML,
    MAML,
    FineTune,
    FromScratch,
    FromScratchAdam,
    LearnedOptimizer,
    MetaSGD,
    Reptile,
    per_task,
)
from course_utils.networks import MLP, GRULanguageModel
from course_utils.tasks import Sinusoids, Tasks

TASKS = 3
RATE = 0.05


@pytest.fixture(scope="module")
def l2l():
    pytest.importorskip(
        "learn2learn", reason="learn2learn is not installed: uv sync --group learn2learn"
    )
    from gym_notices.notices import notices

    notices.clear()
    import learn2learn

    return learn2learn


@pytest.fixture(autouse=True)
def in_double():
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


def regression() -> tuple[nn.Module, Tasks]:
    return MLP(1, 8, 8, 1), Sinusoids(shots=4, queries=6).sample(TASKS)


def images() -> tuple[nn.Module, Tasks]:
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3, stride=2), nn.GroupNorm(2, 4), nn.Tanh(), nn.Flatten(), nn.Linear(36, 3)
    )
    return network, Tasks(
        torch.randn(TASKS, 5, 1, 8, 8),
        torch.randint(3, (TASKS, 5)),
        torch.randn(TASKS, 7, 1, 8, 8),
        torch.randint(3, (TASKS, 7)),
    )


PROBLEMS = {"mlp": regression, "convolution": images}


def plain_loss(prediction, y):
    return F.mse_loss(prediction, y) if y.is_floating_point() else F.cross_entropy(prediction, y)


def their_gradient(tasks, clone, parameters, steps):
    """The mean meta-gradient by learn2learn, in a loop over tasks."""
    total = 0
    for sx, sy, qx, qy in zip(*tasks[:4], strict=True):
        model, adapt = clone()
        for _ in range(steps):
            adapt(plain_loss(model(sx), sy))
        total = total + plain_loss(model(qx), qy) / len(tasks)
    return torch.autograd.grad(total, parameters)


def our_gradient(learner, tasks):
    parameters = [p for p in learner.parameters() if p.requires_grad]
    return torch.autograd.grad(learner(tasks).mean(), parameters)


def assert_close(ours, theirs):
    assert len(ours) == len(theirs) > 0
    for a, b in zip(ours, theirs, strict=True):
        assert (a - b).norm() <= 1e-5 * b.norm() + 1e-12


@pytest.mark.parametrize("steps", [1, 5])
@pytest.mark.parametrize("first_order", [False, True], ids=["second order", "first order"])
@pytest.mark.parametrize("problem", PROBLEMS)
def test_maml_has_learn2learns_meta_gradient(l2l, problem, first_order, steps):
    network, tasks = PROBLEMS[problem]()
    ours = (FOMAML if first_order else MAML)(network, RATE, steps)
    theirs = l2l.algorithms.MAML(copy.deepcopy(network), lr=RATE, first_order=first_order)

    def clone():
        model = theirs.clone()
        return model, model.adapt

    assert_close(
        our_gradient(ours, tasks), their_gradient(tasks, clone, list(theirs.parameters()), steps)
    )
    assert_close(
        our_gradient(MAML(network, RATE, steps, first_order=first_order), tasks),
        our_gradient(ours, tasks),
    )


@pytest.mark.parametrize("steps", [1, 5])
@pytest.mark.parametrize("problem", PROBLEMS)
def test_meta_sgd_has_learn2learns_meta_gradient(l2l, problem, steps):
    network, tasks = PROBLEMS[problem]()
    theirs = l2l.algorithms.MetaSGD(copy.deepcopy(network), lr=RATE)

    def clone():
        model = theirs.clone()
        return model, model.adapt

    parameters = [*theirs.module.parameters(), *theirs.lrs]
    assert_close(
        our_gradient(MetaSGD(network, RATE, steps), tasks),
        their_gradient(tasks, clone, parameters, steps),
    )


@pytest.mark.parametrize("steps", [1, 5])
@pytest.mark.parametrize("problem", PROBLEMS)
def test_anil_has_learn2learns_meta_gradient(l2l, problem, steps):
    network, tasks = PROBLEMS[problem]()
    copied = copy.deepcopy(network)
    body, head = nn.Sequential(*list(copied)[:-1]), l2l.algorithms.MAML(list(copied)[-1], lr=RATE)

    def clone():
        model = head.clone()
        return nn.Sequential(body, model), model.adapt

    parameters = [*body.parameters(), *head.parameters()]
    assert_close(
        our_gradient(ANIL(network, RATE, steps), tasks),
        their_gradient(tasks, clone, parameters, steps),
    )


@pytest.mark.parametrize("steps", [0, 1, 3])
@pytest.mark.parametrize("kind", [MAML, ANIL, MetaSGD, FineTune])
def test_meta_gradient_is_the_slope_of_the_objective(kind, steps):
    """Central differences along random directions; smooth units, so that the slope exists."""
    network = nn.Sequential(nn.Linear(1, 6), nn.Tanh(), nn.Linear(6, 1))
    tasks = Sinusoids(shots=4, queries=6).sample(TASKS)
    learner = kind(network, RATE, steps)
    parameters = list(learner.parameters())
    gradient = torch.autograd.grad(learner(tasks).mean(), parameters, materialize_grads=True)
    for _ in range(3):
        direction = [torch.randn_like(p) for p in parameters]
        values = []
        for size in (1e-5, -2e-5):  # to +h, then to −h
            with torch.no_grad():
                for p, d in zip(parameters, direction, strict=True):
                    p.add_(d, alpha=size)
            values.append(learner(tasks).mean().item())
        with torch.no_grad():
            for p, d in zip(parameters, direction, strict=True):
                p.add_(d, alpha=1e-5)
        slope = sum((g * d).sum() for g, d in zip(gradient, direction, strict=True)).item()
        assert slope == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-5)


def test_reptile_follows_its_formula():
    """The gradient is the mean of θ − θ′, θ′ from torch's own SGD on support and query."""
    network, tasks = regression()
    ours = our_gradient(Reptile(network, RATE, 3), tasks)
    expected = [torch.zeros_like(p) for p in network.parameters()]
    for sx, sy, qx, qy in zip(*tasks[:4], strict=True):
        own = copy.deepcopy(network)
        optimizer = torch.optim.SGD(own.parameters(), lr=RATE)
        for _ in range(3):
            optimizer.zero_grad()
            F.mse_loss(own(torch.cat([sx, qx])), torch.cat([sy, qy])).backward()
            optimizer.step()
        for total, p, q in zip(expected, network.parameters(), own.parameters(), strict=True):
            total += (p.detach() - q.detach()) / TASKS
    assert_close(ours, expected)


def test_fine_tuning_adapts_as_torchs_sgd_does():
    network, tasks = regression()
    adapted = FineTune(network, RATE, 4).adapt(tasks.support_x, tasks.support_y)(tasks.query_x)
    for t, (sx, sy, qx) in enumerate(zip(*tasks[:3], strict=True)):
        own = copy.deepcopy(network)
        optimizer = torch.optim.SGD(own.parameters(), lr=RATE)
        for _ in range(4):
            optimizer.zero_grad()
            F.mse_loss(own(sx), sy).backward()
            optimizer.step()
        torch.testing.assert_close(adapted[t], own(qx))


# --- the ways of running a network on many tasks agree -------------------------------------------


class Tied(nn.Module):
    """Shared weights, a buffer and a frozen layer: what any module may bring."""

    def __init__(self):
        super().__init__()
        self.inward, self.middle = nn.Linear(1, 5), nn.Linear(5, 5)
        self.again = self.middle  # one weight under two names
        self.frozen = nn.Linear(5, 1).requires_grad_(False)
        self.register_buffer("scale", torch.tensor(0.7))

    def forward(self, x):
        x = torch.tanh(self.inward(x)) * self.scale
        return self.frozen(torch.tanh(self.again(torch.tanh(self.middle(x)))))


@pytest.mark.parametrize("way", [per_task.run_vmap, per_task.run_loop])
@pytest.mark.parametrize("kind", [MAML, FOMAML, ANIL, MetaSGD, Reptile])
def test_fast_path_equals_the_generic_ones(kind, way):
    network, tasks = regression()
    learner = kind(network, RATE, 2)
    assert learner.run is per_task.run_dense
    fast = learner(tasks), our_gradient(learner, tasks)
    learner.run = way
    torch.testing.assert_close(learner(tasks), fast[0])
    assert_close(our_gradient(learner, tasks), fast[1])


@pytest.mark.parametrize("kind", [MAML, FOMAML, ANIL, MetaSGD, Reptile, FineTune])
def test_any_module_can_be_adapted(kind):
    network = Tied()
    tasks = Sinusoids(shots=4, queries=6).sample(TASKS)
    learner = kind(network, RATE, 2)
    mapped = our_gradient(learner, tasks)
    learner.run = per_task.run_loop
    assert_close(our_gradient(learner, tasks), mapped)
    before = network.frozen.weight.clone()
    parameters = [p for p in learner.parameters() if p.requires_grad]
    learner.outer_step(tasks, torch.optim.SGD(parameters, 0.1))
    assert torch.equal(network.frozen.weight, before)
    assert all(isinstance(p, nn.Parameter) for p in network.parameters())
    adapted = learner.adapt(tasks.support_x, tasks.support_y).parameters
    assert not any(name.startswith("frozen") for name in adapted)
    assert "again.weight" not in adapted  # one weight, adapted once


def test_weights_tied_within_a_chain_are_not_taken_for_a_dense_one():
    layer, relu = nn.Linear(3, 3), nn.ReLU()
    for network in (
        nn.Sequential(layer, relu, layer),
        nn.Sequential(nn.Linear(3, 3), relu, nn.Linear(3, 3), relu, nn.Linear(3, 3)),
        nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(3, 3)).eval()),
    ):
        x, y = torch.randn(2, 4, 3), torch.randn(2, 4, 3)
        learner = MAML(network, RATE, 1)
        assert learner.run is not per_task.run_dense
        expected = []
        for sx, sy in zip(x, y, strict=True):
            own = copy.deepcopy(network)
            optimizer = torch.optim.SGD(own.parameters(), lr=RATE)
            F.mse_loss(own(sx), sy).backward()
            optimizer.step()
            expected.append(own(sx))
        torch.testing.assert_close(learner.adapt(x, y)(x), torch.stack(expected))


def test_recurrent_networks_fall_back_to_the_loop():
    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.gru, self.out = nn.GRU(1, 4, batch_first=True), nn.Linear(4, 1)

        def forward(self, x):
            return self.out(self.gru(x)[0][:, -1])

    x, y = torch.randn(2, 3, 5, 1), torch.randn(2, 3, 1)
    gradient = our_gradient(MAML(Last(), RATE, 1), Tasks(x, y, x, y))
    assert all(g.abs().sum() > 0 for g in gradient)


def test_dropout_draws_a_mask_for_each_task_and_rests_in_evaluation():
    network = nn.Sequential(nn.Linear(1, 50), nn.Dropout(0.5), nn.Linear(50, 1))
    x = torch.ones(2, 1, 1)
    learner = MAML(network, RATE, 0)
    first, second = learner.adapt(x, x)(x).flatten()
    assert first != second
    first, second = learner.eval().adapt(x, x)(x).flatten()
    assert first == second


@pytest.fixture
def threads():
    """Sets how many threads torch may use, for one test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("number", [1, 2, 7])
@pytest.mark.parametrize("kind", [MAML, FOMAML, MetaSGD, Reptile, FineTune])
def test_an_outer_step_follows_the_gradient_of_the_mean(kind, number, threads):
    threads(number)
    network, tasks = images()  # convolutions, so one task's graph at a time, on each core
    network[0].bias.requires_grad_(False)
    learner = kind(network, RATE, 2)
    losses = learner(tasks)
    parameters = [p for p in learner.parameters() if p.requires_grad]
    expected = torch.autograd.grad(losses.mean(), parameters, allow_unused=True)
    taken = learner.outer_step(tasks, torch.optim.SGD(parameters, lr=0.0))
    torch.testing.assert_close(taken, losses.detach())
    got = [None if e is None else p.grad for p, e in zip(parameters, expected, strict=True)]
    assert_close([g for g in got if g is not None], [e for e in expected if e is not None])
    assert threads_of_a_new_thread() == number


def threads_of_a_new_thread():
    """What torch gives a thread that begins now: the main thread keeps its own number anyway."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(torch.get_num_threads).result()


def test_each_core_takes_tasks_of_its_own_on_one_thread(threads):
    threads(3)
    network, tasks = images()
    seen = set()
    network[0].register_forward_hook(
        lambda *_: seen.add((threading.get_ident(), torch.get_num_threads()))
    )
    learner = MAML(network, RATE, 1)
    learner.outer_step(tasks, torch.optim.SGD(learner.parameters(), lr=0.0))
    assert threading.get_ident() not in {thread for thread, _ in seen}
    assert {number for _, number in seen} == {1}


class Forgetful(nn.Module):
    """Drops half of what it is given, without a Dropout layer that could be seen from outside."""

    def forward(self, x):
        return F.dropout(x, 0.5)


@pytest.mark.parametrize(
    "build",
    [
        lambda first, *rest: MAML(nn.Sequential(first, nn.Dropout(0.5), *rest), RATE, 1),
        lambda first, *rest: MAML(nn.Sequential(first, Forgetful(), *rest), RATE, 1),
        lambda *network: LearnedOptimizer(nn.Sequential(*network), inner_steps=2),
    ],
    ids=["Dropout", "own layer", "LearnedOptimizer"],
)
def test_what_draws_at_random_among_convolutions_repeats_on_two_threads(build, threads):
    threads(2)
    network, tasks = images()
    learner = build(*network)
    parameters = [p for p in learner.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(parameters, lr=0.0)

    def losses():
        torch.manual_seed(5)
        return learner.outer_step(tasks, optimizer)

    first = losses()
    assert all(torch.equal(first, losses()) for _ in range(5))


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_convolutions_on_two_threads_take_the_precision_asked_for(precision, threads):
    threads(2)
    torch.set_default_dtype(torch.float32)
    network, tasks = images()
    seen = []
    network[0].register_forward_hook(lambda module, args, output: seen.append(output.dtype))
    learner = MAML(network, RATE, 1)
    with torch.autocast("cpu", precision):
        learner.outer_step(tasks, torch.optim.SGD(learner.parameters(), lr=0.0))
    assert set(seen) == {precision}


def test_what_goes_wrong_on_a_thread_is_raised_and_leaves_the_threads_as_they_were(threads):
    threads(2)
    network, tasks = images()
    tasks = Tasks(*tasks[:3], tasks.query_y + 9)
    learner = MAML(network, RATE, 1)
    with pytest.raises(ValueError, match="remap the labels"):
        learner.outer_step(tasks, torch.optim.SGD(learner.parameters(), lr=0.0))
    assert threads_of_a_new_thread() == 2


def test_images_in_any_memory_order():
    """A network of one's own may ask for the usual order; a chain of torch's layers need not."""

    class Viewed(nn.Module):
        def forward(self, x):
            return x.view(len(x), -1)

    network, tasks = images()
    viewed = nn.Sequential(*network[:3], Viewed(), network[4])
    assert per_task.is_chain(network) and not per_task.is_chain(viewed)
    ours = [MAML(n, RATE, 1).adapt(*tasks[:2])(tasks.query_x) for n in (network, viewed)]
    torch.testing.assert_close(*ours)


def test_running_statistics_are_refused():
    with pytest.raises(ValueError, match=r"layer '1' \(BatchNorm1d\) keeps running batch stat"):
        MAML(nn.Sequential(nn.Linear(1, 4), nn.BatchNorm1d(4)))
    MAML(nn.Sequential(nn.Linear(1, 4), nn.BatchNorm1d(4, track_running_stats=False)))


def test_trajectory_walks_to_where_adapt_arrives():
    network, tasks = regression()
    learner = MAML(network, RATE, 3)
    sx, sy, qx = tasks[:3]
    path = learner.trajectory(sx, sy, 4)
    assert len(path) == 5
    torch.testing.assert_close(path[3](qx), learner.adapt(sx, sy)(qx))
    torch.testing.assert_close(path[4](qx), learner.adapt(sx, sy, steps=4)(qx))
    torch.testing.assert_close(path[0](qx), network(qx))
    with torch.no_grad():  # the inner loop takes gradients where the outer one doesn't
        torch.testing.assert_close(learner.adapt(sx, sy)(qx), path[3](qx))


def test_no_support_means_no_adaptation():
    network, _ = regression()
    tasks = Sinusoids(shots=0, queries=6).sample(TASKS)
    prediction = MAML(network, RATE, 3).adapt(tasks.support_x, tasks.support_y)(tasks.query_x)
    torch.testing.assert_close(prediction, network(tasks.query_x))


# --- what does not fit gets a sentence -----------------------------------------------------------


@pytest.mark.parametrize("kind", [MAML, FromScratch, FromScratchAdam, LearnedOptimizer])
@pytest.mark.parametrize("shapes", [((10, 1), (10, 1)), ((3, 10), (3, 10)), ((10,), (10,)),
                                    ((2, 5, 1), (2, 4, 1)), ((2, 5, 1), (5,))])  # fmt: skip
def test_support_sets_must_fit(kind, shapes):
    x, y = map(torch.zeros, shapes)
    said = r"\(T, S, \*x\) and support_y \(T, S, \*y\), got .*; for one task use x.unsqueeze\(0\)"
    with pytest.raises(ValueError, match=said):
        kind(MLP(1, 4, 1)).adapt(x, y)


@pytest.mark.parametrize("shape", [(3, 5, 1), (1, 5, 1), (2, 5), (5,)])
def test_queries_must_be_of_the_tasks_adapted_to(shape):
    x = torch.zeros(2, 5, 1)
    for predict in MAML(MLP(1, 4, 1)).trajectory(x, x, 1):
        with pytest.raises(ValueError, match="T = 2 tasks were adapted to, got queries of shape"):
            predict(torch.zeros(shape))


def test_sequences_fit():
    x = torch.randint(5, (2, 3, 6))
    predict = MAML(GRULanguageModel(5, 4, 4)).adapt(x, x)
    assert predict(x[:, :2]).shape == (2, 2, 6, 5)


@pytest.mark.parametrize("steps", [-1, 1.5])
def test_steps_are_counts(steps):
    x = torch.zeros(2, 5, 1)
    with pytest.raises(ValueError, match="inner_steps must be a whole number, 0 or more"):
        MAML(MLP(1, 4, 1), inner_steps=steps)
    for verb in (MAML(MLP(1, 4, 1)).adapt, MAML(MLP(1, 4, 1)).trajectory):
        with pytest.raises(ValueError, match=r"^steps must be a whole number, 0 or more"):
            verb(x, x, steps=steps)


class Shift(nn.Module):
    """Adds a weight of its own."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.randn(()))

    def forward(self, x):
        return x + self.w


class DrawnShift(Shift):
    def reset_parameters(self):
        nn.init.normal_(self.w)


@pytest.mark.parametrize("kind", [FromScratch, FromScratchAdam, LearnedOptimizer])
def test_weights_that_cannot_be_drawn_anew_are_refused(kind):
    x = torch.zeros(2, 1, 1)
    said = rf"{kind.__name__} can't draw '1\.w' anew: give its module a method reset_parameters"
    with pytest.raises(ValueError, match=said):
        kind(nn.Sequential(nn.Linear(1, 1), Shift())).adapt(x, x)
    first, second = kind(nn.Sequential(DrawnShift())).adapt(x, x, steps=0).parameters["0.w"]
    assert first != second


def test_from_scratch_is_refused_when_built_and_frozen_weights_may_stay():
    with pytest.raises(ValueError, match="FromScratch can't draw 'w' anew"):
        FromScratch(Shift())
    FromScratch(Shift().requires_grad_(False))
