"""In CI a skipped test fails the run, unless a GPU is what it missed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CASES = {
    "ok": "def test_it(): pass",
    "gpu": "import pytest\ndef test_it(): pytest.skip('no GPU on this machine')",
    "expected": "import pytest\n@pytest.mark.xfail\ndef test_it(): assert False",
    "jax": "import pytest\n@pytest.mark.skipif(True, reason='install jax')\ndef test_it(): pass",
    "module": "import pytest\npytest.skip('install jax', allow_module_level=True)",
}
UNWELCOME = {"jax", "module"}


def run(folder: Path, workers: int, ci: str) -> subprocess.CompletedProcess:
    """The tests in `folder` under the course's conftest.py."""
    conftest = Path(__file__).with_name("conftest.py").read_text(encoding="utf8")
    (folder / "conftest.py").write_text(conftest, encoding="utf8")
    (folder / "test_ok.py").write_text(CASES["ok"])  # a run of no test at all would fail anyway
    command = [sys.executable, "-m", "pytest", "-q", "-n", str(workers), "-p", "no:cacheprovider"]
    return subprocess.run(
        command, cwd=folder, env=os.environ | {"CI": ci}, capture_output=True, text=True
    )


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("case", CASES)
def test_in_ci_only_a_missing_gpu_excuses(case, workers, tmp_path):
    (tmp_path / "test_case.py").write_text(CASES[case])
    done = run(tmp_path, workers, "true")
    assert (done.returncode != 0) == (case in UNWELCOME), done.stdout
    assert ("fails this run (CI=true): test_case.py" in done.stdout) == (case in UNWELCOME)


@pytest.mark.parametrize("case", sorted(UNWELCOME))
def test_elsewhere_a_skip_is_named_and_passes(case, tmp_path):
    (tmp_path / "test_case.py").write_text(CASES[case])
    done = run(tmp_path, 0, "")
    assert done.returncode == 0, done.stdout
    assert "skipped: test_case.py" in done.stdout and "install jax" in done.stdout
