"""The course as a website, built and opened: every page, link, formula and quiz, all at home.

Not collected with the rest, since Sphinx is in a group of its own:

uv run --group site pytest tests/browser/site_pages.py -n 0
"""

import functools
import http.server
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import urldefrag, urljoin

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").rglob("*.ipynb"))
CHAPTERS = [path for path in NOTEBOOKS if path.parent.name == "notebooks"]
TYPESET = "() => !!window.MathJax?.startup?.promise && MathJax.startup.promise.then(() => true)"
SCRIPT = re.compile(r"(<script[^>]*>).*?</script>", re.S)
FORMULA = re.compile(r"(?<![\\$])\$[^$\n]+\$")


class Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The site, built with every warning an error, from a copy of what it is built from."""
    home = tmp_path_factory.mktemp("site")
    for part in ("docs", "notebooks"):
        shutil.copytree(ROOT / part, home / part)
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "docs", "build"]
    built = subprocess.run(command, cwd=home, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return home / "build"


@pytest.fixture(scope="module")
def site(folder):
    """Its address, on this machine."""
    handler = functools.partial(Silent, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def page(new_page):
    """A page that notes the errors it shows and the answers it does not get."""
    page = new_page()
    page.errors = []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("response", lambda r: r.ok or r.status == 304 or page.errors.append(r.url))
    return page


def address(path: Path) -> str:
    return f"notebooks/{path.relative_to(ROOT / 'notebooks').with_suffix('.html').as_posix()}"


def test_every_notebook_is_in_the_contents(site, page):
    page.goto(site)
    found = page.eval_on_selector_all("article a", "links => links.map(a => a.href)")
    assert {f"{site}/{address(path)}" for path in NOTEBOOKS} <= set(found)
    assert page.locator("article img").first.evaluate("image => image.naturalWidth") > 500


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_a_page_is_whole_and_at_home(path, site, page):
    page.goto(f"{site}/{address(path)}", wait_until="load")
    notebook = nbformat.read(path, 4)
    outputs = [o for c in notebook.cells for o in c.get("outputs", [])]
    pictures = sum("image/png" in o.get("data", {}) for o in outputs)
    shown = page.locator("article .cell_output img")
    assert shown.count() >= pictures
    assert shown.evaluate_all("all => all.every(i => i.complete && i.naturalWidth > 0)")
    title = notebook.cells[0].source.split("\n")[0].removeprefix("# ")
    assert (
        page.locator("article h1").text_content().startswith(f"{path.stem.split('_')[0]} {title}")
    )
    assert page.locator("article h1").count() == 1

    prose = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    if "$$" in prose or FORMULA.search(prose):
        page.wait_for_function(TYPESET)
        assert page.locator("mjx-container").count() >= prose.count("$$") // 2
        assert page.locator("mjx-merror, article .math:not(:has(mjx-container))").count() == 0
        assert "$" not in "".join(page.locator("article p").all_text_contents())
    assert page.outside == [] and page.errors == []


def test_links_and_anchors_hold(folder):
    """Within the site, read from the pages' text; addresses elsewhere are not asked for."""
    pages = {
        path.relative_to(folder).as_posix(): SCRIPT.sub(r"\1", path.read_text("utf8"))
        for path in folder.rglob("*.html")
    }
    anchors = {name: set(re.findall(r'\bid="([^"]+)"', text)) for name, text in pages.items()}
    broken = []
    for name, text in pages.items():
        for link in re.findall(r'\b(?:href|src)="([^"]+)"', text):
            target, anchor = urldefrag(urljoin(f"https://here/{name}", link))
            if not target.startswith("https://here/"):
                continue
            target = target.removeprefix("https://here/").partition("?")[0] or "index.html"
            if not (folder / target).exists() or (anchor and anchor not in anchors[target]):
                broken.append(f"{name}: {link}")
    assert len(pages) > len(NOTEBOOKS) and broken == []


def test_search_finds_a_word_and_a_chinese_one(site, page):
    for word, chapter in (("Reptile", "03a_gradient_based"), ("元学习", "00_start_here")):
        page.goto(f"{site}/search.html?q={word}")
        page.locator(f"#search-results a[href*='{chapter}']").first.wait_for()
    assert page.outside == [] and page.errors == []


def test_a_quiz_answers_a_click_without_a_kernel(site, page):
    page.goto(f"{site}/{address(ROOT / 'notebooks' / '03a_gradient_based.ipynb')}")
    page.get_by_text("A learning rate for every weight", exact=True).first.click()
    page.locator(".Feedback").first.get_by_text("Meta-SGD learns those").wait_for()
    page.locator(".course-quiz-text summary").click()
    assert page.locator(".course-quiz-text b", has_text="right").count() >= 5


def test_it_reads_in_the_dark_and_on_a_telephone(site, page):
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(f"{site}/{address(CHAPTERS[-1])}")
    ground = page.locator(".cell_output img").first.evaluate("i => getComputedStyle(i).background")
    assert "rgb(255, 255, 255)" in ground
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
