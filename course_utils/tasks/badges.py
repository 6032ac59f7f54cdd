"""Tasks that can be told apart without their support set, and what cures it."""

import torch

from course_utils.tasks.base import Tasks, TaskSet, check_counts


class Badges(TaskSet):
    """The tasks of `task_set`, each wearing a badge: `size` random numbers joined to every x.

    A learner trained on few such tasks can learn by heart which badge means which task, and leave
    the support set unread. x becomes (T, n, x + size); the badge is the same for all examples of a
    task, and another for every task dealt (after Yin et al. 2020, section 3).
    """

    def __init__(self, task_set: TaskSet, size: int = 8):
        check_counts(size=size)
        self.task_set, self.size = task_set, size

    def sample(self, num_tasks: int, generator: torch.Generator | None = None) -> Tasks:
        tasks = self.task_set.sample(num_tasks, generator)
        device = tasks.support_x.device
        badge = torch.randn(num_tasks, 1, self.size, generator=generator, device=device)

        def wearing(x):  # (T, n, x) -> (T, n, x + size)
            return torch.cat([x, badge.expand(-1, x.shape[1], -1)], 2)

        support_x, support_y, query_x, query_y, unit = tuple(tasks)
        return Tasks(wearing(support_x), support_y, wearing(query_x), query_y, unit)


class Shifted(TaskSet):
    """The tasks of `task_set`, each time it is dealt raised by a random constant.

    The constant, normal with standard deviation `scale`, is added to all of a task's y, support
    and query: what y is can then be told from the support set alone (meta-augmentation: Rajendran
    et al. 2020).
    """

    def __init__(self, task_set: TaskSet, scale: float = 1.0):
        self.task_set, self.scale = task_set, scale

    def sample(self, num_tasks: int, generator: torch.Generator | None = None) -> Tasks:
        tasks = self.task_set.sample(num_tasks, generator)
        device = tasks.support_y.device
        up = self.scale * torch.randn(num_tasks, 1, 1, generator=generator, device=device)
        support_x, support_y, query_x, query_y, unit = tuple(tasks)
        return Tasks(support_x, support_y + up, query_x, query_y + up, unit)
