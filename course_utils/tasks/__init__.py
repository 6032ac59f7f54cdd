"""What is learned from: batches of tasks and the task families that deal them."""

from course_utils.tasks.base import Tasks, TaskSet
from course_utils.tasks.sinusoids import Sinusoids, sinusoid

__all__ = ["Sinusoids", "TaskSet", "Tasks", "sinusoid"]
