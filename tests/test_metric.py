"""Metric-based learners: against easyfsl, against plain loops, and what must hold of them all."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from course_utils import checkpoints
from course_utils.learners import (
    FullContext,
    LinearHead,
    MatchingNet,
    NearestCentroid,
    ProtoNet,
    RelationNet,
)
from course_utils.learners.metric import cosine, one_hot, prototypes, squared_distance
from course_utils.networks import MLP, Conv4
from course_utils.tasks import Tasks, TaskSet
from course_utils.tasks.all_classes import AllClasses
from course_utils.tasks.characters import Characters
from course_utils.training import test as evaluate
from course_utils.training import train

WAYS, SHOTS, QUERIES, TASKS, SIZE = 4, 3, 6, 2, 8


@pytest.fixture(autouse=True)
def in_double():
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def easyfsl():
    return pytest.importorskip("easyfsl.methods", reason="easyfsl is not installed: uv sync")


NORMS = {"group": lambda: nn.GroupNorm(2, 4), "batch": lambda: nn.BatchNorm2d(4)}


def encoder(norm: str = "group", maps: bool = False) -> nn.Sequential:
    """Images (n, 1, 8, 8) to (n, 12), or to feature maps (n, 4, 4, 4)."""
    body = [nn.Conv2d(1, 4, 3, stride=2, padding=1), NORMS[norm](), nn.Tanh()]
    return nn.Sequential(*body, *([] if maps else [nn.Flatten(), nn.Linear(64, 12)]))


def tasks(shots: int = SHOTS) -> Tasks:
    y = torch.arange(WAYS).repeat(shots).expand(TASKS, -1)
    return Tasks(
        torch.rand(TASKS, WAYS * shots, 1, SIZE, SIZE),
        torch.stack([row[torch.randperm(len(row))] for row in y]),
        torch.rand(TASKS, QUERIES, 1, SIZE, SIZE),
        torch.randint(WAYS, (TASKS, QUERIES)),
    )


def changed(batch: Tasks, **parts) -> Tasks:
    return Tasks(**(batch._asdict() | parts))


def relation(maps: bool) -> nn.Module:
    if not maps:
        return MLP(24, 8, 1)
    return nn.Sequential(nn.Conv2d(8, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(16, 1))


LEARNERS = {
    "ProtoNet": ProtoNet,
    "MatchingNet": MatchingNet,
    "MatchingNet in context": lambda e, **k: MatchingNet(e, FullContext(12, steps=3), **k),
    "RelationNet": lambda e, **k: RelationNet(e, relation(maps=False), **k),
    "RelationNet on maps": lambda e, **k: RelationNet(e[:3], relation(maps=True), **k),
}
PRETRAINED = {  # these know no transduction
    "NearestCentroid": lambda e: NearestCentroid(e, MLP(12, 9)),
    "LinearHead": lambda e: LinearHead(e, MLP(12, 9), inner_lr=0.5, inner_steps=20),
}


def make(name: str, norm: str = "group", **options):
    return (LEARNERS | PRETRAINED)[name](encoder(norm), **options).eval()


def logits(learner, batch: Tasks):
    with torch.no_grad():
        return learner.adapt(batch.support_x, batch.support_y)(batch.query_x)


# --- parity --------------------------------------------------------------------------------------


def test_protonet_is_minus_the_square_of_easyfsl(easyfsl):
    network, batch = encoder(), tasks()
    theirs = easyfsl.PrototypicalNetworks(network)
    for t, ours in enumerate(logits(ProtoNet(network), batch)):
        theirs.process_support_set(batch.support_x[t], batch.support_y[t])
        torch.testing.assert_close(ours, -theirs(batch.query_x[t]).pow(2))


def test_relation_net_is_easyfsl(easyfsl):
    network, module, batch = encoder(maps=True), relation(maps=True), tasks()
    theirs = easyfsl.RelationNetworks(network, feature_dimension=4, relation_module=module)
    for t, ours in enumerate(logits(RelationNet(network, module), batch)):
        theirs.process_support_set(batch.support_x[t], batch.support_y[t])
        torch.testing.assert_close(ours, theirs(batch.query_x[t]))


def test_full_context_embeddings_are_easyfsl(easyfsl):
    """With as many reading steps as there are support examples, which is how theirs counts."""
    query, support = torch.randn(1, 5, 12), torch.randn(1, 6, 12)
    ours = FullContext(12, steps=6)
    theirs = easyfsl.MatchingNetworks(
        feature_dimension=12, support_encoder=ours.over_support, query_encoder=ours.reader
    )
    theirs.contextualized_support_features = theirs.encode_support_features(support[0])
    their_query = theirs.encode_query_features(query[0])
    our_query, our_support = ours(query, support)
    torch.testing.assert_close(our_query[0], their_query)
    torch.testing.assert_close(our_support[0], theirs.contextualized_support_features)


def test_matching_net_by_hand():
    """Attention is e^(cos / τ), normed; each support example gives its share to its class."""
    network, batch = encoder(), tasks()
    ours = logits(MatchingNet(network, temperature=0.5), batch)
    for t in range(TASKS):
        z_support, z_query = network(batch.support_x[t]), network(batch.query_x[t])
        for q, z in enumerate(z_query):
            weights = [math.exp(F.cosine_similarity(z, s, 0).item() / 0.5) for s in z_support]
            for c in range(WAYS):
                mine = [w for w, y in zip(weights, batch.support_y[t], strict=True) if y == c]
                assert ours[t, q, c].exp().item() == pytest.approx(sum(mine) / sum(weights))


def test_protonet_learns_with_the_gradient_of_a_plain_loop():
    network, batch = encoder(), tasks()
    losses = []
    for sx, sy, qx, qy in zip(*batch[:4], strict=True):
        centres = torch.stack([network(sx)[sy == c].mean(0) for c in range(WAYS)])
        distances = torch.stack([(z - centres).pow(2).sum(1) for z in network(qx)])
        losses.append(F.cross_entropy(-distances, qy))
    ours = ProtoNet(network)(batch)
    torch.testing.assert_close(ours, torch.stack(losses))
    wanted = torch.autograd.grad(sum(losses), list(network.parameters()))
    found = torch.autograd.grad(ours.sum(), list(network.parameters()))
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b)


# --- what holds of all ---------------------------------------------------------------------------


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", [*LEARNERS, *PRETRAINED])
def test_a_prediction_does_not_depend_on_other_queries(name, norm):
    learner, batch = make(name, norm), tasks()
    together = logits(learner, batch)
    for q in range(QUERIES):
        alone = logits(learner, changed(batch, query_x=batch.query_x[:, q : q + 1]))
        torch.testing.assert_close(alone[:, 0], together[:, q])


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", LEARNERS)
def test_with_transduction_it_does(name, norm):
    learner, batch = make(name, norm, transductive=True), tasks()
    together = logits(learner, batch)
    alone = logits(learner, changed(batch, query_x=batch.query_x[:, :1]))
    assert (alone[:, 0] - together[:, 0]).abs().max() > 1e-3


def test_transduction_standardises_over_support_and_query_of_one_task():
    learner, batch = make("ProtoNet", transductive=True), tasks()
    network = learner.encoder
    for t in range(TASKS):
        both = network[0](torch.cat([batch.support_x[t], batch.query_x[t]]))
        spread = both.var((0, 2, 3), correction=0, keepdim=True)
        both = (both - both.mean((0, 2, 3), keepdim=True)) / (spread + network[1].eps).sqrt()
        z = network[2:](both)
        support, query = z.split([WAYS * SHOTS, QUERIES])
        centres = torch.stack([support[batch.support_y[t] == c].mean(0) for c in range(WAYS)])
        wanted = -torch.cdist(query, centres).pow(2)
        torch.testing.assert_close(logits(learner, batch)[t], wanted)
    assert not any(m._forward_hooks for m in network.modules())  # nothing is left behind


@pytest.mark.parametrize("name", [*LEARNERS, *PRETRAINED])
def test_renaming_the_classes_renames_the_predictions(name):
    learner, batch = make(name), tasks()
    order = torch.randperm(WAYS)
    renamed = logits(learner, changed(batch, support_y=order[batch.support_y]))
    torch.testing.assert_close(renamed[..., order], logits(learner, batch))


@pytest.mark.parametrize("name", [*LEARNERS, *PRETRAINED])
def test_tasks_and_support_order_do_not_matter(name):
    learner, batch = make(name), tasks()
    if "context" not in name:  # an LSTM over the support set reads it in its order
        shuffled = torch.randperm(WAYS * SHOTS)
        moved = changed(
            batch, support_x=batch.support_x[:, shuffled], support_y=batch.support_y[:, shuffled]
        )
        torch.testing.assert_close(logits(learner, moved), logits(learner, batch))
    alone = torch.cat([logits(learner, batch.part(t, t + 1)) for t in range(TASKS)])
    torch.testing.assert_close(alone, logits(learner, batch))


@pytest.mark.parametrize("name", LEARNERS)
def test_all_weights_are_trained_and_no_query_is_legal(name):
    learner, batch = make(name), tasks()
    learner(batch).sum().backward()
    slopes = {n: p.grad for n, p in learner.named_parameters()}
    if "Matching" not in name:  # the last bias moves all points, or adds to all scores, alike
        assert slopes.popitem()[1].abs().max() < 1e-12
    assert all(g is not None and g.abs().max() > 1e-9 for g in slopes.values())
    none = logits(learner, changed(batch, query_x=batch.query_x[:, :0]))
    assert none.shape == (TASKS, 0, WAYS)


def test_the_order_of_the_support_matters_in_context():
    learner, batch = make("MatchingNet in context"), tasks()
    turned = changed(batch, support_x=batch.support_x.flip(1), support_y=batch.support_y.flip(1))
    assert (logits(learner, turned) - logits(learner, batch)).abs().max() > 1e-4


# --- prototypes, distances -----------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 2**20))
def test_a_prototype_is_the_point_of_least_squared_distance(shots, dims, seed):
    """The mean minimises Σ‖z − c‖², and only the squared distance has the mean for its centre."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(1, shots, dims, generator=generator, dtype=torch.float64)
    centre = prototypes(z, torch.ones(1, shots, 1)).requires_grad_()
    (slope,) = torch.autograd.grad(squared_distance(z, centre).sum(), centre)
    assert slope.abs().max() < 1e-9


