"""Two quadratic tasks and a θ: what four learners make of them, all in closed form."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from course_utils import formulas

LEARNERS = {  # class -> its name here
    "FineTune": "joint training",
    "MAML": "MAML",
    "FOMAML": "first order",
    "Reptile": "Reptile",
}
BOWLS = {  # curvature of task A along x and y, of task B along x and y
    "crossed valleys": ((2.0, 0.25), (0.25, 2.0)),
    "narrow and wide": ((2.0, 2.0), (0.25, 0.25)),
    "equal and round": ((0.7, 0.7), (0.7, 0.7)),
}
REACH = 3.0
GRID = np.linspace(-REACH, REACH, 41)
NEAR, FAR = 0.15, 0.5  # θ is at an optimum within NEAR, and clearly off it beyond FAR


class Scene:
    """Two quadratic tasks, a θ, a rate α and k steps: all numbers in the picture.

    `optima` is (2, 2), a row for each task; `theta` (2,). L_i(θ) = ½ (θ − c_i)ᵀ H_i (θ − c_i).
    """

    def __init__(self, points: Sequence, bowls: str, rate: float, steps: int):
        *optima, theta = points
        self.optima, self.theta = (torch.tensor(p, dtype=torch.float64) for p in (optima, theta))
        self.hessians = torch.diag_embed(torch.tensor(BOWLS[bowls], dtype=torch.float64))
        self.rate, self.steps = rate, steps
        self.weights = {  # learner -> (2, 2, 2)
            name: formulas.task_weight(self.hessians, rate, steps, name) for name in LEARNERS
        }

    def push(self, learner: str, theta: Tensor | None = None) -> Tensor:
        """Where the learner moves θ: minus its gradient, the mean over tasks, (2,)."""
        away = (self.theta if theta is None else theta) - self.optima  # (2, 2)
        return -(self.weights[learner] @ away.unsqueeze(-1)).mean(0).squeeze(-1)

    def optimum(self, learner: str) -> Tensor | None:
        """What the learner calls optimal (2,), or None where its push leads away for ever."""
        if torch.linalg.eigvalsh(self.weights[learner].sum(0))[0] < 1e-6:
            return None
        return formulas.weighted_mean(self.weights[learner], self.optima)

    def at(self, learner: str, far: bool = False) -> bool:
        """Whether θ is at the learner's optimum; with `far`, whether it is clearly off it."""
        optimum = self.optimum(learner)
        if optimum is None:
            return far
        distance = (self.theta - optimum).norm().item()
        return distance > FAR if far else distance < NEAR

    def objective(self, learner: str) -> np.ndarray:
        """The function whose gradient the learner follows, over GRID × GRID: (y, x)."""
        points = np.stack(np.meshgrid(GRID, GRID), -1)[..., None, :] - self.optima.numpy()
        weighted = np.einsum("yxti,tij,yxtj->yx", points, self.weights[learner].numpy(), points)
        return weighted / (2 * len(self.optima))

    def path(self, task: int) -> Tensor:
        """θ after 0 .. k steps on a task: (k + 1, 2)."""

        def loss(theta):
            away = theta - self.optima[task]
            return away @ self.hessians[task] @ away / 2

        path = [self.theta]
        for _ in range(self.steps):
            path.append(formulas.adapt(path[-1], loss, self.rate))
        return torch.stack(path)

    def losses(self) -> tuple[float, float]:
        """The mean loss of the two tasks at θ, and after adapting."""
        away = torch.stack([self.path(task) for task in (0, 1)]) - self.optima.unsqueeze(1)
        losses = torch.einsum("tki,tij,tkj->tk", away, self.hessians, away).mean(0) / 2  # (k + 1,)
        return losses[0].item(), losses[-1].item()

    def walked(self, learner: str, steps: int = 10) -> Tensor:
        """θ after some outer steps of this learner, cut off at the picture's edge: (2,)."""
        steepest = torch.linalg.eigvalsh(self.weights[learner].mean(0)).abs().max().clamp(min=1e-9)
        theta = self.theta
        for _ in range(steps):
            theta = theta + 0.3 / steepest * self.push(learner, theta)
        return theta.clamp(-REACH, REACH)

    def answers(self) -> set[str]:
        """The questions to which this scene is an answer."""
        before, after = self.losses()
        optima = [self.optimum(learner) for learner in LEARNERS]
        agree = all(o is not None and (o - optima[0]).norm() < 0.02 for o in optima)
        found = {
            "MAML, not joint": self.at("MAML") and self.at("FineTune", far=True),
            "one step": self.steps == 1 and before > 1 and after < 0.01,
            "runs away": self.optimum("FOMAML") is None,
            "all agree": agree and bool((self.optima[0] - self.optima[1]).norm() > FAR),
        }
        return {question for question, yes in found.items() if yes}
