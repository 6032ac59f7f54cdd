"""Bandits: the environments, the players against closed forms, the optimum against brute force."""

import itertools
import math
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, optimize, stats

from course_utils.learners.audit import audit, choices
from course_utils.learners.bandits import (
    UCB1,
    EpsilonGreedy,
    Greedy,
    LearnedIndex,
    RandomArm,
    ThompsonSampling,
)
from course_utils.learners.planning import (
    BayesOptimalBandit,
    GittinsIndex,
    clairvoyant,
    gittins_table,
)
from course_utils.networks import MLP
from course_utils.tasks.bandits import BanditEnvironments, Bandits
from course_utils.tasks.environments import Environments, play


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def interval(values):
    """95 % interval of a mean, by the normal approximation."""
    half = 1.96 * values.std().item() / len(values) ** 0.5
    return values.mean().item() - half, values.mean().item() + half


def beliefs(*rows):
    """A batch of beliefs, from rows of (successes, failures) pairs."""
    return torch.tensor(rows, dtype=torch.float)


# --- environments --------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(
    num_tasks=st.integers(0, 5),
    arms=st.integers(1, 4),
    pulls=st.integers(1, 6),
    low=st.floats(0, 1),
    seed=st.integers(0, 99),
)
def test_an_episode_shows_what_was_pulled_and_paid(num_tasks, arms, pulls, low, seed):
    environments = Bandits(arms, pulls, p=(low, 1.0)).sample(num_tasks, seeded(seed))
    assert len(environments) == num_tasks and environments.p.shape == (num_tasks, arms)
    assert ((environments.p >= low - 1e-6) & (environments.p <= 1)).all()
    observation = environments.reset()
    assert observation.shape == (num_tasks, arms + 1) and not observation.any()
    for t in range(pulls):
        action = torch.randint(arms, (num_tasks,), generator=seeded(t))
        observation, reward, done = environments.step(action)
        assert torch.equal(observation[:, :-1], torch.eye(arms)[action])
        assert torch.equal(observation[:, -1], reward) and ((reward == 0) | (reward == 1)).all()
        assert done == (t == pulls - 1)


def test_arms_pay_as_often_as_they_should():
    p = torch.tensor([[0.0, 0.2, 0.7, 1.0]]).expand(20_000, 4)
    environments = BanditEnvironments(p, pulls=8, generator=seeded())
    paid = torch.zeros(20_000, 4)
    for arm in (0, 1, 2, 3) * 2:
        paid[:, arm] += environments.step(torch.full((20_000,), arm))[1]
    assert paid.mean(0).div(2).tolist() == pytest.approx(p[0].tolist(), abs=0.01)


