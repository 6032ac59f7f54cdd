"""A quiz answers a click, a check shows its verdict, and neither needs the network."""

CELL = """from IPython.display import Math, display
from course_utils.exercises import check, hint, quiz
display(Math("x^2"))  # has JupyterLab load its own MathJax
quiz("03a")
check("3a.1", lambda theta, x, y, lr: theta + lr)
hint("3a.1")"""


def test_quiz_and_check(open_cell):
    page = open_cell(CELL, "mjx-container")

    right = page.get_by_text("Weights that a few gradient steps turn into good weights")
    wrong = page.get_by_text("A learning rate for every weight", exact=True)
    feedback = page.locator(".Feedback").first
    wrong.first.click()
    feedback.get_by_text("Meta-SGD learns those").wait_for()
    right.first.click()
    feedback.get_by_text("The outer loop judges").wait_for()

    text = page.locator(".course-quiz-text")
    text.locator("summary").click()
    assert text.locator("b", has_text="right").count() >= 7
    verdict = page.locator(".course-verdict")
    assert "✗ θ after one step should be" in verdict.text_content()
    assert page.get_by_text("Hint 1 of 2").count() == 1
    page.wait_for_timeout(2000)  # jupyterquiz waits a second before it looks for MathJax
    assert page.outside == []
