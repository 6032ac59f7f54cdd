"""What is learned from: batches of tasks and the task families that deal them."""

from course_utils.tasks.all_classes import AllClasses
from course_utils.tasks.badges import Badges
from course_utils.tasks.bandits import Bandits
from course_utils.tasks.base import Tasks, TaskSet
from course_utils.tasks.characters import Characters
from course_utils.tasks.languages import Sentences, Snippets
from course_utils.tasks.molecules import Molecules, auroc
from course_utils.tasks.navigation import Navigation
from course_utils.tasks.omniglot import Omniglot
from course_utils.tasks.recording import Recording
from course_utils.tasks.robots import Robots
from course_utils.tasks.sinusoids import Sinusoids, sinusoid

__all__ = [
    "AllClasses",
    "Badges",
    "Bandits",
    "Characters",
    "Molecules",
    "Navigation",
    "Omniglot",
    "Recording",
    "Robots",
    "Sentences",
    "Sinusoids",
    "Snippets",
    "TaskSet",
    "Tasks",
    "auroc",
    "sinusoid",
]