def test_prototypes_of_unequal_shots_and_of_maps():
    labels = torch.tensor([[0, 1, 0, 0]])
    z = torch.randn(1, 4, 3, 2, 2)
    means = prototypes(z, one_hot(labels).to(z.dtype))
    torch.testing.assert_close(means[0, 0], z[0, [0, 2, 3]].mean(0))
    torch.testing.assert_close(means[0, 1], z[0, 1])


def test_distances_against_torch():
    a, b = torch.randn(2, 3, 5), torch.randn(2, 4, 5)
    torch.testing.assert_close(squared_distance(a, b), torch.cdist(a, b).pow(2))
    wanted = F.cosine_similarity(a.unsqueeze(2), b.unsqueeze(1), -1)
    torch.testing.assert_close(cosine(a, b), wanted)


def test_nearest_centroid_on_pixels():
    batch = tasks()
    found = logits(ProtoNet(nn.Flatten()), batch).argmax(-1)
    for t in range(TASKS):
        for q, image in enumerate(batch.query_x[t]):
            means = [batch.support_x[t][batch.support_y[t] == c].mean(0) for c in range(WAYS)]
            assert found[t, q] == min(range(WAYS), key=lambda c: (image - means[c]).norm())


# --- an ordinary classifier, and what becomes of it ----------------------------------------------


