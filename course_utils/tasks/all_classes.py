"""All classes at once, as for training an ordinary classifier."""

import torch

from course_utils.tasks.base import Tasks, TaskSet, check_counts
from course_utils.tasks.characters import Characters


class AllClasses(TaskSet):
    """Drawings of all the letters of `characters`, each letter with one label for good.

    There is nothing to adapt to: the support set is empty, and the query set holds `examples`
    drawings of classes drawn at random, y their numbers in `characters`.
    """

    def __init__(self, characters: Characters, examples: int = 16):
        check_counts(examples=examples)
        self.characters, self.examples = characters, examples

    def sample(self, num_tasks: int, generator: torch.Generator | None = None) -> Tasks:
        check_counts(num_tasks=num_tasks)
        device = generator.device if generator else None
        shape = (num_tasks, self.examples)
        y = torch.randint(
            len(self.characters.names), shape, generator=generator, device=device
        )  # (T, Q)
        x = self.characters.draw(y.flatten(), generator=generator).unflatten(0, shape)
        return Tasks(x[:, :0], y[:, :0], x, y)
