"""Tasks that can be told apart without their support set."""

import torch

from course_utils.tasks.base import Tasks, TaskSet, check_counts


class Badges(TaskSet):
    """The tasks of `task_set`, each wearing a badge: `size` random numbers joined to every x.

    A learner trained on few such tasks can learn by heart which badge means which task, and leave
    the support set unread (after Yin et al. 2020, section 3). x becomes (T, n, x + size); the badge
    is the same for all examples of a task, and drawn anew whenever one is dealt: record what was
    dealt, and each task keeps its own.
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
