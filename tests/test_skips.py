"""In CI a skipped test fails the run, unless a GPU is what it missed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FINE = """
import pytest
def test_passes(): pass
def test_needs_a_gpu(): pytest.skip("no GPU on this machine")
@pytest.mark.xfail
def test_known_to_fail(): assert False
"""
ONE_TEST = """
import pytest
@pytest.mark.skipif(True, reason="install jax")
def test_it(): pass
"""
WHOLE_MODULE = "import pytest; pytest.skip('install jax', allow_module_level=True)"


def run(folder: Path, source: str, workers: int, ci: str) -> subprocess.CompletedProcess:
    """Tests that are fine and those of `source`, under the course's conftest.py."""
    conftest = Path(__file__).with_name("conftest.py").read_text(encoding="utf8")
    (folder / "conftest.py").write_text(conftest, encoding="utf8")
    (folder / "test_fine.py").write_text(FINE)
    (folder / "test_case.py").write_text(source)
    command = [sys.executable, "-m", "pytest", "-q", "-n", str(workers), "-p", "no:cacheprovider"]
    env = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")} | {"CI": ci}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)


def test_in_ci_a_missing_gpu_excuses(tmp_path):
    done = run(tmp_path, FINE, 1, "true")
    assert done.returncode == 0 and "fails this run" not in done.stdout, done.stdout


@pytest.mark.parametrize(("source", "workers"), [(ONE_TEST, 0), (ONE_TEST, 1), (WHOLE_MODULE, 1)])
def test_in_ci_nothing_else_does(source, workers, tmp_path):
    done = run(tmp_path, source, workers, "true")
    assert done.returncode == 1, done.stdout
    assert done.stdout.count("fails this run (CI=true): test_case.py") == 1, done.stdout


def test_elsewhere_a_skip_is_named_and_passes(tmp_path):
    done = run(tmp_path, ONE_TEST, 0, "")
    assert done.returncode == 0, done.stdout
    assert "skipped: test_case.py::test_it: install jax" in done.stdout