def test_nearest_centroid_is_a_cosine_to_the_mean():
    learner, batch = make("NearestCentroid"), tasks()
    for t, ours in enumerate(logits(learner, batch)):
        support, query = learner.encoder(batch.support_x[t]), learner.encoder(batch.query_x[t])
        for c in range(WAYS):
            centre = support[batch.support_y[t] == c].mean(0)
            wanted = F.cosine_similarity(query, centre.unsqueeze(0)) / 0.1
            torch.testing.assert_close(ours[:, c], wanted.detach())


def test_the_linear_head_is_softmax_regression_by_gradient_descent():
    learner, batch = make("LinearHead"), tasks()
    for t, ours in enumerate(logits(learner, batch)):
        head = nn.Linear(12, WAYS)
        nn.init.zeros_(head.weight), nn.init.zeros_(head.bias)
        optimizer = torch.optim.SGD(head.parameters(), lr=0.5)
        support = learner.encoder(batch.support_x[t]).detach()
        for _ in range(20):
            optimizer.zero_grad()
            F.cross_entropy(head(support), batch.support_y[t]).backward()
            optimizer.step()
        torch.testing.assert_close(ours, head(learner.encoder(batch.query_x[t])).detach())


@pytest.mark.parametrize("name", PRETRAINED)
def test_the_classifier_learns_from_fixed_classes(name):
    learner = make(name)
    y = torch.randint(9, (TASKS, QUERIES))
    batch = tasks()
    classes = Tasks(batch.query_x[:, :0], y[:, :0], batch.query_x, y)
    plain = learner.head(learner.encoder(batch.query_x.flatten(0, 1)))
    each = F.cross_entropy(plain, y.flatten(), reduction="none").view(TASKS, QUERIES)
    torch.testing.assert_close(learner(classes), each.mean(1))


