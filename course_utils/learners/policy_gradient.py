"""Policies that learn a new skill by policy gradients, from experience of their own.

T tasks are acted in at the same time, each by E robots on their own, for H steps.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from course_utils.learners import per_task
from course_utils.learners.base import MetaLearner, clipped_step
from course_utils.learners.per_task import Parameters
from course_utils.tasks.environments import Environments


class Experience(NamedTuple):
    """What was seen, done and earned in one episode of each robot."""

    observation: Tensor  # (T, H, E, o)
    action: Tensor  # (T, H, E, a)
    reward: Tensor  # (T, H, E)
    counts: Tensor  # (T, H, E): 1 while the robot's episode lasted, then 0
    log_p: Tensor  # (T, H, E): of the action, under the policy that took it


class GaussianPolicy:
    """Draws actions from a normal distribution around the network's output, task by task.

    `parameters` are those of T tasks; the mean of a task's actions is
    `learner.mean(parameters, observation)`, their standard deviation exp(log_std).
    """

    def __init__(self, learner: "PolicyGradient", parameters: Parameters):
        self.learner, self.parameters = learner, parameters
        log_std = parameters.get("log_std", learner.log_std)  # (T, a) or, shared, (a)
        self.log_std = log_std.unsqueeze(-2)

    def mean(self, observation: Tensor) -> Tensor:  # (T, n, o) -> (T, n, a)
        return self.learner.mean(self.parameters, observation)

    def __call__(self, observation: Tensor, memory: None = None) -> tuple[Tensor, None]:
        mean = self.mean(observation)
        return mean + self.log_std.exp() * torch.randn_like(mean), memory

    def log_p(self, observation: Tensor, action: Tensor) -> Tensor:
        """log π(a | o) up to a constant: (T, H, E, o), (T, H, E, a) -> (T, H, E)."""
        mean = self.mean(observation.flatten(1, 2))
        z = (action.flatten(1, 2) - mean) * (-self.log_std).exp()
        return -(0.5 * z.square() + self.log_std).sum(2).view(action.shape[:3])


def act(policy: GaussianPolicy, environments: Environments) -> Experience:
    """One episode of each robot.

    Raises FloatingPointError for a reward that is no finite number.
    """
    steps, done = [], False
    with torch.no_grad():
        observation = environments.reset()
        while not done:
            counts, (action, _) = ~environments.over, policy(observation)
            after, reward, done = environments.step(action)
            steps.append((observation, action, reward, counts.to(reward)))
            observation = after
        seen, did, reward, counts = (torch.stack(part, 1) for part in zip(*steps, strict=True))
        if not reward.isfinite().all():
            raise FloatingPointError("an environment gave a reward that is no finite number")
        return Experience(seen, did, reward, counts, policy.log_p(seen, did))


# --- how good was an action? ---------------------------------------------------------------------


def returns_to_go(reward: Tensor, discount: float) -> Tensor:
    """R_t = Σ_k γ^k r_(t+k), what was earned from each step on: (T, H, E) -> (T, H, E)."""
    step = torch.arange(reward.shape[1], device=reward.device)
    ahead = step - step.unsqueeze(1)  # (H, H), row t: how far each step lies ahead of t
    weight = torch.where(ahead >= 0, discount ** ahead.clamp(min=0).to(reward), 0)
    return torch.einsum("hk,tke->the", weight, reward)


def linear_baseline(experience: Experience, target: Tensor) -> Tensor:
    """What was to be expected at each step: `target` (T, H, E) fitted by least squares, per task.

    The features are the observation, its square, time, its square and cube, and 1: those of Duan
    et al. 2016, "Benchmarking deep reinforcement learning for continuous control".
    """
    seen = experience.observation.double()
    time = torch.linspace(0, 1, seen.shape[1], device=seen.device).double().view(1, -1, 1, 1)
    time = time.expand(*seen.shape[:3], 1)
    features = torch.cat([seen, seen**2, time, time**2, time**3, torch.ones_like(time)], 3)
    x = (features * experience.counts.unsqueeze(3)).flatten(1, 2)  # (T, H·E, f)
    y = (target * experience.counts).flatten(1).double().unsqueeze(2)
    ridge = 1e-5 * torch.eye(x.shape[2], device=x.device)  # features that never vary
    weights = torch.linalg.solve(x.mT @ x + ridge, x.mT @ y)
    return (x @ weights).view_as(target).to(target)


def advantages(experience: Experience, discount: float) -> Tensor:
    """A_t = R_t − baseline, 0 where an episode is over: (T, H, E)."""
    earned = returns_to_go(experience.reward, discount) * experience.counts
    return earned - linear_baseline(experience, earned)


# --- the learners --------------------------------------------------------------------------------


class PolicyGradient(MetaLearner):
    """Adapts by steps up the policy gradient (REINFORCE, Williams 1992), from θ on.

    `network` maps observations (n, o) to the means (n, a) of the actions, log_std is learned beside
    it. Each step has one new episode of each robot to learn from. The first is `inner_lr` long,
    every other `later` times the one before (Finn et al. 2017 halve theirs once). `discount`
    is γ of the returns.
    """

    def __init__(
        self,
        network: nn.Module,
        actions: int = 2,
        inner_lr: float = 0.05,
        inner_steps: int = 1,
        later: float = 0.5,
        discount: float = 0.95,
    ):
        super().__init__()
        self.network, self.actions, self.discount = network, actions, discount
        self.inner_lr, self.inner_steps, self.later = inner_lr, inner_steps, later
        self.log_std = nn.Parameter(torch.full((actions,), -1.0))
        self.run = per_task.way(network)

    def mean(self, parameters: Parameters, observation: Tensor) -> Tensor:
        """The means of the actions: (T, n, o) -> (T, n, a)."""
        return self.run(self.network, parameters, observation)

    def initial(self, num_tasks: int) -> Parameters:
        """What adapts, once for each task: name -> (T, *shape)."""
        own = {**dict(self.network.named_parameters()), "log_std": self.log_std}
        return {name: p.expand(num_tasks, *p.shape) for name, p in own.items()}

    # --- the two verbs ---------------------------------------------------------------------------

    def adapt(self, environments: Environments, steps: int | None = None) -> GaussianPolicy:
        """The policy after `steps` (default: inner_steps) steps, each on new experience."""
        *_, last = self._inner_loop(environments, steps)
        return last

    def trajectory(
        self, environments: Environments, steps: int | None = None
    ) -> list[GaussianPolicy]:
        """The policies after 0, 1, ..., `steps` steps."""
        return list(self._inner_loop(environments, steps))

    def forward(self, environments: Environments) -> Tensor:
        """Minus the mean return of the adapted policies (T,), with the gradient of `objective`."""
        return self._after(self.adapt(environments), environments)

    def outer_step(self, environments: Environments, optimizer: torch.optim.Optimizer) -> Tensor:
        """As usual, with a gradient no longer than 1: a few tasks could make it huge."""
        return clipped_step(self, environments, optimizer)

    # --- the inner loop --------------------------------------------------------------------------

    def objective(self, parameters: Parameters, experience: Experience) -> Tensor:
        """The mean of ratio_t · A_t over all steps (T,); its gradient is the policy gradient.

        ratio_t = π(a_t | o_t) / (the same for the policy that acted) is 1 where it is evaluated.
        With log π in its place the gradient would be the same, but not the second derivatives.
        Those of the ratio are the expected return's where an episode has one step; with more, they
        leave out a part, for less noise (Rothfuss et al. 2019, section 5).
        """
        log_p = GaussianPolicy(self, parameters).log_p(experience.observation, experience.action)
        ratio = (log_p - experience.log_p).exp()
        better = advantages(experience, self.discount)
        return (ratio * better).sum((1, 2)) / experience.counts.sum((1, 2))

    def updated(self, parameters: Parameters, experience: Experience, rate: float) -> Parameters:
        """θ_i ← θ_i + α ∇J_i(θ_i); itself differentiable, unless under no_grad."""
        outer = torch.is_grad_enabled()
        with torch.enable_grad():
            if not outer:
                parameters = {n: p.detach().requires_grad_() for n, p in parameters.items()}
            total = self.objective(parameters, experience).sum()  # tasks touch their own only
            gradients = torch.autograd.grad(total, list(parameters.values()), create_graph=outer)
        pairs = zip(parameters.items(), gradients, strict=True)
        adapted = {name: p + rate * g for (name, p), g in pairs}
        return adapted if outer else {name: p.detach() for name, p in adapted.items()}

    def _inner_loop(self, environments, steps: int | None) -> Iterator[GaussianPolicy]:
        policy = GaussianPolicy(self, self.initial(len(environments)))
        yield policy
        for k in range(self.inner_steps if steps is None else steps):
            rate = self.inner_lr * self.later**k
            parameters = self.updated(policy.parameters, act(policy, environments), rate)
            policy = GaussianPolicy(self, parameters)
            yield policy

    def _after(self, policy: GaussianPolicy, environments: Environments) -> Tensor:
        experience = act(policy, environments)
        objective = self.objective(policy.parameters, experience)
        earned = experience.reward.sum(1).mean(1)  # (T,)
        return -(earned + objective - objective.detach())


class MAMLPolicy(PolicyGradient):
    """MAML: the weights from which a step of policy gradient leads farthest (Finn et al. 2017)."""


class JointPolicy(PolicyGradient):
    """Trained on all tasks as if they were one, without adapting; then adapted by the same steps.

    `inner_lr` and `later` matter at test time only: choose them on validation tasks.
    """

    def forward(self, environments: Environments) -> Tensor:
        return self._after(self.adapt(environments, 0), environments)


class ContextPolicy(PolicyGradient):
    """Adapts a few numbers that the network reads beside the observation (CAVIA).

    `network` maps (n, o + context) to (n, a). The context vector starts at 0 for every task; the
    weights are the same for all. Source: Zintgraf et al. 2019.
    """

    def __init__(
        self,
        network: nn.Module,
        actions: int = 2,
        context: int = 5,
        inner_lr: float = 0.05,
        inner_steps: int = 1,
        later: float = 0.5,
        discount: float = 0.95,
    ):
        super().__init__(network, actions, inner_lr, inner_steps, later, discount)
        self.context = context

    def mean(self, parameters: Parameters, observation: Tensor) -> Tensor:
        context = parameters["context"].unsqueeze(1).expand(-1, observation.shape[1], -1)
        return self.network(torch.cat([observation, context], 2))

    def initial(self, num_tasks: int) -> Parameters:
        device = self.log_std.device
        return {"context": torch.zeros(num_tasks, self.context, device=device, requires_grad=True)}
