"""RL²: its gradient against exact enumeration, its memory, what it learns and what it refuses."""

import itertools
import math

import pytest
import torch

from course_utils import training
from course_utils.learners.bandits import RandomArm
from course_utils.learners.memory import RL2, advantages
from course_utils.learners.planning import BayesOptimalBandit
from course_utils.tasks.bandits import BanditEnvironments, Bandits
from course_utils.tasks.environments import Environments, play


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_advantages_are_their_definition():
    reward, value = torch.rand(3, 5, generator=seeded()), torch.rand(3, 5, generator=seeded(1))
    for trace in (0.0, 0.3, 1.0):
        found = advantages(reward, value, trace)
        for t in range(5):
            total = 0.0
            for k in range(5 - t):
                later = value[:, t + k + 1] if t + k < 4 else 0.0
                total = total + trace**k * (reward[:, t + k] + later - value[:, t + k])
            assert found[:, t].tolist() == pytest.approx(total.tolist(), abs=1e-5)
    earned = reward.flip(1).cumsum(1).flip(1)
    assert torch.allclose(advantages(reward, value, 1.0), earned - value, atol=1e-5)


def test_its_gradient_is_that_of_return_and_value_error():
    """Against the exact expectation over all lives of two pulls, by enumeration."""
    torch.manual_seed(0)
    learner = RL2(2, hidden=3, trace=1.0, entropy=0.0).double()
    with torch.no_grad():  # far from indifferent
        for parameter in learner.parameters():
            parameter.mul_(3)

    def seen(arm, pay):
        return torch.tensor([[arm == 0, arm == 1, pay]]).double()

    mean_return, value_error, mean_advantage = 0.0, 0.0, 0.0
    for first, paid, second, again in itertools.product((0, 1), repeat=4):
        logits, value, memory = learner.read(torch.zeros(1, 3).double(), None)
        chance = logits.softmax(1)[0, first] / 2  # of pull and pay
        logits, later, _ = learner.read(seen(first, paid), memory)
        mean = (paid + 1) / 3 if first == second else 1 / 2
        chance = chance * logits.softmax(1)[0, second] * (mean if again else 1 - mean)
        mean_return = mean_return + chance * (paid + again)
        errors = (value - paid - again) ** 2 + (later - again) ** 2
        value_error = value_error + chance.detach() * errors.squeeze() / 2
        advantage = (paid + again - value + again - later).squeeze() / 2
        mean_advantage = mean_advantage + (chance * advantage).item()
    variance = value_error.item() - mean_advantage**2  # of the advantages, over both pulls
    loss = (value_error / variance - mean_return / variance**0.5) / 2  # the mean over two pulls
    exact = torch.autograd.grad(loss, list(learner.parameters()))
    torch.manual_seed(1)
    environments = BanditEnvironments(
        torch.rand(200_000, 2, dtype=torch.double, generator=seeded()), 2, seeded(2)
    )
    estimate = torch.autograd.grad(learner(environments).mean(), list(learner.parameters()))
    exact, estimate = (torch.cat([g.flatten() for g in gs]) for gs in (exact, estimate))
    assert (exact - estimate).norm() < 0.05 * exact.norm()


def test_indecision_is_paid():
    environments = Bandits(2, 3).sample(50, seeded())
    losses = []
    for entropy in (0.0, 0.1):
        torch.manual_seed(0)
        learner = RL2(2, 4, entropy=entropy)
        with torch.no_grad():
            learner.head.weight.zero_()
            learner.head.bias.zero_()  # both arms alike: entropy log 2
        losses.append(learner(environments))
    assert (losses[0] - losses[1]).tolist() == pytest.approx([0.1 * math.log(2)] * 50, abs=1e-5)


def test_it_reads_the_last_action_its_reward_and_the_flag():
    learner, read = RL2(3, 4), []
    learner.gru.register_forward_pre_hook(lambda module, given: read.append(given[0]))
    environments = BanditEnvironments(torch.tensor([[1.0, 0.0, 1.0]]), 2)
    policy = learner.adapt(environments)
    first, memory = policy(environments.reset(), None)
    observation, reward, _ = environments.step(first)
    policy(observation, memory)
    assert read[0].tolist() == [[0.0] * 5]
    one_hot = torch.eye(3)[first.item()].tolist()
    assert read[1].tolist() == [[*one_hot, reward.item(), 1.0]]


def test_an_episode_begins_with_an_empty_memory():
    torch.manual_seed(0)
    learner = RL2(3, 8)
    environments = Bandits(3, 5).sample(40, seeded())
    policy = learner.adapt(environments)
    assert torch.equal(play(policy, environments), play(policy, environments))


def test_it_learns_to_explore_within_seconds():
    """One of two arms always pays, the other never: one look is enough."""

    class Certain(Bandits):
        def sample(self, num_tasks, generator=None):
            first = torch.rand(num_tasks, 1, generator=generator).round()
            return BanditEnvironments(torch.cat([first, 1 - first], 1), self.pulls, generator)

    task_set = Certain(2, 4)
    torch.manual_seed(0)
    learner = RL2(2, 16)
    adam = torch.optim.Adam(learner.parameters(), lr=0.02)
    history = training.train(
        learner, task_set, updates=80, tasks_per_update=64, optimizer=adam, validation=task_set,
        progress=False,
    )  # fmt: skip
    assert training.test(learner, task_set).mean == pytest.approx(3.5, abs=0.1)
    assert history.validation[0][1] < 3 < 3.4 < max(score for _, score in history.validation)


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(tmp_path):
    def learned(updates, path=None):
        torch.manual_seed(3)
        learner = RL2(2, 4)
        for n in updates:
            training.train(
                learner, Bandits(2, 3), updates=n, tasks_per_update=8, checkpoint=path, seed=5,
                progress=False,
            )  # fmt: skip
        return learner.state_dict()

    whole, in_parts = learned([20]), learned([10, 20], tmp_path / "run")
    assert all(torch.equal(whole[name], in_parts[name]) for name in whole)


def test_players_are_tested_by_their_returns_on_the_same_bandits():
    task_set = Bandits(3, 6)
    optimal = BayesOptimalBandit(task_set)
    result, floor = (training.test(p, task_set, num_tasks=2000) for p in (optimal, RandomArm()))
    assert result.interval[0] < optimal.value < result.interval[1]
    environments = task_set.sample(2000, seeded())
    assert result.scores.tolist() == play(optimal.adapt(environments), environments).tolist()
    assert training.select([RandomArm(), optimal], task_set)[0] is optimal
    assert floor.interval[0] < 3 < floor.interval[1]


class Broken(Environments):
    def __len__(self):
        return 2

    def reset(self):
        return torch.zeros(2, 3)

    def step(self, action):
        return torch.zeros(2, 3), torch.tensor([0.0, math.nan]), True


def test_a_reward_that_is_no_number_is_told():
    with pytest.raises(FloatingPointError, match="no finite number"):
        RL2(2)(Broken())


def test_a_learner_of_other_arms_is_told():
    with pytest.raises(ValueError, match="RL2 and Bandits do not fit: an observation has shape"):
        training.train(RL2(4), Bandits(5, 3), updates=1, progress=False)
