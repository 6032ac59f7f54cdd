"""JupyterLab opens the course as README promises."""


def test_opens_on_the_first_chapter_without_a_pop_up(lab, new_page):
    page = new_page()
    page.goto(f"{lab.url}/?token={lab.token}")
    page.wait_for_selector(".jp-NotebookPanel .jp-Cell")
    page.wait_for_timeout(3000)  # a pop-up would need a moment to appear
    label = page.evaluate("jupyterapp.shell.currentWidget.title.label")
    assert label == "00_start_here.ipynb"
    assert page.locator(".Toastify__toast").count() == 0
    assert page.locator(".jp-Dialog").count() == 0
    assert page.outside == []
