"""A fixed set of tasks to train on, over and over."""

import torch

from course_utils.tasks.base import Tasks, TaskSet, check_counts


class Recording(TaskSet):
    """These tasks and no others; whenever one is dealt, its examples are parted anew.

    Of a task's S + Q examples `shots` become support and `queries` query, none of them both;
    `unit` is the number of the task. Raises ValueError where a task has too few examples.
    """

    def __init__(self, tasks: Tasks, shots: int, queries: int):
        check_counts(shots=shots, queries=queries)
        self.x = torch.cat([tasks.support_x, tasks.query_x], 1)  # (N, S + Q, *x)
        self.y = torch.cat([tasks.support_y, tasks.query_y], 1)
        self.shots, self.queries = shots, queries
        if shots + queries > self.x.shape[1]:
            raise ValueError(
                f"{shots} shots and {queries} queries need {shots + queries} examples of a task,"
                f" but only {self.x.shape[1]} were recorded"
            )

    def sample(self, num_tasks: int, generator: torch.Generator | None = None) -> Tasks:
        check_counts(num_tasks=num_tasks)
        at = generator.device if generator else None
        task = torch.randint(len(self.x), (num_tasks,), generator=generator, device=at)  # (T,)
        random = torch.rand(num_tasks, self.x.shape[1], generator=generator, device=at)
        example = random.argsort(1)[:, : self.shots + self.queries]  # (T, shots + queries)
        x, y = (t.to(task.device)[task.unsqueeze(1), example] for t in (self.x, self.y))
        s = self.shots
        return Tasks(x[:, :s], y[:, :s], x[:, s:], y[:, s:], task)
