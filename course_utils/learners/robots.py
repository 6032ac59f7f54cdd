"""Those who know more about a robot than a learner can: its gains, or the simulation itself."""

import torch
from torch import Tensor

from course_utils.learners.base import MetaLearner, Predictor
from course_utils.tasks.robots import STATE, check_gains, decode, encode_change, make_body


class ToldGains(MetaLearner):
    """Predicts with `learner`, trained on `Robots(told=True)`, and is told the gains (T, 6).

    Told the wrong ones, all of them 1, it is a robot that believes itself intact.
    """

    def __init__(self, learner: MetaLearner, gains: Tensor):
        super().__init__()
        self.learner, self.gains = learner, check_gains(gains)

    def adapt(self, support_x: Tensor, support_y: Tensor) -> Predictor:
        predict = self.learner.adapt(support_x[:, :0], support_y[:, :0])
        gains = self.gains.unsqueeze(1)

        def told(query_x: Tensor) -> Tensor:
            return predict(torch.cat([query_x[..., :STATE], query_x[..., STATE:] * gains], 2))

        return told


class Simulator(MetaLearner):
    """Predicts with the simulation itself and the gains (T, 6): no learner can know more."""

    def __init__(self, gains: Tensor):
        super().__init__()
        self.gains, self.body = check_gains(gains), make_body()

    def adapt(self, support_x: Tensor, support_y: Tensor) -> Predictor:
        from mujoco import rollout

        body = self.body

        def predict(query_x: Tensor) -> Tensor:
            state, command = decode(query_x)
            force = command.clamp(-1, 1) * self.gains.unsqueeze(1)
            # MuJoCo's state is the time, the place, and what Gymnasium shows of it
            before = torch.nn.functional.pad(state.flatten(0, 1), (2, 0)).double()
            control = force.flatten(0, 1).double().unsqueeze(1).repeat(1, body.frame_skip, 1)
            after, _ = rollout.rollout(body.model, body.data, before.numpy(), control.numpy())
            after = torch.from_numpy(after[:, -1, 2:]).float().view_as(state)
            return encode_change(after - state)

        return predict
