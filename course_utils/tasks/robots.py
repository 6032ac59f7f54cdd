"""A robot that has to find out how its motors answer: Gymnasium's HalfCheetah, damaged."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from course_utils.tasks.base import Tasks, TaskSet, check_counts
from course_utils.tasks.environments import Environments, Policy

STATE, MOTORS = 17, 6  # how many numbers an observation has, and an action
INPUTS = STATE + MOTORS
MOTOR_NAMES = ("back hip", "back knee", "back ankle", "front hip", "front knee", "front ankle")
STEP = 0.05  # seconds
ROBOTS = {"train": 400, "validation": 20, "test": 20}  # how many of them there are
RECORDED = 200  # steps that were recorded of each


class RobotEnvironments(Environments):
    """T half cheetahs whose commands are multiplied by hidden gains (T, 6), one for each motor.

    A motor with gain 1 does what it is told, with 0 it hangs loose, with −1 it pushes the wrong
    way. An observation (T, 17) is Gymnasium's: height, angles (radians), velocities. An action
    (T, 6) is a command for each motor, cut off at −1 and 1; what it brings (T,) is the way forward
    in metres. `gains` may be changed between two steps: that is a damage.

    Close it, or use it in a `with`. Raises ValueError for gains outside −1 to 1 and for horizon 0,
    FloatingPointError where the simulation returns a number that is not finite, ImportError
    without gymnasium[mujoco].
    """

    def __init__(self, gains: Tensor, horizon: int = 150, seed: int = 0):
        check_counts(horizon=horizon)
        if horizon == 0:
            raise ValueError("horizon must be 1 or more: an episode needs a step")
        self.gains, self.horizon, self.seed = check_gains(gains), horizon, seed
        self.bodies = [make_body() for _ in gains]
        self.reset()

    def __len__(self) -> int:
        return len(self.bodies)

    def __enter__(self) -> "RobotEnvironments":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the simulations."""
        for body in self.bodies:
            body.close()

    def reset(self) -> Tensor:
        self.left = self.horizon
        first = [body.reset(seed=self.seed + i)[0] for i, body in enumerate(self.bodies)]
        return torch.from_numpy(np.stack(first)).float()

    def step(self, action: Tensor) -> tuple[Tensor, Tensor, bool]:
        """Send each robot its commands and let 0.05 s pass.

        Raises ValueError for an action of another shape, RuntimeError after the last step.
        """
        if self.left == 0:
            raise RuntimeError(f"all {self.horizon} steps are made: call reset() for a new episode")
        if action.shape != self.gains.shape:
            raise ValueError(
                f"an action must have shape {tuple(self.gains.shape)}, a command for each motor;"
                f" got {tuple(action.shape)}"
            )
        force = (action.clamp(-1, 1) * self.gains).numpy()
        after = [body.step(f) for body, f in zip(self.bodies, force, strict=True)]
        observation = torch.from_numpy(np.stack([a[0] for a in after])).float()
        way = torch.tensor([a[-1]["x_velocity"] * STEP for a in after])
        if not (observation.isfinite().all() and way.isfinite().all()):
            raise FloatingPointError("a robot's simulation returned a number that is not finite")
        self.left -= 1
        return observation, way, self.left == 0


def check_gains(gains: Tensor) -> Tensor:
    """The gains, if they are (T, 6) and between −1 and 1; else ValueError."""
    if gains.ndim != 2 or gains.shape[1] != MOTORS or not (gains.abs() <= 1).all():
        raise ValueError(
            f"gains must have shape (T, {MOTORS}) and lie between -1 and 1; got shape"
            f" {tuple(gains.shape)} and values {gains.tolist()[:2]}"
        )
    return gains


def make_body():
    """Gymnasium's HalfCheetah-v5, without its limit of time."""
    try:
        import gymnasium
        import mujoco
    except ImportError as error:
        raise ImportError(
            "a simulated robot needs MuJoCo: run `uv sync`, or `pip install 'gymnasium[mujoco]'`"
        ) from error
    mujoco.set_mju_user_warning(lambda _: None)  # about a word in Gymnasium's own model file
    return gymnasium.make("HalfCheetah-v5", disable_env_checker=True).unwrapped


# --- what robots have done -----------------------------------------------------------------------


class Record(NamedTuple):
    """What T robots did in n steps."""

    state: Tensor  # (T, n + 1, 17), before and after each step
    command: Tensor  # (T, n, 6)
    way: Tensor  # (T, n), metres forward


def walk(policy: Policy, robots: RobotEnvironments, steps: int | None = None) -> Record:
    """What the robots do under `policy` in their first steps, or in a whole episode."""
    observation, memory, done = robots.reset(), None, False
    state, command, way = [observation], [], []
    while not done and len(command) != steps:
        action, memory = policy(observation, memory)
        observation, forward, done = robots.step(action)
        state.append(observation)
        command.append(action)
        way.append(forward)
    if not command:
        nothing = torch.empty(len(robots), 0)
        return Record(torch.stack(state, 1), nothing.unsqueeze(2).expand(-1, -1, MOTORS), nothing)
    return Record(torch.stack(state, 1), torch.stack(command, 1), torch.stack(way, 1))


