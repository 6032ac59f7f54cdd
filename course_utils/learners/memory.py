"""RL²: a recurrent network that reads what it did and what that brought, and learns by acting."""

import torch
from torch import Tensor, nn
from torch.distributions import Categorical

from course_utils.learners.base import MetaLearner, clipped_step
from course_utils.tasks.environments import Environments, Policy


class RL2(MetaLearner):
    """A policy with a memory, which has to invent for itself what to remember (Duan et al. 2016).

    All that adapts is the state (T, hidden) of a gated recurrent unit. It reads observations
    (T, actions + 1), the last action as a one-hot row and its reward, and a flag that says whether
    an episode in the same task has just ended: 1 after every pull of a bandit, 0 at the start. From
    the state follow the logits of the next action and, in training, the return that is expected.

    The outer loop follows the policy gradient of whole lives; `trace` is λ of the advantages,
    `entropy` the reward for staying undecided. Played, it takes the likeliest action.
    """

    def __init__(self, actions: int, hidden: int = 64, trace: float = 0.9, entropy: float = 0.01):
        super().__init__()
        self.actions, self.hidden, self.trace, self.entropy = actions, hidden, trace, entropy
        self.gru = nn.GRUCell(actions + 2, hidden)
        self.head = nn.Linear(hidden, actions + 1)

    def read(self, observation: Tensor, memory: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Logits (T, actions), expected return (T,) and memory (T, hidden) after an observation."""
        ended = observation[:, :-1].sum(1, keepdim=True)  # (T, 1)
        memory = self.gru(torch.cat([observation, ended], 1), memory)
        head = self.head(memory)
        return head[:, :-1], head[:, -1], memory

    def adapt(self, environments: Environments) -> Policy:
        def policy(observation: Tensor, memory: Tensor | None) -> tuple[Tensor, Tensor]:
            logits, _, memory = self.read(observation, memory)
            return logits.argmax(1), memory

        return policy

    def forward(self, environments: Environments) -> Tensor:
        """The loss of one episode each, the mean over its steps (T,).

        −log π(a) · advantage, plus half the squared error of the expected return, minus `entropy`
        times the policy's entropy. Advantages are standardised over the batch and errors measured
        in the same unit, or in long lives the errors would drown all else. Raises
        FloatingPointError for a reward that is no finite number.
        """
        observation, memory, done, steps = environments.reset(), None, False, []
        while not done:
            logits, value, memory = self.read(observation, memory)
            choice = Categorical(logits=logits, validate_args=False)
            action = choice.sample()
            observation, reward, done = environments.step(action)
            steps.append((reward, value, choice.log_prob(action), choice.entropy()))
        reward, value, log_p, entropy = (torch.stack(part, 1) for part in zip(*steps, strict=True))
        if not reward.isfinite().all():
            raise FloatingPointError("an environment gave a reward that is no finite number")
        better = advantages(reward, value.detach(), self.trace)  # (T, n)
        wrong = better + value.detach() - value  # the expected return, set right, minus itself
        unit = better.std(correction=0).clamp(min=1e-6)
        better, wrong = (better - better.mean()) / unit, wrong / unit
        return (-log_p * better + wrong.square() / 2 - self.entropy * entropy).mean(1)

    def outer_step(self, environments: Environments, optimizer: torch.optim.Optimizer) -> Tensor:
        """As usual, with a gradient no longer than 1."""
        return clipped_step(self, environments, optimizer)


def advantages(reward: Tensor, value: Tensor, trace: float) -> Tensor:
    """How much better than expected each action turned out: (T, n), (T, n) -> (T, n).

    δ_t = r_t + V_(t+1) − V_t is the surprise of a step, A_t = Σ_k λ^k δ_(t+k) with λ = `trace`:
    with 1 an action answers for all that came after, with 0 for the next step alone. Source:
    Schulman et al. 2016 (generalised advantage estimation), undiscounted.
    """
    surprise = reward + nn.functional.pad(value[:, 1:], (0, 1)) - value
    found = [surprise[:, -1]]
    for delta in surprise[:, :-1].flip(1).unbind(1):
        found.append(delta + trace * found[-1])
    return torch.stack(found[::-1], 1)
