"""A real JupyterLab and a real Chromium for the tests in this folder."""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import NamedTuple

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
QUIET = [  # a browser that stays at home: nothing but this machine resolves
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
]
IDLE = """() => {
  const panel = window.jupyterapp?.shell.currentWidget;
  return panel?.sessionContext?.session?.kernel?.status === 'idle'; }"""
ALL_RUN = """() => {
  const panel = window.jupyterapp.shell.currentWidget;
  const cells = panel.content.widgets.filter(c => c.model.type === 'code');
  return cells.every(c => c.model.executionCount !== null)
      && panel.sessionContext.session.kernel.status === 'idle'; }"""

# Nothing that the page has asked of the kernel is unanswered, four times in a row: a slider sends
# its next value only after the answer to the last one.
SETTLED = """() => {
  const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
  const done = [...kernel._futures.values()].every(asked => asked._status & 4);
  const still = kernel.status === 'idle' && done;
  window.courseStill = still ? (window.courseStill ?? 0) + 1 : 0;
  return window.courseStill >= 4; }"""


class Lab(NamedTuple):
    url: str
    token: str
    notebooks: Path


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """JupyterLab with the course's own settings, on a copy of the notebooks."""
    home = tmp_path_factory.mktemp("lab")
    shutil.copytree(NOTEBOOKS, home / "course" / "notebooks")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    found = Lab(f"http://127.0.0.1:{port}", secrets.token_hex(16), home / "course" / "notebooks")
    own = {
        name: str(home / name.lower())
        for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR",
                     "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR")
    }  # fmt: skip
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += ["--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}"]
    command += [f"--IdentityProvider.token={found.token}", "--LabApp.expose_app_in_browser=True"]
    with open(home / "log", "wb") as log:
        server = subprocess.Popen(
            command, cwd=home / "course", env=os.environ | own, stdout=log, stderr=log
        )
        try:
            wait_for(found, server, home / "log")
            yield found
        finally:
            server.terminate()
            server.wait(20)


def wait_for(lab: Lab, server: subprocess.Popen, log: Path) -> None:
    """Return when the server answers; show its log if it does not within a minute."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(f"{lab.url}/api?token={lab.token}", timeout=2).read()
            return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()[-3000:]}")


@pytest.fixture(scope="session")
def chromium():
    path = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))), None)
    if path is None:
        pytest.skip("no Chromium on the path: install your system's package `chromium`")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def new_page(chromium):
    """A page in a window of its own, and the addresses that it asked for outside this machine."""
    contexts = []

    def open_one():
        contexts.append(chromium.new_context(viewport={"width": 1200, "height": 1000}))
        page = contexts[-1].new_page()
        page.set_default_timeout(60_000)
        page.outside = []

        def note(request):
            if request.url.startswith("http") and not request.url.startswith("http://127.0.0.1"):
                page.outside.append(request.url)

        page.on("request", note)
        return page

    yield open_one
    for context in contexts:
        context.close()


@pytest.fixture
def open_notebook(lab, new_page):
    """Open a notebook (path below notebooks/), run all its cells, return the page."""

    def open_one(name: str, seconds: int = 240):
        page = new_page()
        workspace = f"{lab.url}/lab/workspaces/{secrets.token_hex(4)}"
        page.goto(f"{workspace}/tree/notebooks/{name}?token={lab.token}&reset")
        page.wait_for_function(IDLE, timeout=120_000)
        page.evaluate("jupyterapp.commands.execute('notebook:clear-all-cell-outputs')")
        page.evaluate("jupyterapp.commands.execute('notebook:run-all-cells')")
        page.wait_for_function(ALL_RUN, timeout=seconds * 1000)
        return page

    return open_one


@pytest.fixture
def open_cell(lab, open_notebook):
    """Run `source` as the only cell of a notebook, wait for what it shows, return the page."""

    def open_one(source: str, shows: str):
        name = f"{secrets.token_hex(4)}.ipynb"
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
        notebook = new_notebook(cells=[new_code_cell(source)], metadata=kernel)
        nbformat.write(notebook, lab.notebooks / name)
        page = open_notebook(name)
        page.locator(shows).first.wait_for()
        return page

    return open_one


@pytest.fixture
def still_box():
    """Where an element is on the screen, once it has come to rest: pages shift while they fill."""

    def box_of(locator, seconds: float = 20) -> dict:
        deadline, box = time.monotonic() + seconds, None
        while time.monotonic() < deadline:
            locator.scroll_into_view_if_needed()
            before, box = box, locator.bounding_box()
            if box is not None and box == before:
                return box
            locator.page.wait_for_timeout(200)
        raise AssertionError(f"still moving after {seconds} s: {locator}")

    return box_of


@pytest.fixture
def settle():
    """Wait until the kernel has answered all that the page asked, and the page has drawn it."""

    def wait(page) -> None:
        page.evaluate("window.courseStill = 0")
        page.wait_for_function(SETTLED, polling=100)

    return wait
