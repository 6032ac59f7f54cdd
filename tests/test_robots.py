"""Robots with hidden gains, models of them, and planning; MuJoCo itself is the oracle."""

import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from course_utils.learners import FineTune, Recurrent
from course_utils.learners.control import LEAN, SPEED, ModelPredictiveControl, imagine
from course_utils.learners.robots import Simulator, ToldGains
from course_utils.networks import MLP
from course_utils.tasks import robots
from course_utils.tasks.robots import (
    INPUTS,
    STATE,
    STEP,
    RobotEnvironments,
    Robots,
    decode,
    decode_change,
    encode,
    encode_change,
    gains_of,
    walk,
    wander,
)
from course_utils.training import test as judge
from course_utils.training import train

pytest.importorskip("mujoco", reason="gymnasium[mujoco] is not installed: run `uv sync`")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def two():
    with RobotEnvironments(torch.tensor([[0.5, -1, 0, 1, 0.2, -0.3], [1.0] * 6]), 12) as robots:
        yield robots


# --- the bodies ----------------------------------------------------------------------------------


def test_a_gain_multiplies_the_command(two):
    command = torch.rand(2, 6, generator=seeded()) * 2 - 1
    two.reset()
    hidden, _, _ = two.step(command)
    with RobotEnvironments(torch.ones(2, 6), 12) as intact:
        intact.reset()
        shown, _, _ = intact.step(command * two.gains)
    assert torch.equal(hidden, shown)


def test_the_way_is_that_of_the_body(two):
    two.reset()
    before = [body.data.qpos[0] for body in two.bodies]
    record = walk(wander(seeded(1)), two)
    after = [body.data.qpos[0] for body in two.bodies]
    assert record.way.shape == (2, 12) and record.state.shape == (2, 13, STATE)
    way = np.subtract(after, before)
    assert record.way.sum(1).tolist() == pytest.approx(way.tolist(), abs=1e-5)
    assert torch.equal(record.state[:, 0], two.reset())  # an episode begins as the last one did


def test_no_step_is_a_record_too(two):
    record = walk(wander(), two, 0)
    assert [part.shape for part in record] == [(2, 1, STATE), (2, 0, 6), (2, 0)]


def test_commands_are_cut_off(two):
    two.reset()
    large, _, _ = two.step(torch.full((2, 6), 7.0))
    two.reset()
    one, _, _ = two.step(torch.ones(2, 6))
    assert torch.equal(large, one)


def test_an_episode_ends(two):
    two.reset()
    ends = [two.step(torch.zeros(2, 6))[2] for _ in range(12)]
    assert ends == [False] * 11 + [True]
    with pytest.raises(RuntimeError, match="call reset"):
        two.step(torch.zeros(2, 6))


@pytest.mark.parametrize("wrong", [torch.ones(6), torch.ones(2, 5), torch.full((1, 6), 1.1)])
def test_gains_out_of_range_are_told(wrong):
    with pytest.raises(ValueError, match="gains must have shape"):
        RobotEnvironments(wrong)
    with pytest.raises(ValueError, match="gains must have shape"):
        Simulator(wrong)


def test_gains_that_are_no_number_are_told():
    with pytest.raises(ValueError, match="between -1 and 1"):
        RobotEnvironments(torch.full((1, 6), torch.nan))


def test_other_bad_input_is_told(two):
    with pytest.raises(ValueError, match="horizon must be 1 or more"):
        RobotEnvironments(torch.ones(1, 6), horizon=0)
    two.reset()
    with pytest.raises(ValueError, match="a command for each motor"):
        two.step(torch.zeros(6))
    with pytest.raises(ValueError, match="split must be one of"):
        Robots("tset")
    with pytest.raises(ValueError, match="ask for fewer"):
        Robots("test", 150, 51)


def test_a_simulation_that_returns_nan_is_told(monkeypatch):
    with RobotEnvironments(torch.ones(1, 6)) as broken:
        body = broken.bodies[0]
        monkeypatch.setattr(
            body, "step", lambda _: (np.full(STATE, np.nan), 0, 0, 0, {"x_velocity": 0.0})
        )
        with pytest.raises(FloatingPointError, match="not finite"):
            broken.step(torch.zeros(1, 6))