def test_a_pull_of_an_arm_pays_the_same_in_any_order():
    environments = Bandits(arms=2, pulls=6).sample(50, seeded())

    def paid(order):
        environments.reset()
        rewards = {0: [], 1: []}
        for arm in order:
            rewards[arm].append(environments.step(torch.full((50,), arm))[1])
        return [torch.stack(rewards[arm]) for arm in (0, 1)]

    for one, other in zip(paid([0, 0, 0, 1, 1, 1]), paid([1, 0, 1, 0, 0, 1]), strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(*environments.pays[:, 0, :2].T)  # and the next pull is a new draw


def test_a_players_dice_are_not_the_dealers():
    """With one stream for both, arms would be chosen by the numbers that made them good."""
    drawn = []

    def policy(observation, memory):
        drawn.append(torch.rand(len(observation), 2))
        return drawn[-1].argmax(1), memory

    environments = Bandits(arms=2, pulls=1).sample(2000, seeded(0))
    play(policy, environments, seed=0)
    both = torch.stack([drawn[0].flatten(), environments.p.flatten()])
    assert abs(torch.corrcoef(both)[0, 1].item()) < 0.1


@pytest.mark.parametrize(("made", "sentence"), [
    (lambda: Bandits(arms=0), "a bandit needs an arm and a pull, got 0 arms"),
    (lambda: Bandits(pulls=0), "a bandit needs an arm and a pull"),
    (lambda: Bandits(pulls=-1), "pulls must be a whole number, 0 or more, got -1"),
    (lambda: Bandits(p=(0.5, 1.5)), "p is a range of probabilities"),
    (lambda: Bandits(p=(0.5, 0.1)), "p must be a pair"),
    (lambda: Bandits().sample(-1), "num_tasks must be"),
    (lambda: BanditEnvironments(torch.tensor([[0.5, 1.2]]), 3), "between 0 and 1 .* to 1.2"),
    (lambda: BanditEnvironments(torch.tensor([[0.5, math.nan]]), 3), "between 0 and 1"),
    (lambda: BanditEnvironments(torch.rand(3), 3), "of shape"),
    (lambda: BanditEnvironments(torch.rand(1, 3), 0), "pulls must be 1 or more, got 0"),
    (lambda: Bandits(2).sample(1).step(torch.tensor([2])), "must be whole numbers 0 .. 1"),
    (lambda: Bandits(2).sample(1).step(torch.tensor(0)), "must be whole numbers 0 .. 1"),
    (lambda: UCB1(width=-1), "width must be 0 or more, got -1"),
    (lambda: UCB1(prior=math.nan), "prior must be 0 or more, got nan"),
    (lambda: EpsilonGreedy(1.1), "epsilon must be a probability, between 0 and 1, got 1.1"),
    (lambda: EpsilonGreedy(math.nan), "epsilon must be a probability"),
    (lambda: GittinsIndex(Bandits(p=(0.0, 0.5))), "known for p = .0.0, 1.0. only"),
    (lambda: BayesOptimalBandit(Bandits(5, 100)), "5 arms and 100 pulls have .* too many"),
    (lambda: BayesOptimalBandit(Bandits(p=(0.0, 0.5))), "known for p = .0.0, 1.0. only"),
])  # fmt: skip
def test_bad_input_gets_a_sentence(made, sentence):
    with pytest.raises(ValueError, match=sentence):
        made()


def test_after_the_last_pull_it_is_over():
    environments = Bandits(arms=2, pulls=1).sample(3)
    environments.step(torch.zeros(3, dtype=torch.long))
    with pytest.raises(RuntimeError, match="all 1 pulls are made"):
        environments.step(torch.zeros(3, dtype=torch.long))


class Broken(Environments):
    def __len__(self):
        return 2

    def reset(self):
        return torch.zeros(2, 1)

    def step(self, action):
        return torch.zeros(2, 1), torch.tensor([0.0, math.nan]), True


def test_a_reward_that_is_no_number_is_told():
    with pytest.raises(FloatingPointError, match="no finite number"):
        play(lambda observation, memory: (torch.zeros(2), memory), Broken())


# --- players -------------------------------------------------------------------------------------


def test_the_belief_counts_what_happened():
    environments = Bandits(arms=3, pulls=12).sample(200, seeded())
    policy = RandomArm().adapt(environments)
    observation, belief, done, paid = environments.reset(), None, False, 0
    while not done:
        action, belief = policy(observation, belief)
        observation, reward, done = environments.step(action)
        paid = paid + reward
    _, belief = policy(observation, belief)
    assert torch.equal(belief.sum(2).long(), environments.pulled)
    assert torch.equal(belief[..., 0].sum(1), paid)


def test_random_pulls_earn_half():
    environments = Bandits(arms=5, pulls=10).sample(20_000, seeded())
    returns = play(RandomArm().adapt(environments), environments)
    assert returns.mean().item() == pytest.approx(5.0, abs=0.07)


def test_thompson_pulls_an_arm_as_often_as_it_is_the_best():
    """P(arm 0 is best) by numerical integration of the two Beta posteriors."""
    (s0, f0), (s1, f1) = (3, 1), (1, 2)
    a, b = stats.beta(1 + s0, 1 + f0), stats.beta(1 + s1, 1 + f1)
    exact, _ = integrate.quad(lambda x: a.pdf(x) * b.cdf(x), 0, 1)
    torch.manual_seed(0)
    choices = ThompsonSampling().choose(beliefs([[s0, f0], [s1, f1]]).expand(40_000, 2, 2), 5)
    assert (choices == 0).float().mean().item() == pytest.approx(exact, abs=0.01)


@settings(max_examples=50, deadline=None)
@given(
    counts=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=2, max_size=4),
    width=st.floats(0, 4),
    prior=st.sampled_from([0, 1, 2.5]),
)
def test_ucb1_is_its_formula(counts, width, prior):
    chosen = UCB1(width, prior).choose(beliefs(counts), 5).item()
    pulled = [s + f + 2 * prior for s, f in counts]
    if 0 in pulled:
        assert pulled[chosen] == 0
        return
    log_n = math.log(sum(pulled))
    index = [
        (s + prior) / n_a + math.sqrt(width * log_n / n_a)
        for (s, _), n_a in zip(counts, pulled, strict=True)
    ]
    assert index[chosen] == pytest.approx(max(index), abs=1e-5)
    assert UCB1().width == 2 and UCB1().prior == 0


