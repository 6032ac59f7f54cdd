"""The course for a class: a student edition, and assignments for nbgrader."""


def grade(name: str, answer: object) -> None:
    """Show the verdict on `answer` to exercise `name`, as `check` does, for nbgrader to count.

    Raises AssertionError, which nbgrader takes for no points, unless the answer is right.
    """
    from IPython.display import display

    from course_utils.exercises import verdict

    found = verdict(name, answer)
    display(found)
    assert found.passed, found.message
