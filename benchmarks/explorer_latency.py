"""How soon the explorer's picture follows a slider, from key press to new picture in the browser.

uv run pytest -s -n 0 benchmarks/explorer_latency.py
"""

import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "browser"))
from conftest import chromium, lab, new_page, open_notebook  # noqa: F401

PRESSES = 30
WATCH = """() => {
  const picture = document.querySelector('.course-board img'), old = picture.src;
  window.latency = new Promise(done => addEventListener('keydown', () => {
    const start = performance.now();
    const look = () => picture.src !== old && picture.complete
      ? done(performance.now() - start) : requestAnimationFrame(look);
    look();
  }, { once: true, capture: true }));
}"""


def test_latency(open_notebook):  # noqa: F811
    page = open_notebook("00_start_here.ipynb")
    page.locator(".course-errors").scroll_into_view_if_needed()
    print()
    for label in ("gradient steps", "amplitude", "inner rate"):
        handle = page.locator(".widget-inline-hbox", has_text=label).locator(".noUi-handle")
        times = []
        for i in range(PRESSES):
            page.evaluate(WATCH)
            handle.press("ArrowRight" if i % 2 == 0 else "ArrowLeft")
            times.append(page.evaluate("latency"))
            page.wait_for_timeout(100)
        ordered = sorted(times)
        nine_tenths = ordered[int(0.9 * PRESSES)]
        print(f"{label:15} median {statistics.median(times):4.0f} ms, 90 % {nine_tenths:4.0f} ms")
    assert min(times) > 0
