"""Setting up: the conda file, the report, the checksums, and what a checkout may not name."""

import hashlib
import importlib.metadata
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from rattler import MatchSpec

from course_utils import environment

ROOT = Path(__file__).parent.parent
PIP_NAMES = {"pytorch": "torch"}
CONDA_ONLY = {"python", "pip", "c-compiler"}
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf8"))
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))


@pytest.fixture(scope="module")
def conda_lines():
    lines = CONDA["dependencies"]
    return [line for line in lines if isinstance(line, str)]


@pytest.fixture(scope="module")
def pip_lines():
    """The lines that conda hands to pip, each split into requirement and options."""
    return [shlex.split(line) for line in CONDA["dependencies"][-1]["pip"]]


OPTIONAL = ("learn2learn", "rdkit", "mujoco")  # groups that are on by default, but for the tests


@pytest.fixture(scope="module")
def requirements(conda_lines, pip_lines):
    """What both sections ask for, in pip's words, but for what only conda needs."""
    by_conda = map(as_pip, conda_lines)
    by_pip = [Requirement(line[0]) for line in pip_lines if line[0] != "-e"]
    return [r for r in by_conda if r.name not in CONDA_ONLY] + by_pip


def as_pip(line: str) -> Requirement:
    """A line of conda's as pip would write it: `pytorch>=2.6` -> torch>=2.6."""
    name, bounds = re.fullmatch(r"([\w-]+)(.*)", line).groups()
    bounds = re.sub(r"^=(?=\d)", "==", bounds)
    return Requirement(PIP_NAMES.get(name, name) + bounds)


def test_condas_lines_are_what_conda_reads(conda_lines):
    assert CONDA["channels"] == ["conda-forge"]
    for line in conda_lines:
        MatchSpec(line, strict=True)
    with pytest.raises(Exception, match="version spec"):
        MatchSpec("pytorch=>2.6", strict=True)


def test_condas_packages_agree_with_pyproject(requirements):
    groups = PYPROJECT["dependency-groups"]
    lines = PYPROJECT["project"]["dependencies"]
    lines = [*lines, *(line for name in OPTIONAL for line in groups[name])]
    wanted = {r.name: r.specifier for r in map(Requirement, lines)}
    found = {r.name: r.specifier for r in requirements}
    assert len(found) == len(requirements), "a package is asked for twice"
    assert found.pop("numpy") == "<2" and wanted.pop("numpy") == ""  # environment.yml says why
    assert found == wanted


def test_condas_python_is_one_of_ours(conda_lines):
    python = next(r for r in map(as_pip, conda_lines) if r.name == "python")
    version = next(iter(python.specifier)).version
    assert version in SpecifierSet(PYPROJECT["project"]["requires-python"])


def test_condas_pip_section_resolves(requirements, pip_lines, tmp_path):
    assert pip_lines[-1] == ["-e", "."]
    ((option, value),) = PYPROJECT["tool"]["uv"]["config-settings-package"]["learn2learn"].items()
    setting = next(line[1] for line in pip_lines if line[0].startswith("learn2learn"))
    assert setting == f"--config-settings={option}={value}"
    (tmp_path / "in.txt").write_text("\n".join([*map(str, requirements), f"-e {ROOT}"]))
    done = resolve(tmp_path)
    if re.search("dns error|error sending request|timed out", done.stderr):
        pytest.skip("no package index can be reached: connect to the network")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^learn2learn==0\.2\.0", done.stdout, re.M)


def resolve(folder: Path) -> subprocess.CompletedProcess:
    """What uv makes of `in.txt`, without the overrides in pyproject, which pip would not know."""
    uv = os.environ.get("UV") or shutil.which("uv")
    if uv is None:
        pytest.skip("uv is missing: pip install uv")
    command = [uv, "pip", "compile", "--quiet", "--no-config", "--python-version", "3.12"]
    if day := PYPROJECT["tool"]["uv"].get("exclude-newer"):  # CI also runs without
        command += ["--exclude-newer", day]
    return subprocess.run(
        [*command, "--python", sys.executable, "in.txt"],
        cwd=folder,
        env=os.environ | {"UV_PYTHON_DOWNLOADS": "never"},
        capture_output=True,
        text=True,
    )


