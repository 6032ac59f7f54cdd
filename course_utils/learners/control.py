"""Walking with a model: think many commands through, carry out the first of the best."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from course_utils.learners.base import MetaLearner, Predictor
from course_utils.tasks.environments import Policy
from course_utils.tasks.robots import (
    MOTORS,
    STEP,
    Record,
    RobotEnvironments,
    decode_change,
    encode,
    examples,
    wander,
)

SPEED = 8  # where a state holds the forward velocity, in metres a second


class Mind(NamedTuple):
    """What a planning robot remembers from one step to the next."""

    model: Predictor
    x: Tensor  # (T, n, 23), the steps that the model has adapted to, or will
    y: Tensor  # (T, n, 17)
    plan: Tensor  # (T, horizon, 6), the commands that it thought of last
    state: Tensor | None = None  # (T, 17), where it sent the first of them
    steps: int = 0


class ModelPredictiveControl(MetaLearner):
    """Walks as `learner`, a model of the robot, says it should.

    To adapt, a robot wanders for `shots` steps and the model adapts to these. Then, at every step,
    `samples` sequences of `horizon` commands are thought through; `iterations` times new ones are
    drawn around the `elite` that would go farthest; the first command of their mean is sent (the
    cross-entropy method: Rubinstein 1999; with a learned model: Chua et al. 2018). With `again`
    the model adapts anew every so many steps, to the last `shots` steps, made walking or wandering.
    """

    def __init__(
        self,
        learner: MetaLearner,
        shots: int = 64,
        again: int = 0,
        horizon: int = 10,
        samples: int = 200,
        elite: int = 20,
        iterations: int = 3,
    ):
        super().__init__()
        self.learner, self.shots, self.again = learner, shots, again
        self.horizon, self.samples = horizon, samples
        self.elite, self.iterations = elite, iterations

    @torch.no_grad()
    def adapt(self, robots: RobotEnvironments) -> Policy:
        x, y = examples(wander(robots, self.shots))
        model = self.learner.adapt(x, y)
        nothing = torch.zeros(len(robots), self.horizon, MOTORS)

        @torch.no_grad()
        def policy(state: Tensor, mind: Mind | None) -> tuple[Tensor, Mind]:
            if mind is None:
                mind = Mind(model, x, y, nothing)
            elif self.again:
                mind = self.take_in(mind, state)
            plan = self.think(mind.model, state, F.pad(mind.plan[:, 1:], (0, 0, 0, 1)))
            return plan[:, 0], mind._replace(plan=plan, state=state, steps=mind.steps + 1)

        return policy

    def take_in(self, mind: Mind, state: Tensor) -> Mind:
        """Put the last step in the place of the oldest; adapt to them all if it is time to."""
        made = Record(torch.stack([mind.state, state], 1), mind.plan[:, :1])
        x, y = (
            torch.cat([a[:, 1:], b], 1)
            for a, b in zip((mind.x, mind.y), examples(made), strict=True)
        )
        model = mind.model if mind.steps % self.again else self.learner.adapt(x, y)
        return mind._replace(model=model, x=x, y=y)

    def think(self, model: Predictor, state: Tensor, plan: Tensor) -> Tensor:
        """A plan (T, horizon, 6) that goes far from `state`, found around `plan`."""
        spread = torch.full_like(plan, 0.7)
        for _ in range(self.iterations):
            noise = torch.randn(len(plan), self.samples, *plan.shape[1:])
            command = (plan.unsqueeze(1) + spread.unsqueeze(1) * noise).clamp(-1, 1)
            best = imagine(model, state, command).topk(self.elite, 1).indices  # (T, elite)
            chosen = command.take_along_dim(best[:, :, None, None], 1)
            plan, spread = chosen.mean(1), chosen.std(1) + 0.05
        return plan


def imagine(model: Predictor, state: Tensor, command: Tensor) -> Tensor:
    """How far `model` thinks that commands lead, in metres: (T, 17), (T, n, H, 6) -> (T, n).

    A tenth of the squared commands is taken off, as in Gymnasium's own reward.
    """
    state = state.unsqueeze(1).expand(-1, command.shape[1], -1)
    way = -0.1 * command.square().sum((2, 3))
    for now in command.unbind(2):
        state = state + decode_change(model(encode(state, now)))
        way = way + state[..., SPEED]
    return STEP * way