def test_greedy_takes_the_largest_posterior_mean():
    belief = beliefs([[1, 1], [0, 0], [3, 2]], [[0, 1], [0, 0], [1, 2]])
    assert Greedy().choose(belief, 3).tolist() == [2, 1]  # 4/7, 1/2


def test_epsilon_greedy_explores_as_often_as_it_should():
    belief = beliefs([[1, 1], [0, 3], [3, 2], [0, 0]]).expand(20_000, 4, 2)
    torch.manual_seed(0)
    share = torch.bincount(EpsilonGreedy(0.2).choose(belief, 3), minlength=4) / 20_000
    assert share.tolist() == pytest.approx([0.05, 0.05, 0.85, 0.05], abs=0.01)
    assert torch.equal(EpsilonGreedy(0.0).choose(belief, 3), Greedy().choose(belief, 3))


# --- the optimum ---------------------------------------------------------------------------------


@cache
def brute_force(counts, left):
    """The optimal return from a belief, by trying everything; no symmetry used."""
    if left == 0:
        return 0.0
    return max(action_values(counts, left))


def action_values(counts, left):
    def changed(a, success):
        s, f = counts[a]
        return (*counts[:a], (s + success, f + 1 - success), *counts[a + 1 :])

    means = [(s + 1) / (s + f + 2) for s, f in counts]
    return [
        m * (1 + brute_force(changed(a, 1), left - 1))
        + (1 - m) * brute_force(changed(a, 0), left - 1)
        for a, m in enumerate(means)
    ]


@pytest.mark.parametrize(("arms", "pulls"), [(1, 4), (2, 1), (2, 2), (2, 6), (3, 5), (4, 4)])
def test_the_optimum_is_what_brute_force_finds(arms, pulls):
    optimal = BayesOptimalBandit(Bandits(arms, pulls))
    start = ((0, 0),) * arms
    assert optimal.value == pytest.approx(brute_force(start, pulls), abs=1e-12)
    outcomes = [(s, m - s) for m in range(pulls) for s in range(m + 1)]
    for counts in itertools.islice(itertools.product(outcomes, repeat=arms), 400):
        left = pulls - sum(map(sum, counts))
        if left > 0:  # arms in any order
            expected = action_values(counts, left)
            assert optimal.values(beliefs(counts))[0].tolist() == pytest.approx(expected)


def test_the_optimum_for_two_pulls_by_hand():
    """First 1/2; then stay after a success (2/3), change after a failure (1/2): 1/2 + 7/12."""
    assert BayesOptimalBandit(Bandits(2, 2)).value == pytest.approx(1 / 2 + (2 / 3 + 1 / 2) / 2)


def test_five_arms_and_ten_pulls_have_the_known_optimum():
    optimal = BayesOptimalBandit(Bandits(5, 10))
    assert math.comb(20, 10) == 184_756  # beliefs before symmetry
    assert sum(map(len, optimal.codes)) < 4000
    assert optimal.value == pytest.approx(6.660, abs=5e-4)


def test_no_choice_is_left_at_the_end():
    with pytest.raises(ValueError, match="after 2 of 2 pulls there is nothing left to choose"):
        BayesOptimalBandit(Bandits(2, 2)).values(beliefs([[1, 0], [0, 1]]))


def test_nothing_beats_the_optimum_and_the_optimum_reaches_it():
    task_set = Bandits(arms=3, pulls=8)
    optimal = BayesOptimalBandit(task_set)
    environments = task_set.sample(20_000, seeded())
    best = play(optimal.adapt(environments), environments)
    low, high = interval(best)
    assert low <= optimal.value <= high
    players = RandomArm(), Greedy(), EpsilonGreedy(), ThompsonSampling(), UCB1(), UCB1(0.1)
    for player in (*players, UCB1(0.01, 1), GittinsIndex(task_set)):
        returns = play(player.adapt(environments), environments)
        low, _ = interval(returns - best)  # in pairs
        assert low <= 0, type(player).__name__


