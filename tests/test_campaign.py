"""The campaign behind the assay widget: what it reveals, how it ranks, what it refuses."""

import numpy as np
import pytest
import torch

from course_utils.learners import TanimotoGP, TanimotoNeighbor
from course_utils.tasks.chemistry import BLOCKS
from course_utils.tasks.molecules import library, targets_of
from course_utils.widgets import assay
from course_utils.widgets.assay import ACTIVES, ASSAYS, FOLD, POOL, Assay, Campaign


def gp():
    return TanimotoGP(BLOCKS).eval()


def test_a_pool_holds_what_it_says_and_not_what_is_known():
    for seed in range(5):
        campaign = Campaign(gp(), seed=seed)
        assert len(set(campaign.pool)) == POOL and campaign.active.sum() == ACTIVES
        assert not set(campaign.pool) & set(campaign.known)


def test_results_are_the_truth_and_ranks_are_the_learners():
    campaign = Campaign(gp())
    target = next(t for t in library().targets if t.name == campaign.target)
    truth = dict(zip(target.molecules, target.active, strict=True))
    for place in (4, 9, 0):
        assert campaign.measure(place) == truth[campaign.pool[place]]
        ranks, scores = campaign.ranks(), campaign.scores()
        rest = [i for i in range(POOL) if i not in campaign.tested]
        assert sorted(ranks[i] for i in rest) == list(range(1, len(rest) + 1))
        assert all(ranks[i] == 0 for i in campaign.tested)
        assert max(rest, key=lambda i: scores[i]) == ranks.index(1)
    assert campaign.hits() == [0, *np.cumsum(campaign.active[[4, 9, 0]])]


def test_scores_use_the_known_and_the_measured_alone():
    campaign = Campaign(TanimotoNeighbor(BLOCKS[0]))
    campaign.measure(1)
    x = torch.cat([campaign.known_x, campaign.x[[1]]])
    y = torch.tensor([[1, 0, int(campaign.active[1])]])
    logits = campaign.learner.adapt(x[None], y)(campaign.x[None])[0]
    assert np.allclose(campaign.scores(), (logits[:, 1] - logits[:, 0]).numpy())


def test_the_model_takes_its_first_choice_each_time():
    run, by_hand = Campaign(gp(), seed=1).run(), Campaign(gp(), seed=1)
    for _ in range(ASSAYS):
        by_hand.measure(by_hand.ranks().index(1))
    assert run.tested == by_hand.tested


def test_chance_is_the_mean_of_random_choice():
    random, found = np.random.default_rng(0), []
    active = np.arange(POOL) < ACTIVES
    for _ in range(4000):
        found.append(active[random.permutation(POOL)[:ASSAYS]].sum())
    assert np.mean(found) == pytest.approx(assay.chance()[ASSAYS], abs=0.1)
    assert assay.chance()[0] == 0


@pytest.mark.parametrize(
    "places, words", [([POOL], "places 0 to"), ([3, 3], "already"), (range(13), "are spent")]
)
def test_what_can_not_be_measured_gets_a_sentence(places, words):
    campaign = Campaign(gp())
    with pytest.raises(ValueError, match=words):
        for place in places:
            campaign.measure(place)


def test_an_unknown_target_is_named():
    with pytest.raises(ValueError, match="there is no target 'X'"):
        Campaign(gp(), "X")


def test_the_player_has_seen_none_of_its_targets():
    offered = {t.name for t in library().targets if t.name in assay.targets()}
    seen = {library().targets[i].name for s in ("train", "validation") for i in targets_of(s, FOLD)}
    assert offered and not offered & seen


def test_the_widget_measures_what_the_browser_sends_and_no_more():
    widget = Assay(gp())
    widget.bench.tested = [5]
    widget.bench.tested = [5, 7]
    assert widget.yours.tested == [5, 7]
    assert [bool(note) for note in widget.bench.notes] == [i in (5, 7) for i in range(POOL)]
    widget.bench.tested = list(range(POOL))
    assert len(widget.yours.tested) == ASSAYS and widget.bench.spent
    widget.again.click()
    assert widget.yours.tested == [] and not any(widget.bench.notes)
    before = list(widget.bench.pictures)
    widget.other.click()
    assert widget.bench.pictures != before


def test_the_still_pictures_show_the_campaign():
    campaign = Campaign(gp()).run()
    lines = {line.get_label(): line.get_ydata() for line in assay.picture(campaign).axes[0].lines}
    assert list(lines["the model's choice"]) == campaign.hits()
    assert assay.strip(campaign).data.count("<img") == ASSAYS
    assert assay.strip(campaign).data.count(": active") == campaign.hits()[-1]
