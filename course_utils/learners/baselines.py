"""What meta-learning has to beat: training afresh, and fine-tuning a jointly trained network."""

import copy

import torch
from torch import Tensor, nn

from course_utils.learners.gradient import GradientBased
from course_utils.learners.per_task import Parameters
from course_utils.losses import default_loss
from course_utils.tasks.base import Tasks


class FineTune(GradientBased):
    """Trained on all tasks together as if they were one, then fine-tuned on the support set.

    The pretrained baseline of Finn et al. 2017, section 5.1. `inner_lr` and `inner_steps` matter
    at test time only: choose them on validation tasks with `training.select`.
    """

    def forward(self, tasks: Tasks) -> Tensor:
        """The loss of one network, unadapted, on support and query together: (T,)."""
        x = torch.cat([tasks.support_x, tasks.query_x], 1)  # (T, S + Q, *x)
        y = torch.cat([tasks.support_y, tasks.query_y], 1)
        prediction = self.network(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        return default_loss(prediction, y)


class FromScratch(GradientBased):
    """A fresh random network for every task, trained on the support set alone.

    Nothing is meta-learned; `seed` fixes the weights that it starts from. Raises ValueError for a
    parameter whose module has no method `reset_parameters`: it would keep its present value.
    """

    def __init__(
        self, network: nn.Module, inner_lr: float = 0.01, inner_steps: int = 1, seed: int = 0
    ):
        super().__init__(network, inner_lr, inner_steps)
        self.seed = seed
        refuse_undrawable(self)

    def initial(self, num_tasks: int) -> Parameters:
        """Fresh weights for each task: name -> (T, *shape)."""
        refuse_undrawable(self)  # again, as other learners borrow this method
        network = copy.deepcopy(self.network).cpu()
        draws = []
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            for _ in range(num_tasks):
                for module in network.modules():
                    if hasattr(module, "reset_parameters"):
                        module.reset_parameters()
                draws.append({n: p.detach().clone() for n, p in network.named_parameters()})
        return {
            name: torch.stack([draw[name] for draw in draws]).to(p).requires_grad_()
            for name, p in self.adaptable().items()
        }

    def forward(self, tasks: Tasks) -> Tensor:
        raise TypeError("FromScratch has nothing to meta-learn: test it, don't train it")


def refuse_undrawable(learner: GradientBased) -> None:
    """Raise ValueError if a weight's module has no `reset_parameters` to draw it anew."""
    drawn = [m for m in learner.network.modules() if hasattr(m, "reset_parameters")]
    drawable = {id(p) for module in drawn for p in module.parameters(recurse=False)}
    for name, p in learner.adaptable().items():
        if id(p) not in drawable:
            raise ValueError(
                f"{type(learner).__name__} can't draw {name!r} anew: give its module a method"
                " reset_parameters"
            )
