"""Setting up: the conda file, the report, the checksums, and what a checkout may not name."""

import hashlib
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from rattler import MatchSpec

from course_utils import environment

ROOT = Path(__file__).parent.parent
CONDA_NAMES = {"torch": "pytorch"}
CONDA_ONLY = {"python", "pip", "c-compiler"}
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))


@pytest.fixture(scope="module")
def conda():
    everything = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf8"))
    lines = everything["dependencies"]
    return [line for line in lines if isinstance(line, str)], lines[-1]["pip"]


@pytest.fixture(scope="module")
def wanted():
    groups = PYPROJECT["dependency-groups"]
    lines = PYPROJECT["project"]["dependencies"] + groups["learn2learn"]
    return {r.name: r for r in map(Requirement, lines)}


def test_condas_lines_are_what_conda_reads(conda):
    for line in conda[0]:
        assert MatchSpec(line).name is not None
    assert "conda-forge" in (ROOT / "environment.yml").read_text()


def test_condas_packages_agree_with_pyproject(conda, wanted):
    conda_lines, pip_lines = conda
    specs = {re.match(r"[\w-]+", line)[0]: line for line in conda_lines}
    by_pip = {r.name: r for r in (Requirement(shlex.split(line)[0]) for line in pip_lines[:-1])}
    for name, requirement in wanted.items():
        if name in by_pip:
            assert by_pip[name].specifier == requirement.specifier, name
            continue
        line = specs.pop(CONDA_NAMES.get(name, name))
        bounds = line.removeprefix(CONDA_NAMES.get(name, name))
        if name != "numpy":  # held below 2 on conda
            assert bounds == str(requirement.specifier) or set(bounds.split(",")) == set(
                str(requirement.specifier).split(",")
            ), name
    assert set(specs) == CONDA_ONLY
    assert set(by_pip) <= set(wanted)
    python = MatchSpec("python=3.12")
    assert str(python.version) in "3.12.*" and pip_lines[-1] == "-e ."


def test_condas_pip_section_resolves(conda, tmp_path):
    lines = [line.replace("-e .", f"-e {ROOT}") for line in conda[1]]
    option = re.compile(r""" --config-settings="(.*)=(.*)"$""")
    found = next(option.search(line) for line in lines if "learn2learn" in line)
    setting = PYPROJECT["tool"]["uv"]["config-settings-package"]["learn2learn"]
    assert setting == {found[1]: found[2]}  # uv takes it from there, and not from such a line
    (tmp_path / "in.txt").write_text("\n".join(option.sub("", line) for line in lines))
    overrides = PYPROJECT["tool"]["uv"]["override-dependencies"]
    (tmp_path / "override.txt").write_text("\n".join(overrides))
    command = "uv pip compile --quiet --python-version 3.12 in.txt --override override.txt"
    done = subprocess.run(
        [*command.split(), "--python", sys.executable], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"^learn2learn==0\.2\.0", done.stdout, re.M)


def test_importing_the_package_is_cheap():
    code = "import sys, course_utils, course_utils.environment; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_report_names_each_thing_and_is_content_here():
    done = subprocess.run([sys.executable, "-m", "course_utils"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    assert all(line.startswith(("OK  ", "--  learn2learn")) for line in lines), done.stdout
    for thing in ("Python 3", "torch", "learn2learn", "jupyterlab", "ipywidgets", "data/"):
        assert any(thing in line for line in lines), thing


def test_the_report_says_what_to_do(monkeypatch, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "changed").write_text("other")
    (data / "SHA256SUMS").write_text("0" * 64 + "  changed\n" + "0" * 64 + "  gone\n")
    monkeypatch.setattr(environment, "HERE", tmp_path / "course_utils")
    found = environment.report()
    assert "DO  data/changed has changed or is damaged" in found
    assert "DO  data/gone is missing" in found
    fine, text = environment._package("no-such-package", "nothing", "run: uv sync")
    assert not fine and text.endswith("run: uv sync")
    (data / "SHA256SUMS").unlink()
    with pytest.raises(FileNotFoundError, match="get the course anew"):
        environment.data_path()


def test_the_checksums_cover_every_data_file():
    data = ROOT / "data"
    listed = dict(
        reversed(line.split(maxsplit=1)) for line in (data / "SHA256SUMS").read_text().splitlines()
    )
    there = {
        path.relative_to(data).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in data.rglob("*")
        if path.is_file() and path.name != "SHA256SUMS" and not path.name.startswith(".")
    }
    assert listed == there


def test_no_file_names_a_registry_or_a_path_of_one_machine():
    files = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    forbidden = re.compile(r"pypi\.org|pythonhosted|registry\.npmjs|deb\.debian|/root/|/home/\w+/")
    for name in set(files) - {"tests/test_environment.py"}:
        path = ROOT / name
        if path.suffix in {".png", ".safetensors"} or not path.exists():
            continue
        found = forbidden.search(path.read_text(encoding="utf8"))
        assert found is None, f"{name} names {found[0]}"