def wander(generator: torch.Generator | None = None) -> Policy:
    """The policy that moves at random: 0.6 of the last command plus noise of deviation 0.7.

    Such commands push long enough in one direction to move a leg.
    """

    def policy(state: Tensor, last: Tensor | None) -> tuple[Tensor, Tensor]:
        noise = torch.randn(len(state), MOTORS, generator=generator)
        command = ((0.6 * last if last is not None else 0) + 0.7 * noise).clamp(-1, 1)
        return command, command

    return policy


def gains_of(split: str) -> Tensor:
    """The gains of all robots of a split, uniform on −1 to 1: (robots, 6)."""
    if split not in ROBOTS:
        raise ValueError(f"split must be one of {', '.join(ROBOTS)}, got {split!r}")
    generator = torch.Generator().manual_seed(list(ROBOTS).index(split))
    return 2 * torch.rand(ROBOTS[split], MOTORS, generator=generator) - 1


@lru_cache
def recorded(split: str, robots: int | None = None) -> Record:
    """The first robots of a split, or all, wandering for 200 steps; simulated once."""
    gains = gains_of(split)[:robots]
    seed = 1000 * list(ROBOTS).index(split)  # no two robots begin in the same posture
    with RobotEnvironments(gains, RECORDED, seed) as bodies:
        return walk(wander(torch.Generator().manual_seed(seed)), bodies)


@lru_cache
def scale() -> tuple[Tensor, ...]:
    """Mean and deviation of 40 training robots' states, and of their changes: (17,) each."""
    state = recorded("train", 40).state
    change = state[:, 1:] - state[:, :-1]
    return tuple(f(v.flatten(0, 1), 0) for v in (state, change) for f in (torch.mean, torch.std))


def encode(state: Tensor, command: Tensor) -> Tensor:
    """What a learner is given: scaled states (..., 17) and commands (..., 6) -> (..., 23)."""
    mean, deviation, _, _ = scale()
    return torch.cat([(state - mean) / deviation, command], -1)


def decode(x: Tensor) -> tuple[Tensor, Tensor]:
    """States (..., 17) and commands (..., 6) of what a learner was given."""
    mean, deviation, _, _ = scale()
    return x[..., :STATE] * deviation + mean, x[..., STATE:]


def encode_change(change: Tensor) -> Tensor:
    """What a learner is to predict: changes of the state in a step, scaled, (..., 17)."""
    _, _, mean, deviation = scale()
    return (change - mean) / deviation


def decode_change(y: Tensor) -> Tensor:
    """The change of the state that a learner's prediction (..., 17) means."""
    _, _, mean, deviation = scale()
    return y * deviation + mean


def examples(record: Record) -> tuple[Tensor, Tensor]:
    """What a learner is given of a record, and what it is to predict: (T, n, 23), (T, n, 17)."""
    before, after = record.state[:, :-1], record.state[:, 1:]
    return encode(before, record.command), encode_change(after - before)


class Robots(TaskSet):
    """Each task is a robot: `shots` of its steps in a row to learn from, `queries` later ones.

    x is (T, n, 23), scaled state and commands; y is (T, n, 17), by how much the state changed,
    scaled so that predicting the mean change has an error of about 1 (mean squared).
    unit is the number of the robot. With `told` the commands stand in x as the motors carry them
    out, multiplied by the gains: nothing is hidden then. Raises ValueError for an unknown split
    and for more steps than were recorded.
    """

    def __init__(
        self, split: str = "train", shots: int = 32, queries: int = 32, told: bool = False
    ):
        check_counts(shots=shots, queries=queries)
        if shots + queries > RECORDED:
            raise ValueError(
                f"{shots} shots and {queries} queries are more than the {RECORDED} steps that were"
                " recorded of each robot: ask for fewer"
            )
        self.split, self.shots, self.queries, self.told = split, shots, queries, told
        record = recorded(split)
        if told:
            record = record._replace(command=record.command * gains_of(split).unsqueeze(1))
        self.x, self.y = examples(record)

    def sample(self, num_tasks: int, generator: torch.Generator | None = None) -> Tasks:
        """Draw tasks: robots at random in training, else each in turn."""
        check_counts(num_tasks=num_tasks)
        device = generator.device if generator else None
        random = {"generator": generator, "device": device}
        robot = torch.arange(num_tasks, device=device) % len(self.x)
        if self.split == "train":
            robot = torch.randint(len(self.x), (num_tasks,), **random)
        latest = RECORDED - self.shots - self.queries
        start = torch.randint(latest + 1, (num_tasks, 1), **random)
        after = start + self.shots  # the first step that may be asked for
        step = torch.arange(RECORDED, device=device)
        order = torch.rand(num_tasks, RECORDED, **random) + 1.0 * (step < after)
        asked = order.argsort(1)[:, : self.queries]  # later steps come first
        step = torch.cat([start + step[: self.shots], asked], 1)  # (T, S + Q)
        x, y = (t.to(robot.device)[robot.unsqueeze(1), step] for t in (self.x, self.y))
        s = self.shots
        return Tasks(x[:, :s], y[:, :s], x[:, s:], y[:, s:], robot)