def test_bodies_are_closed_even_after_an_error(monkeypatch):
    closed = []
    with pytest.raises(KeyError), RobotEnvironments(torch.ones(2, 6)) as some:
        for body in some.bodies:
            monkeypatch.setattr(body, "close", lambda: closed.append(1))
        raise KeyError
    assert closed == [1, 1]


def test_without_gymnasium_it_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    with pytest.raises(ImportError, match=r"gymnasium\[mujoco\]"):
        RobotEnvironments(torch.ones(1, 6))


# --- the tasks -----------------------------------------------------------------------------------


def test_scaling_is_undone():
    state, command = torch.randn(3, 5, STATE), torch.rand(3, 5, 6)
    again, same = decode(encode(state, command))
    assert torch.allclose(again, state, atol=1e-5) and torch.equal(same, command)
    change = torch.randn(3, STATE)
    assert torch.allclose(decode_change(encode_change(change)), change, atol=1e-4)


def test_no_robot_is_in_two_splits():
    gains = torch.cat([gains_of(split) for split in robots.ROBOTS])
    assert len(gains.unique(dim=0)) == len(gains) == sum(robots.ROBOTS.values())
    assert gains.abs().max() <= 1


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 80), st.integers(1, 80), st.integers(0, 10_000))
def test_queries_come_later_than_the_support(shots, queries, seed):
    task_set = Robots("validation", shots, queries)
    tasks = task_set.sample(3, seeded(seed))
    for t, robot in enumerate(tasks.unit):

        def steps(x, robot=robot):
            return [(task_set.x[robot] == row).all(1).nonzero().item() for row in x]

        support, query = steps(tasks.support_x[t]), steps(tasks.query_x[t])
        assert support == list(range(support[0], support[0] + shots)) if shots else not support
        assert len(set(query)) == queries and min(query) > max(support, default=-1)
        assert torch.equal(tasks.query_y[t], task_set.y[robot][query])


def test_told_commands_are_what_the_motors_do():
    told, plain = (Robots("validation", 5, 5, told=t).sample(20, seeded()) for t in (True, False))
    gains = gains_of("validation")[plain.unit].unsqueeze(1)
    assert torch.allclose(told.query_x[..., STATE:], plain.query_x[..., STATE:] * gains)
    assert torch.equal(told.query_y, plain.query_y)


# --- those who know ------------------------------------------------------------------------------


def test_the_simulation_predicts_without_error():
    task_set = Robots("validation", 2, 30)
    result = judge(Simulator(gains_of("validation")), task_set, num_tasks=20)
    assert result.scores.max() < 1e-6


def test_who_is_told_the_gains_sees_what_the_motors_do():
    learner, gains = FineTune(MLP(INPUTS, 8, STATE)), gains_of("validation")
    told, plain = (Robots("validation", 2, 9, told=t).sample(20, seeded()) for t in (True, False))
    expected = learner.adapt(told.support_x, told.support_y, steps=0)(told.query_x)
    got = ToldGains(learner, gains).adapt(plain.support_x, plain.support_y)(plain.query_x)
    assert torch.allclose(got, expected, atol=1e-5)


# --- a memory ------------------------------------------------------------------------------------


def test_a_memory_reads_in_order_and_one_task_never_another():
    torch.manual_seed(0)
    learner = Recurrent(2, 1, memory=5, hidden=7)
    x, y, query = torch.randn(2, 4, 2), torch.randn(2, 4, 1), torch.randn(2, 3, 2)
    got = learner.adapt(x, y)(query)
    state = torch.zeros(2, 5)
    for now in range(4):  # the unit's own definition, step by step (Cho et al. 2014)
        w = dict(learner.gru.named_parameters())
        read = torch.cat([x[:, now], y[:, now]], 1) @ w["weight_ih_l0"].T + w["bias_ih_l0"]
        kept = state @ w["weight_hh_l0"].T + w["bias_hh_l0"]
        (r, z, n), (hr, hz, hn) = read.chunk(3, 1), kept.chunk(3, 1)
        z = (z + hz).sigmoid()
        state = (1 - z) * (n + (r + hr).sigmoid() * hn).tanh() + z * state
    beside = state.unsqueeze(1).expand(-1, 3, -1)
    assert torch.allclose(got, learner.network(torch.cat([query, beside], 2)), atol=1e-6)
    nothing = learner.adapt(x[:, :0], y[:, :0])(query)
    assert torch.allclose(nothing, learner.network(nn.functional.pad(query, (0, 5))))


