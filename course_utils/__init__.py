"""The algorithms, training loops and widgets of the meta-learning course, small enough to read."""

from course_utils import environment

__all__ = ["environment", "report"]
__version__ = "0.1.0"


def report() -> str:
    """A line for each thing the course needs on this machine: OK, or what to do."""
    return environment.report()
