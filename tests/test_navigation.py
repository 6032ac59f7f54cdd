"""Arenas, policy gradients through the inner step, and the two who need no meta-learning."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from course_utils.learners.navigation import ToldGoal, Trilateration, locate
from course_utils.learners.policy_gradient import (
    ContextPolicy,
    Experience,
    JointPolicy,
    MAMLPolicy,
    act,
    advantages,
    linear_baseline,
    returns_to_go,
)
from course_utils.networks import MLP
from course_utils.tasks.environments import Environments, play
from course_utils.tasks.navigation import Navigation, NavigationEnvironments, best_return
from course_utils.training import train


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


# --- the arena -----------------------------------------------------------------------------------


def test_a_walk_by_hand():
    arenas = NavigationEnvironments(torch.tensor([[0.3, 0.4], [0.0, -0.2]]), robots=2, horizon=4)
    assert torch.equal(arenas.reset(), torch.zeros(2, 2, 2))
    right, fast = [[1.0, 0.0], [1.0, 0.0]], [[0.0, -1.0], [0.0, -7.0]]  # the last is cut off at −1
    position, reward, done = arenas.step(torch.tensor([right, fast]))
    torch.testing.assert_close(position[0, 0], torch.tensor([0.1, 0.0]))
    torch.testing.assert_close(position[1, 1], torch.tensor([0.0, -0.1]))
    torch.testing.assert_close(reward[0, 0].item(), -math.hypot(0.2, 0.4))
    torch.testing.assert_close(reward[1], torch.tensor([-0.1, -0.1]))
    assert not done and not arenas.over.any()


def test_who_has_arrived_stays_and_is_paid_nothing_more():
    arenas = NavigationEnvironments(torch.tensor([[0.195, 0.0]]), robots=1, horizon=5)
    right = torch.tensor([[[1.0, 0.0]]])
    rewards, overs = [], []
    for _ in range(5):
        position, reward, done = arenas.step(right)
        rewards.append(reward.item())
        overs.append(arenas.over.item())
    np.testing.assert_allclose(rewards, [-0.095, -0.005, 0, 0, 0], atol=1e-6)
    assert overs == [False, True, True, True, True] and done
    torch.testing.assert_close(position, torch.tensor([[[0.2, 0.0]]]))
    with pytest.raises(RuntimeError, match="all 5 steps are made"):
        arenas.step(right)


def test_goals_fill_the_square_and_a_seed_deals_them_again():
    arenas = Navigation().sample(20_000, seeded())
    assert torch.equal(arenas.goal, Navigation().sample(20_000, seeded()).goal)
    assert (len(arenas), arenas.robots, arenas.horizon) == (20_000, 20, 100)
    assert -0.5 <= arenas.goal.min() < -0.49 and 0.49 < arenas.goal.max() <= 0.5
    torch.testing.assert_close(arenas.goal.var(0), torch.full((2,), 1 / 12), rtol=0.03, atol=0)


def test_standing_still_costs_the_mean_distance_to_the_middle_of_a_square():
    """(√2 + ln(1 + √2)) / 6 for a square of side 1: a classic of geometric probability."""
    arenas = Navigation(robots=1).sample(20_000, seeded())
    earned = play(lambda o, memory: (torch.zeros_like(o), memory), arenas).mean().item()
    assert earned == pytest.approx(-100 * (math.sqrt(2) + math.asinh(1)) / 6, rel=0.01)


@pytest.mark.parametrize("goal", [
    [[0.6, 0.0]], [[0.0, -0.51]], [[float("nan"), 0.0]], [[float("inf"), 0.0]], [[0.0, 0.0, 0.0]],
    [0.1, 0.1],
])  # fmt: skip
def test_a_goal_outside_the_arena_is_refused(goal):
    with pytest.raises(ValueError, match=r"lie in the arena, between -0\.5 and 0\.5"):
        NavigationEnvironments(torch.tensor(goal))


@pytest.mark.parametrize(("setting", "said"), [
    ({"horizon": 0}, "a robot and a step, got 20 robots and horizon 0"),
    ({"robots": 0}, "a robot and a step, got 0 robots"),
    ({"horizon": -1}, "horizon must be a whole number"),
    ({"robots": 1.5}, "robots must be a whole number"),
])  # fmt: skip
def test_no_robots_and_no_steps_are_refused(setting, said):
    with pytest.raises(ValueError, match=said):
        Navigation(**setting)
    with pytest.raises(ValueError, match=said):
        NavigationEnvironments(torch.zeros(1, 2), **setting)


def test_an_action_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"shape \(1, 20, 2\), two numbers for each robot"):
        Navigation().sample(1, seeded()).step(torch.zeros(1, 2))


class NoNumber(NavigationEnvironments):
    def step(self, action):
        position, reward, done = super().step(action)
        return position, reward * float("nan"), done


def test_a_reward_that_is_no_number_is_told():
    arenas = NoNumber(torch.zeros(1, 2), horizon=2)
    learner = MAMLPolicy(MLP(2, 4, 2))
    for acting in (
        lambda: play(learner.adapt(Navigation().sample(1), 0), arenas),
        lambda: learner.adapt(arenas),
    ):
        with pytest.raises(FloatingPointError, match="a reward that is no finite number"):
            acting()


# --- the ceiling ---------------------------------------------------------------------------------


def test_the_told_one_reaches_the_ceiling():
    arenas = Navigation(robots=1).sample(300, seeded())
    torch.testing.assert_close(
        play(ToldGoal().adapt(arenas), arenas)[:, 0], best_return(arenas.goal), atol=1e-5, rtol=0
    )


@given(st.integers(0, 10**6))
@settings(max_examples=20, deadline=None)
def test_nobody_is_above_the_ceiling(seed):
    arenas = Navigation(robots=3, horizon=12).sample(20, seeded(seed))
    towards = ToldGoal().adapt(arenas)

    def policy(observation, memory):  # towards the goal, but for noise
        return towards(observation, memory)[0] + torch.randn(20, 3, 2), memory

    best = best_return(arenas.goal, 12).unsqueeze(1)
    assert (play(policy, arenas, seed) <= best + 1e-5).all()


def test_three_rewards_tell_the_goal():
    arenas = Navigation(robots=1).sample(500, seeded(1))
    earned = play(Trilateration().adapt(arenas), arenas)[:, 0]
    torch.testing.assert_close(earned, best_return(arenas.goal), atol=1e-4, rtol=0)


def test_a_goal_is_located_by_hand():
    positions = torch.tensor([[[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]]])  # a 3-4-5 triangle
    goal = locate(positions, torch.tensor([[-5.0, -4.0, -3.0]]))
    torch.testing.assert_close(goal, torch.tensor([[3.0, 4.0]]))


# --- policy gradients ----------------------------------------------------------------------------


def test_returns_to_go_are_those_of_a_loop():
    reward = torch.randn(2, 7, 3, generator=seeded())
    expected, running = [], torch.zeros(2, 3)
    for r in reward.flip(1).unbind(1):
        running = r + 0.9 * running
        expected.insert(0, running)
    torch.testing.assert_close(returns_to_go(reward, 0.9), torch.stack(expected, 1))


def test_the_baseline_is_the_least_squares_fit_task_by_task():
    seen = torch.randn(2, 6, 5, 2, generator=seeded())
    target = torch.randn(2, 6, 5, generator=seeded(1))
    counts = torch.ones(2, 6, 5)
    counts[1, 3:, 2] = 0
    experience = Experience(seen, None, None, counts, None)
    fitted = linear_baseline(experience, target)
    for t in range(2):
        rows = counts[t].bool()
        time = torch.linspace(0, 1, 6).view(-1, 1).expand(6, 5)[rows].numpy()
        o = seen[t][rows].numpy()
        x = np.column_stack([o, o**2, time, time**2, time**3, np.ones(len(time))])
        weights = np.linalg.lstsq(x, target[t][rows].numpy(), rcond=None)[0]
        np.testing.assert_allclose(fitted[t][rows], x @ weights, atol=1e-3)
    assert (fitted[1, 3:, 2] == 0).all()


def test_what_comes_after_the_end_counts_for_nothing():
    torch.manual_seed(0)
    learner = MAMLPolicy(MLP(2, 4, 2))
    torch.nn.init.zeros_(learner.network[2].bias)  # it roams about the start, near the goal
    torch.nn.init.zeros_(learner.network[2].weight)
    arenas = NavigationEnvironments(torch.tensor([[0.02, 0.01]]), robots=200, horizon=20)
    experience = act(learner.adapt(arenas, 0), arenas)
    ended = experience.counts == 0
    assert 0.02 < ended.float().mean() < 0.98
    assert (advantages(experience, 0.95)[ended] == 0).all() and (
        experience.reward[ended] == 0
    ).all()
    changed = experience._replace(action=torch.where(ended.unsqueeze(3), 9.0, experience.action))
    parameters = learner.initial(1)
    first, second = (
        torch.autograd.grad(learner.objective(parameters, e).sum(), learner.network[2].weight)[0]
        for e in (experience, changed)
    )
    torch.testing.assert_close(first, second)


def test_the_step_differentiates_as_finite_differences_do():
    """On fixed experience, in double precision: ∂(adapted loss)/∂θ, all second-order terms."""
    torch.manual_seed(0)
    learner = MAMLPolicy(nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 2)), inner_lr=0.3)
    learner.double()
    arenas = NavigationEnvironments(Navigation().sample(2).goal.double(), robots=3, horizon=5)
    policy = learner.adapt(arenas, 0)
    before, after = act(policy, arenas), act(policy, arenas)

    def judged() -> torch.Tensor:
        parameters = learner.updated(learner.initial(2), before, 0.3)
        return learner.objective(parameters, after).sum()

    exact = torch.autograd.grad(judged(), list(learner.parameters()))
    for parameter, gradient in zip(learner.parameters(), exact, strict=True):
        for i in range(parameter.numel()):
            values = []
            for move in (1e-5, -1e-5):
                with torch.no_grad():
                    parameter.view(-1)[i] += move
                values.append(judged().item())
                with torch.no_grad():
                    parameter.view(-1)[i] -= move
            slope = (values[0] - values[1]) / 2e-5
            assert gradient.flatten()[i].item() == pytest.approx(slope, rel=1e-5, abs=1e-8)


class OneStep(Environments):
    """One step, and the reward −(a − goal)²: what a policy gradient should be is known."""

    def __init__(self, goal: torch.Tensor, robots: int):
        self.goal, self.robots = goal, robots

    def __len__(self):
        return len(self.goal)

    def reset(self):
        self.over = torch.zeros(len(self), self.robots, dtype=torch.bool)
        return torch.ones(len(self), self.robots, 1)

    def step(self, action):
        return self.reset(), -((action.squeeze(2) - self.goal.unsqueeze(1)) ** 2), True


def test_the_meta_gradient_is_that_of_the_expected_return():
    """With a ~ N(θ, σ²): J = −(θ − g)² − σ², θ_i = θ − 2α(θ − g), and after the step
    ∂J(θ_i)/∂θ = −2 (θ_i − g)(1 − 2α). First order lacks the factor (1 − 2α)."""
    torch.manual_seed(0)
    learner = MAMLPolicy(nn.Sequential(nn.Linear(1, 1, bias=False)), actions=1, inner_lr=0.2)
    weight = learner.network[0].weight
    nn.init.constant_(weight, 0.3)
    goals = torch.tensor([1.0, -0.5])
    losses = learner(OneStep(goals, robots=400_000))
    (gradient,) = torch.autograd.grad(losses.sum(), weight)
    adapted = 0.3 - 2 * 0.2 * (0.3 - goals)
    expected = (2 * (adapted - goals) * (1 - 2 * 0.2)).sum().item()
    assert gradient.item() == pytest.approx(expected, abs=0.02)
    variance = math.exp(-2 - 0.8 * math.exp(-2))  # log_std takes its step as well
    torch.testing.assert_close(
        losses.detach(), (adapted - goals) ** 2 + variance, atol=0.01, rtol=0
    )


def test_the_objectives_second_derivative_is_that_of_the_expected_return():
    """∂²J/∂θ² = −2 and ∂²J/∂(log σ)² = −4σ²; with log π for the ratio it would be another."""
    torch.manual_seed(1)
    learner = MAMLPolicy(nn.Sequential(nn.Linear(1, 1, bias=False)), actions=1)
    nn.init.constant_(learner.network[0].weight, 0.3)
    environment = OneStep(torch.tensor([1.0]), robots=400_000)
    experience = act(learner.adapt(environment, 0), environment)
    parameters = {n: p.detach().requires_grad_() for n, p in learner.initial(1).items()}
    total = learner.objective(parameters, experience).sum()
    expected = {"0.weight": (1.4, -2.0), "log_std": (-2 * math.exp(-2), -4 * math.exp(-2))}
    for name, (slope, curvature) in expected.items():
        (first,) = torch.autograd.grad(total, parameters[name], create_graph=True)
        (second,) = torch.autograd.grad(first.sum(), parameters[name], retain_graph=True)
        assert first.item() == pytest.approx(slope, abs=0.02)
        assert second.item() == pytest.approx(curvature, abs=0.1)


# --- the two verbs -------------------------------------------------------------------------------

LEARNERS = {
    "MAMLPolicy": lambda: MAMLPolicy(MLP(2, 8, 2)),
    "JointPolicy": lambda: JointPolicy(MLP(2, 8, 2)),
    "ContextPolicy": lambda: ContextPolicy(MLP(2 + 3, 8, 2), context=3),
}


@pytest.mark.parametrize("name", LEARNERS)
def test_adapting_changes_the_task_and_not_the_learner(name):
    torch.manual_seed(0)
    learner = LEARNERS[name]()
    before = {n: p.clone() for n, p in learner.state_dict().items()}
    arenas = Navigation(robots=5, horizon=10).sample(3, seeded())
    with torch.no_grad():
        path = learner.trajectory(arenas, 2)
    seen = torch.zeros(3, 1, 2)
    means = torch.stack([policy.mean(seen) for policy in path])  # (3 steps, T, 1, 2)
    assert len(path) == 3 and torch.equal(means[0, 0], means[0, 1])
    assert not torch.equal(means[1, 0], means[1, 1]) and not torch.equal(means[1], means[2])
    assert play(path[2], arenas).shape == (3, 5)
    assert all(torch.equal(p, before[n]) for n, p in learner.state_dict().items())


@pytest.mark.parametrize("name", LEARNERS)
def test_a_task_is_adapted_to_by_its_own_experience_alone(name):
    torch.manual_seed(0)
    learner = LEARNERS[name]()
    goals = Navigation().sample(3, seeded()).goal
    arenas = NavigationEnvironments(goals, robots=5, horizon=10)
    experience = act(learner.adapt(arenas, 0), arenas)
    together = learner.updated(learner.initial(3), experience, 0.1)
    alone = learner.updated(learner.initial(1), Experience(*(t[1:2] for t in experience)), 0.1)
    for n, p in alone.items():
        torch.testing.assert_close(together[n][1:2], p)


def test_the_context_adapts_and_the_weights_do_not():
    learner = LEARNERS["ContextPolicy"]()
    arenas = Navigation(robots=5, horizon=10).sample(2, seeded())
    parameters = learner.adapt(arenas).parameters
    assert {n: p.shape for n, p in parameters.items()} == {"context": (2, 3)}
    learner(arenas).mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in learner.parameters())


@pytest.mark.parametrize("name", LEARNERS)
def test_a_little_training_helps(name):
    """Goals in one corner only: all can learn to go there."""

    class Corner(Navigation):
        def sample(self, num_tasks, generator=None):
            goal = super().sample(num_tasks, generator).goal
            return NavigationEnvironments(0.4 + 0.2 * goal, robots=10, horizon=10)

    torch.manual_seed(0)
    learner = LEARNERS[name]()
    history = train(
        learner, Corner(), updates=40, tasks_per_update=5, progress=False, device="cpu",
        optimizer=torch.optim.Adam(learner.parameters(), 0.01),
    )  # fmt: skip
    assert np.mean(history.losses[-5:]) < 0.8 * np.mean(history.losses[:5])


@pytest.mark.parametrize("learner", [ToldGoal(), Trilateration()])
def test_who_has_nothing_to_learn_says_so(learner):
    with pytest.raises(TypeError, match="nothing to meta-learn"):
        learner(Navigation().sample(1))