def test_a_memory_learns_what_a_task_has_in_common():
    class Offsets(Robots):
        def __init__(self):
            pass

        def sample(self, num_tasks, generator=None):
            x = torch.rand(num_tasks, 6, 1, generator=generator)
            y = x + torch.randn(num_tasks, 1, 1, generator=generator)
            return robots.Tasks(x[:, :3], y[:, :3], x[:, 3:], y[:, 3:])

    torch.manual_seed(0)
    learner = Recurrent(1, 1, 16, 16)
    adam = torch.optim.Adam(learner.parameters(), 0.01)
    train(learner, Offsets(), updates=150, optimizer=adam, progress=False)
    assert judge(learner, Offsets(), num_tasks=100).mean < 0.1  # a guess without memory: 1


# --- planning ------------------------------------------------------------------------------------


class Pushed(FineTune):
    """A model in which the first motor speeds the robot up, and nothing else happens."""

    def __init__(self):
        super().__init__(MLP(INPUTS, STATE))
        self.adapted_to = []

    def adapt(self, support_x, support_y, steps=None):
        self.adapted_to.append((support_x, support_y))

        def predict(x):
            _, command = decode(x)
            change = torch.zeros(*x.shape[:-1], STATE)
            change[..., SPEED] = command[..., 0]
            return encode_change(change)

        return predict


def test_it_imagines_step_by_step():
    state, command = torch.randn(2, STATE), torch.rand(2, 3, 4, 6)
    state[:, LEAN] = torch.tensor([-0.7, -1.0])
    got = imagine(Pushed().adapt(None, None), state, command)
    for t in range(2):
        for n in range(3):
            speed, way = state[t, SPEED].item(), 0.0
            for push in command[t, n]:
                speed += push[0].item()
                lean = 5 * 0.2 if t == 1 else 0.0
                way += STEP * (speed - 0.1 * push.square().sum().item() - lean)
            assert got[t, n].item() == pytest.approx(way, abs=1e-4)


def test_it_finds_the_plan_that_goes_far():
    torch.manual_seed(0)
    planner = ModelPredictiveControl(Pushed(), horizon=4, samples=300, iterations=6)
    plan = planner.think(Pushed().adapt(None, None), torch.zeros(2, STATE), torch.zeros(2, 4, 6))
    # a push now makes all later steps faster: worth 4, 3, 2, 1 against a cost of 0.1 push²
    assert plan[..., 0].min() > 0.8 and plan[..., 1:].abs().max() < 0.6


def test_it_adapts_to_what_it_did_itself(two):
    torch.manual_seed(0)
    model = Pushed()
    options = {"horizon": 2, "samples": 20, "elite": 5, "iterations": 1}
    planner = ModelPredictiveControl(model, shots=5, rounds=2, again=4, **options)
    record = walk(planner.adapt(two), two)
    sizes = [x.shape[1] for x, _ in model.adapted_to]
    assert sizes == [5, 5, 10, 10, 10]  # wandering, then walking (once adapting anew), on the way
    x, y = model.adapted_to[-1]
    before, command = decode(x[:, -8:])
    assert torch.allclose(before, record.state[:, :8], atol=1e-4)
    assert torch.allclose(command, record.command[:, :8], atol=1e-5)
    change = record.state[:, 1:9] - record.state[:, :8]
    assert torch.allclose(decode_change(y[:, -8:]), change, atol=1e-3)