# --- the Gittins index ---------------------------------------------------------------------------


def worth(s, f, left, price):
    """What an arm is worth to one who pays `price` a pull and may stop, pulling once at least."""
    if left == 0:
        return 0.0
    mean = (s + 1) / (s + f + 2)
    paid, unpaid = (max(0, worth(*x, left - 1, price)) for x in ((s + 1, f), (s, f + 1)))
    return mean - price + mean * paid + (1 - mean) * unpaid


def test_the_gittins_index_is_the_price_at_which_an_arm_is_worth_nothing():
    table = gittins_table(9)
    for s, f, left in [(0, 0, 9), (0, 0, 1), (2, 1, 6), (0, 3, 5), (5, 1, 3), (4, 4, 1), (1, 2, 6)]:
        exact = optimize.brentq(lambda price, *x: worth(*x, price), 0, 1, args=(s, f, left))
        assert table[left][s + f, s].item() == pytest.approx(exact, abs=1e-3), (s, f, left)


def test_the_gittins_index_by_hand():
    """One pull: the mean. Two: 1/2 and, if that paid, 2/3 more, in 3/2 pulls on average."""
    table = gittins_table(5)
    assert table[1][3, 1].item() == pytest.approx(2 / 5, abs=1e-5)
    assert table[2][0, 0].item() == pytest.approx((1 / 2 + 1 / 2 * 2 / 3) / (3 / 2), abs=1e-3)


def test_the_gittins_index_grows_with_the_pulls_that_are_left():
    first = torch.stack([row[0, 0] for row in gittins_table(30)[1:]])
    assert (first.diff() > 0).all() and first[0] == 0.5 and first[-1] < 0.9


def test_gittins_players_earn_the_optimum_here():
    task_set = Bandits(arms=3, pulls=8)
    optimal, player = BayesOptimalBandit(task_set), GittinsIndex(task_set)
    audited = audit(player, optimal, task_set.sample(2000, seeded()))
    assert audited.cost.sum(1).mean() < 0.001


def test_the_clairvoyants_plan_is_what_brute_force_finds():
    environments = Bandits(arms=3, pulls=4).sample(5, seeded())
    for bound, pays in zip(clairvoyant(environments), environments.pays.tolist(), strict=True):
        plans = []
        for shares in itertools.product(range(5), repeat=3):
            if sum(shares) == 4:
                plans.append(
                    sum(
                        (sum(pays[a][:i]) + 1) / (i + 2)
                        for a, share in enumerate(shares)
                        for i in range(share)
                    )
                )
        assert bound.item() == pytest.approx(max(plans))


def test_the_clairvoyant_is_above_the_optimum():
    task_set = Bandits(arms=3, pulls=8)
    bound = clairvoyant(task_set.sample(5000, seeded()))
    low, high = interval(bound)
    assert low > BayesOptimalBandit(task_set).value and high < 8 * 3 / 4  # told p: 8 · E max p


# --- choices, one by one -------------------------------------------------------------------------


def test_the_costs_of_choices_are_what_a_player_falls_short():
    task_set = Bandits(arms=3, pulls=6)
    optimal = BayesOptimalBandit(task_set)
    environments = task_set.sample(20_000, seeded())
    for player in (Greedy(), ThompsonSampling(), UCB1()):
        audited = audit(player, optimal, environments)
        assert (audited.cost >= 0).all()
        low, high = interval(audited.paid.sum(1))
        assert low < optimal.value - audited.cost.sum(1).mean() < high
    best = audit(optimal, optimal, environments)
    assert best.agrees.all() and torch.equal(best.paid.sum(1), play_of(optimal, environments))


def play_of(player, environments):
    return play(player.adapt(environments), environments)