def test_importing_the_package_is_cheap():
    code = "import sys, course_utils, course_utils.environment; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_report_names_each_thing_and_is_content_here():
    done = subprocess.run([sys.executable, "-m", "course_utils"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    assert all(line.startswith(("OK  ", "--  ")) for line in lines), done.stdout
    things = ("Python 3", "torch", "learn2learn", "gymnasium", "rdkit", "jupyterlab", "data/")
    for thing in things:
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


FINE = hashlib.sha256(b"fine").hexdigest() + "  fine"


@pytest.mark.parametrize(("sums", "said"), [
    ("", "DO  data/SHA256SUMS is damaged: get the course anew"),
    (f"{FINE}\n0123\n", "DO  data/SHA256SUMS is damaged: get the course anew"),
    (f"{FINE}\n\n", "DO  data/SHA256SUMS is damaged: get the course anew"),
    (f"{'0' * 64}  folder\n", "DO  data/folder can't be read ("),
    (f"{'0' * 64}  fine/inside\n", "DO  data/fine/inside can't be read ("),
    (b"\xff", "DO  data/SHA256SUMS is damaged: get the course anew"),
    (None, "DO  data/SHA256SUMS can't be read ("),
])  # fmt: skip
def test_damaged_data_is_told(sums, said, monkeypatch, tmp_path):
    data = tmp_path / "data"
    (data / "folder").mkdir(parents=True)
    (data / "fine").write_text("fine")
    if sums is None:
        (data / "SHA256SUMS").mkdir()
    else:
        (data / "SHA256SUMS").write_bytes(sums if isinstance(sums, bytes) else sums.encode())
    monkeypatch.setattr(environment, "HERE", tmp_path / "course_utils")
    assert said in environment.report()


@pytest.mark.parametrize(("name", "line", "status"), [
    ("learn2learn", "--  learn2learn is not installed", 0),
    ("anywidget", "DO  anywidget is not installed", 1),
])  # fmt: skip
def test_only_what_is_needed_fails_the_report(name, line, status, monkeypatch, capsys):
    def version(package):
        if package == name:
            raise importlib.metadata.PackageNotFoundError
        return "1.0"

    monkeypatch.setattr(importlib.metadata, "version", version)
    with pytest.raises(SystemExit) as end:
        runpy.run_module("course_utils", run_name="__main__")
    assert end.value.code == status
    assert line in capsys.readouterr().out


def test_the_checksums_cover_every_data_file():
    data = ROOT / "data"
    listed = dict(
        reversed(line.split(maxsplit=1)) for line in (data / "SHA256SUMS").read_text().splitlines()
    )
    there = {
        path.relative_to(data).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in data.rglob("*")
        if path.is_file()
        and path.name != "SHA256SUMS"
        and not path.name.startswith(".")
        and "__pycache__" not in path.parts
    }
    assert listed == there


BINARY = {".png", ".safetensors", ".gz", ".npz"}
LOCAL = re.compile(
    r"\b(pypi|pythonhosted|npmjs|debian|conda|anaconda)\.(org|com|io)\b"  # where packages come from
    r"|/(root|home/\w+|Users/\w+)/|(?<![\w.])/(work)/"  # where this checkout lies
    r"|\.\./shared"
)


def test_local_names_are_told():
    for text in ("https://files.pythonhosted" + ".org/x", "/root" + "/x", "'/work" + "/main'"):
        assert LOCAL.search(text), text
    for text in ("/content/course", "creativecommons.org", "home/work/x", "root/x"):
        assert not LOCAL.search(text), text


def test_no_file_names_a_registry_or_a_path_of_one_machine():
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    if listing.returncode:
        pytest.skip("this is no git checkout: clone the repository to have its files listed")
    for name in set(listing.stdout.split()) - {".ci/run"}:  # which may name a folder beside
        path = ROOT / name
        if path.exists() and path.suffix not in BINARY:
            found = LOCAL.search(path.read_text(encoding="utf8"))
            assert found is None, f"{name} names {found[0]}"


@pytest.mark.parametrize("page", sorted(path.name for path in ROOT.glob("*.md")))
def test_what_a_page_links_to_is_there(page):
    links = re.findall(r"\]\(([^)#:]+)\)", (ROOT / page).read_text(encoding="utf8"))
    assert [link for link in links if not (ROOT / link).exists()] == []
