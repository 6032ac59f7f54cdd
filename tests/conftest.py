"""For all tests: one thread each, and in CI no skip but for a missing GPU."""

import os
from importlib.util import find_spec

import pytest

# torch reads these when it is imported, here and in the kernels that run the notebooks
os.environ["OMP_NUM_THREADS"] = "1"
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# tests of an optional group, left out where it is not installed; .ci/run calls each with its group
OPTIONAL = {"test_tensorflow.py": "tensorflow", "test_peers.py": "jax"}
collect_ignore = [file for file, package in OPTIONAL.items() if find_spec(package) is None]


def pytest_report_header():
    """Name the tests that are left out."""
    return [f"left out, since {OPTIONAL[file]} is not installed: {file}" for file in collect_ignore]


def reason(report) -> str:
    """Why a test was skipped."""
    longrepr = report.longrepr
    text = longrepr[2] if isinstance(longrepr, (tuple, list)) else str(longrepr)
    return text.removeprefix("Skipped: ")


def unwelcome(report) -> bool:
    """Whether a test was skipped for another reason than a missing GPU."""
    return not hasattr(report, "wasxfail") and not reason(report).startswith("no GPU")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    """With CI=true an unwelcome skip fails the run."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") != "true" or reporter is None or hasattr(session.config, "workerinput"):
        return
    if any(map(unwelcome, reporter.stats.get("skipped", []))) and session.exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter):
    """Name what was skipped, and so what is missing."""
    verdict = "fails this run (CI=true)" if os.environ.get("CI") == "true" else "skipped"
    for report in filter(unwelcome, terminalreporter.stats.get("skipped", [])):
        terminalreporter.write_line(f"{verdict}: {report.nodeid}: {reason(report)}")