def test_an_audit_retells_the_episode():
    task_set = Bandits(arms=3, pulls=6)
    environments = task_set.sample(50, seeded())
    audited = audit(RandomArm(), BayesOptimalBandit(task_set), environments, seed=4)
    assert torch.equal(audited.paid.sum(1), play(RandomArm().adapt(environments), environments, 4))
    pulled = torch.nn.functional.one_hot(audited.arm, 3)
    after = audited.belief.sum(3)[:, :-1] + pulled[:, :-1]
    assert torch.equal(after, audited.belief.sum(3)[:, 1:]) and not audited.belief[:, 0].any()
    assert torch.equal(audited.belief.sum(3)[:, -1] + pulled[:, -1], environments.pulled.float())


def test_choices_are_sorted_by_belief_whatever_the_order_of_arms():
    task_set = Bandits(arms=2, pulls=3)
    optimal = BayesOptimalBandit(task_set)
    environments = task_set.sample(500, seeded())
    audited = audit(RandomArm(), optimal, environments)
    found = choices(audited, optimal)
    assert found.visits.sum() == 1500
    total = (found.visits * found.cost).sum().item()
    assert total == pytest.approx(audited.cost.sum().item())
    for belief, arm, better, visits, cost in zip(*found, strict=True):
        counts = tuple(map(tuple, belief.tolist()))
        values = dict(zip(counts, action_values(counts, 3 - belief.sum().item()), strict=True))
        best = max(values.values())
        assert cost.item() == pytest.approx(best - values[tuple(arm.tolist())], abs=1e-9)
        assert values[tuple(better.tolist())] == pytest.approx(best)
        here = (audited.belief == belief).all(3).all(2) | (audited.belief == belief.flip(0)).all(
            3
        ).all(2)
        chosen = audited.belief.gather(
            2, audited.arm.view(500, 3, 1, 1).expand(-1, -1, 1, 2)
        ).squeeze(2)
        assert (here & (chosen == arm).all(2)).sum() == visits


# --- learning to explore -------------------------------------------------------------------------


def test_the_policy_gradient_is_the_gradient_of_the_return():
    """Against finite differences of the exact expected return, two arms and two pulls."""
    torch.manual_seed(0)
    learner = LearnedIndex(MLP(3, 4, 1), scale=2.0).double()
    with torch.no_grad():  # far from indifferent
        for parameter in learner.parameters():
            parameter.mul_(3)

    def expected_return(counts=((0, 0), (0, 0)), left=2):
        if left == 0:
            return 0.0
        index = learner.index(torch.tensor([counts], dtype=torch.double), left)[0]
        total = 0.0
        for a, chance in enumerate(index.softmax(0)):
            s, f = counts[a]
            mean = (s + 1) / (s + f + 2)
            for success, p in ((1, mean), (0, 1 - mean)):
                after = list(counts)
                after[a] = (s + success, f + 1 - success)
                total = total + chance * p * (success + expected_return(tuple(after), left - 1))
        return total

    exact = torch.autograd.grad(expected_return(), list(learner.parameters()))
    torch.manual_seed(1)
    environments = BanditEnvironments(
        torch.rand(200_000, 2, dtype=torch.double, generator=seeded()), 2, seeded(2)
    )
    estimate = torch.autograd.grad(learner(environments).mean(), list(learner.parameters()))
    exact, estimate = (torch.cat([g.flatten() for g in gs]) for gs in (exact, estimate))
    assert (exact + estimate).norm() < 0.1 * exact.norm()


def test_an_index_learned_in_seconds_comes_near_the_optimum():
    task_set = Bandits(arms=3, pulls=6)
    torch.manual_seed(0)
    learner = LearnedIndex(MLP(3, 16, 16, 1), scale=6.0)
    optimizer = torch.optim.Adam(learner.parameters(), lr=0.01)
    for _ in range(100):
        learner.outer_step(task_set.sample(100), optimizer)
    environments = task_set.sample(20_000, seeded())
    best = play(BayesOptimalBandit(task_set).adapt(environments), environments)
    returns = play(learner.adapt(environments), environments)
    floor = play(RandomArm().adapt(environments), environments)
    assert returns.mean() > floor.mean() + 0.9 * (best.mean() - floor.mean())
    assert interval(returns - best)[0] <= 0


def test_players_that_learn_nothing_refuse_to_be_trained():
    with pytest.raises(TypeError, match="UCB1 has nothing to meta-learn"):
        UCB1()(Bandits().sample(2))
