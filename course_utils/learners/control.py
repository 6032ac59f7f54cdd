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
    walk,
    wander,
)

LEAN, SPEED = 1, 8  # where a state holds the torso's angle, and its forward velocity
UPRIGHT = 0.8  # radians that the torso may lean


class Mind(NamedTuple):
    """What a planning robot remembers from one step to the next."""

    model: Predictor
    support: tuple[Tensor, Tensor]  # (T, n, 23), (T, n, 17): steps to adapt to
    plan: Tensor  # (T, horizon, 6), the commands that it thought of last
    state: Tensor | None = None  # (T, 17), where it sent the first of them
    steps: int = 0


class ModelPredictiveControl(MetaLearner):
    """Walks as `learner`, a model of the robot, says it should.

    To adapt, a robot wanders for `shots` steps, and the model adapts to these; in each further one
    of `rounds` it walks as many and adapts to all. To act, at every step `samples` sequences of
    `horizon` commands are thought through; `iterations` times new ones are drawn around the `elite`
    that would go farthest; the first command of their mean is sent (the cross-entropy method:
    Rubinstein 1999; with a learned model: Chua et al. 2018). With `again` the model adapts anew
    every so many steps, to as many as before, the last ones.
    """

    def __init__(
        self,
        learner: MetaLearner,
        shots: int = 64,
        rounds: int = 1,
        again: int = 0,
        horizon: int = 10,
        samples: int = 200,
        elite: int = 20,
        iterations: int = 3,
    ):
        super().__init__()
        self.learner, self.shots, self.rounds, self.again = learner, shots, rounds, again
        self.horizon, self.samples = horizon, samples
        self.elite, self.iterations = elite, iterations

    def adapt(self, robots: RobotEnvironments) -> Policy:
        support = examples(walk(wander(), robots, self.shots))
        for _ in range(self.rounds - 1):
            more = examples(walk(self.policy(*support), robots, self.shots))
            support = tuple(torch.cat(pair, 1) for pair in zip(support, more, strict=True))
        return self.policy(*support)

    @torch.no_grad()
    def policy(self, support_x: Tensor, support_y: Tensor) -> Policy:
        """The policy that plans with the model adapted to these steps (see `examples`)."""
        model = self.learner.adapt(support_x, support_y)
        nothing = torch.zeros(len(support_x), self.horizon, MOTORS)

        @torch.no_grad()
        def act(state: Tensor, mind: Mind | None) -> tuple[Tensor, Mind]:
            if mind is None:
                mind = Mind(model, (support_x, support_y), nothing)
            elif self.again:
                mind = self.take_in(mind, state)
            plan = self.think(mind.model, state, F.pad(mind.plan[:, 1:], (0, 0, 0, 1)))
            return plan[:, 0], mind._replace(plan=plan, state=state, steps=mind.steps + 1)

        return act

    def take_in(self, mind: Mind, state: Tensor) -> Mind:
        """Put the last step in the place of the oldest; adapt to them all if it is time to."""
        made = Record(torch.stack([mind.state, state], 1), mind.plan[:, :1], state[:, :0])
        support = tuple(
            torch.cat([old[:, 1:], new], 1)
            for old, new in zip(mind.support, examples(made), strict=True)
        )
        model = mind.model if mind.steps % self.again else self.learner.adapt(*support)
        return mind._replace(model=model, support=support)

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

    Taken off are a tenth of the squared commands, as in Gymnasium's own reward, and five for each
    radian that the torso leans too far: the fastest way forward is soon one on its back.
    """
    state = state.unsqueeze(1).expand(-1, command.shape[1], -1)
    way = -0.1 * command.square().sum((2, 3))
    for now in command.unbind(2):
        state = state + decode_change(model(encode(state, now)))
        leaning = (state[..., LEAN].abs() - UPRIGHT).clamp(min=0)
        way = way + state[..., SPEED] - 5 * leaning
    return STEP * way