def test_all_classes_deals_each_letter_under_one_label():
    torch.set_default_dtype(torch.float32)
    letters = Characters("validation", ways=5)
    task_set = AllClasses(letters, examples=400)
    batch = task_set.sample(2, torch.Generator().manual_seed(0))
    again = task_set.sample(2, torch.Generator().manual_seed(0))
    assert batch.support_x.shape == (2, 0, 1, 28, 28) and batch.query_x.shape[1] == 400
    assert torch.equal(batch.query_x, again.query_x) and torch.equal(batch.query_y, again.query_y)
    assert batch.query_y.min() >= 0 and batch.query_y.max() < len(letters.names)
    assert len(batch.query_y.unique()) > 400
    # a drawing is more like a clean one of its own letter than like one of another
    y = batch.query_y[0, :100]
    clean = torch.stack([letters.draw(y) for _ in range(8)]).mean(0)
    like = cosine(batch.query_x[:1, :100].flatten(2), clean.unsqueeze(0).flatten(2))[0]
    assert (like.argmax(1) == torch.arange(100)).float().mean() > 0.5


# --- in the course's loops -----------------------------------------------------------------------


class Blobs(TaskSet):
    """Images with a bright quarter, another one for each class, under noise; labels shuffled."""

    def sample(self, num_tasks, generator=None):
        y = torch.stack([torch.randperm(4, generator=generator) for _ in range(num_tasks)])
        which = torch.arange(4).expand(num_tasks, 4)  # what is drawn; y says what it is called
        x = torch.zeros(num_tasks, 4, 1, SIZE, SIZE)
        x.view(num_tasks, 4, 2, 4, 2, 4)[
            torch.arange(num_tasks)[:, None], which, which // 2, :, which % 2
        ] = 1.0

        def seen():
            return x + torch.randn(x.shape, generator=generator)

        return Tasks(seen(), y, seen(), y)


@pytest.mark.parametrize("name", LEARNERS)
def test_training_makes_each_better(name):
    learner = make(name)
    before = evaluate(learner, Blobs(), num_tasks=200).mean
    train(learner, Blobs(), updates=100, tasks_per_update=16, progress=False,
          optimizer=torch.optim.Adam(learner.parameters(), 0.01))  # fmt: skip
    after = evaluate(learner, Blobs(), num_tasks=200).mean
    assert after > before + 0.1 and after > 0.6


def test_half_precision_compares_in_full():
    """Far from the origin, distances in bfloat16 would be wrong by hundreds."""
    learner = ProtoNet(nn.Linear(6, 6)).float()
    with torch.no_grad():
        learner.encoder.bias += 100
    x, y = torch.randn(1, 4, 6).float(), torch.arange(4).expand(1, 4)
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        found = learner.adapt(x, y)(x)
        z = learner.encoder(x[0])
    assert z.dtype == torch.bfloat16 and found.dtype == torch.float32
    torch.testing.assert_close(
        found[0], -torch.cdist(z.float(), z.float()).pow(2), atol=0.1, rtol=0
    )


@pytest.mark.parametrize("name", ["ProtoNet", "MatchingNet in context", "RelationNet"])
def test_a_checkpoint_gives_the_same_learner(name, tmp_path):
    torch.set_default_dtype(torch.float32)
    learner = {
        "ProtoNet": ProtoNet(Conv4(12, filters=8)),
        "MatchingNet in context": MatchingNet(Conv4(12, filters=8), FullContext(12, 2)),
        "RelationNet": RelationNet(Conv4(12, filters=8), MLP(24, 8, 1)),
    }[name].eval()
    checkpoints.save(learner, "one", {}, tmp_path)
    again = checkpoints.load("one", tmp_path)
    y = torch.arange(3).expand(1, 3)
    x, query = torch.rand(1, 3, 1, 28, 28), torch.rand(1, 5, 1, 28, 28)
    assert type(again) is type(learner)
    torch.testing.assert_close(again.adapt(x, y)(query), learner.adapt(x, y)(query))


# --- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("act", "said"), [
    (lambda: ProtoNet(nn.Flatten(), transductive=True), "needs an encoder with GroupNorm"),
    (lambda: ProtoNet(nn.BatchNorm2d(4, track_running_stats=False)), "whole query set"),
    (lambda: MatchingNet(encoder(), temperature=0), "temperature must be above 0"),
    (lambda: one_hot(torch.tensor([[0, 2]])), "lacks examples of one of the 3 classes"),
    (lambda: one_hot(torch.tensor([[0, 1], [1, 1]])), "lacks examples"),
    (lambda: one_hot(torch.rand(1, 3)), "must be whole numbers"),
    (lambda: one_hot(torch.zeros(1, 0, dtype=torch.long)), "at least one a class"),
])  # fmt: skip
def test_errors_say_what_to_do(act, said):
    with pytest.raises(ValueError, match=said):
        act()
