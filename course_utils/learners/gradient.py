"""Learners that adapt by gradient steps: MAML and its relatives."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from course_utils.learners import per_task
from course_utils.learners.base import MetaLearner
from course_utils.learners.per_task import Parameters
from course_utils.losses import default_loss
from course_utils.tasks.base import Tasks, check_counts


class Adapted:
    """A network with T sets of weights, one a task: what a gradient-based learner becomes."""

    def __init__(self, run, network: nn.Module, parameters: Parameters):
        self.run, self.network, self.parameters = run, network, parameters

    def __call__(self, x: Tensor) -> Tensor:  # (T, n, *x) -> (T, n, *y)
        num_tasks = next((len(p) for p in self.parameters.values()), len(x))
        if x.ndim < 3 or len(x) != num_tasks:
            raise ValueError(
                f"queries must be (T, Q, *x), and T = {num_tasks} tasks were adapted to, got"
                f" queries of shape {tuple(x.shape)}"
            )
        return self.run(self.network, self.parameters, x)


class GradientBased(MetaLearner):
    """Adapts by `inner_steps` gradient steps of size `inner_lr` on the support loss.

    `network` may be any module that maps (n, *x) to (n, *y): with buffers, shared weights,
    dropout or frozen parameters. Raises ValueError for one that keeps running batch statistics.
    """

    first_order = False

    def __init__(self, network: nn.Module, inner_lr: float = 0.01, inner_steps: int = 1):
        super().__init__()
        refuse_running_statistics(network)
        check_counts(inner_steps=inner_steps)
        self.network, self.inner_lr, self.inner_steps = network, inner_lr, inner_steps
        self.run = per_task.way(network)

    # --- the two verbs ---------------------------------------------------------------------------

    def adapt(self, support_x: Tensor, support_y: Tensor, steps: int | None = None) -> Adapted:
        """The predictor after `steps` (default: inner_steps) gradient steps on each support set."""
        for predictor in self._checked_loop(support_x, support_y, steps):
            last = predictor  # those before it are let go
        return last

    def outer_step(self, tasks: Tasks, optimizer: torch.optim.Optimizer) -> Tensor:
        """One step of the outer loop.

        Convolutions on a CPU take one task's graph at a time, as a graph of all tasks is too large
        for memory to be kept from step to step, and each core takes tasks of its own.
        """
        if self.run is not per_task.run_convolution or tasks.support_x.device.type != "cpu":
            return super().outer_step(tasks, optimizer)
        parameters = [p for p in self.parameters() if p.requires_grad]

        def gradients(learner: MetaLearner, tasks: Tasks) -> tuple[Tensor, list[Tensor]]:
            losses, total = [], [0] * len(parameters)
            for t in range(len(tasks)):
                loss = learner(tasks.part(t, t + 1)).squeeze(0)
                own = torch.autograd.grad(loss, parameters, materialize_grads=True)
                total = [a + b for a, b in zip(total, own, strict=True)]
                losses.append(loss.detach())
            return torch.stack(losses), total

        losses, totals = zip(*per_task.on_all_cores(gradients, self, tasks), strict=True)
        for p, *parts in zip(parameters, *totals, strict=True):
            p.grad = sum(parts) / len(tasks)
        optimizer.step()
        return torch.cat(losses)

    def trajectory(
        self, support_x: Tensor, support_y: Tensor, steps: int | None = None
    ) -> list[Adapted]:
        """The predictors after 0, 1, ..., `steps` gradient steps."""
        return list(self._checked_loop(support_x, support_y, steps))

    # --- the inner loop --------------------------------------------------------------------------

    def initial(self, num_tasks: int) -> Parameters:
        """θ, once for each task: name -> (T, *shape)."""
        return {name: p.expand(num_tasks, *p.shape) for name, p in self.adaptable().items()}

    def adaptable(self) -> dict[str, nn.Parameter]:
        """The parameters that the inner loop changes: all that are not frozen."""
        return {name: p for name, p in self.network.named_parameters() if p.requires_grad}

    def update(self, parameters: Parameters, gradients: tuple[Tensor, ...]) -> Parameters:
        """θ_i ← θ_i − α ∇L_i(θ_i)."""
        return {
            name: torch.sub(p, g, alpha=self.inner_lr)
            for (name, p), g in zip(parameters.items(), gradients, strict=True)
        }

    def _checked_loop(self, x: Tensor, y: Tensor, steps: int | None) -> Iterator[Adapted]:
        if steps is not None:
            check_counts(steps=steps)
        if x.ndim < 3 or x.shape[:2] != y.shape[:2]:
            raise ValueError(
                "support_x must be (T, S, *x) and support_y (T, S, *y), got shapes"
                f" {tuple(x.shape)} and {tuple(y.shape)}; for one task use x.unsqueeze(0)"
            )
        return self._inner_loop(x, y, steps)

    def _inner_loop(self, x: Tensor, y: Tensor, steps: int | None) -> Iterator[Adapted]:
        parameters = self.initial(len(x))
        predictor = Adapted(self.run, self.network, parameters)
        yield predictor
        for _ in range(self.inner_steps if steps is None else steps):
            if x.shape[1]:  # an empty support set teaches nothing
                gradients = self._support_gradients(parameters, x, y)
                parameters = self.update(parameters, gradients)
                predictor = Adapted(self.run, self.network, parameters)
            yield predictor

    def _support_gradients(self, parameters: Parameters, x: Tensor, y: Tensor) -> tuple:
        """∇L_i(θ_i) of every task, itself differentiable unless first_order or under no_grad."""

        def total(parameters):  # each task's weights touch its own loss only: the sum parts again
            return default_loss(self.run(self.network, parameters, x), y).sum()

        if torch.compiler.is_compiling():
            gradients = tuple(torch.func.grad(total)(parameters).values())
            return tuple(g.detach() for g in gradients) if self.first_order else gradients
        outer = torch.is_grad_enabled()
        with torch.enable_grad():
            if not outer:
                parameters = {n: p.detach().requires_grad_() for n, p in parameters.items()}
            return torch.autograd.grad(
                total(parameters),
                tuple(parameters.values()),
                create_graph=outer and not self.first_order,
                materialize_grads=True,
            )


class MAML(GradientBased):
    """Meta-learns an initialisation from which few steps go far (Finn et al. 2017, algorithm 1).

    `first_order=True` treats the inner gradients as constants: no gradients of gradients.
    """

    def __init__(
        self,
        network: nn.Module,
        inner_lr: float = 0.01,
        inner_steps: int = 1,
        first_order: bool = False,
    ):
        super().__init__(network, inner_lr, inner_steps)
        self.first_order = first_order


class FOMAML(GradientBased):
    """MAML without second derivatives (Finn et al. 2017, section 5.2)."""

    first_order = True


class Reptile(GradientBased):
    """Moves θ towards the weights that training on a task arrives at (Nichol et al. 2018, alg. 1).

    Nothing is held out: it adapts to support and query together. Its objective is ½‖θ − θ′‖² with
    θ′ held fixed, whose gradient is θ − θ′.
    """

    first_order = True

    def forward(self, tasks: Tasks) -> Tensor:
        x = torch.cat([tasks.support_x, tasks.query_x], 1)  # (T, S + Q, *x)
        y = torch.cat([tasks.support_y, tasks.query_y], 1)
        arrived = self.adapt(x, y).parameters
        distances = [
            0.5 * (theta - arrived[name].detach()).pow(2).flatten(1).sum(1)
            for name, theta in self.adaptable().items()
        ]
        return torch.stack(distances).sum(0)


class ANIL(GradientBased):
    """Almost no inner loop: the last layer adapts, the body is meta-learned (Raghu et al. 2020).

    The last layer is the module that owns the network's last parameter.
    """

    def adaptable(self) -> dict[str, nn.Parameter]:
        everything = super().adaptable()
        head = list(everything)[-1].rpartition(".")[0]
        return {name: p for name, p in everything.items() if name.rpartition(".")[0] == head}


class MetaSGD(GradientBased):
    """Meta-learns the initialisation and a learning rate for every weight (Li et al. 2017, alg. 1).

    `inner_lr` is what the rates start from.
    """

    def __init__(self, network: nn.Module, inner_lr: float = 0.01, inner_steps: int = 1):
        super().__init__(network, inner_lr, inner_steps)
        self.rates = nn.ParameterList(
            torch.full_like(p, inner_lr) for p in self.adaptable().values()
        )

    def update(self, parameters: Parameters, gradients: tuple[Tensor, ...]) -> Parameters:
        """θ_i ← θ_i − α ∘ ∇L_i(θ_i), α of θ's own shape."""
        return {
            name: p - rate * g
            for (name, p), g, rate in zip(parameters.items(), gradients, self.rates, strict=True)
        }


def refuse_running_statistics(network: nn.Module) -> None:
    """Raise ValueError if a layer's running averages would leak from task to task."""
    for name, module in network.named_modules():
        if getattr(module, "track_running_stats", False):
            raise ValueError(
                f"layer {name!r} ({type(module).__name__}) keeps running batch statistics: they"
                " would mix the tasks of a batch, and query examples with each other. Use"
                " GroupNorm or LayerNorm, or set track_running_stats=False knowing that the layer"
                " then looks at the whole query set"
            )
