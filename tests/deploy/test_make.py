"""The Makefile, .ci/run and the requirements: what a fresh machine meets first."""

import os
import re
import shutil
import subprocess
from importlib import metadata
from pathlib import Path

import pytest

from tests.programs import needs

REPOSITORY = Path(__file__).resolve().parents[2]
NAME = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[a-z,]+\])?==([^\s;#]+)")


def pins(file: str) -> dict[str, str]:
    lines = (REPOSITORY / file).read_text().splitlines()
    found = [match for line in lines if (match := NAME.match(line))]
    return {match[1].lower().replace("_", "-").replace(".", "-"): match[2] for match in found}


def make(folder: Path, *arguments: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL", "PYTHON"}}
    if path is not None:
        clean["PATH"] = path
    program = shutil.which("make") or "make"
    return subprocess.run([program, *arguments], cwd=folder, env=clean, capture_output=True, text=True, timeout=60)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    needs("make")
    folder = tmp_path / "a fresh clone"
    folder.mkdir()
    for name in ("Makefile", "requirements.txt", "requirements-dev.txt", "constraints.txt"):
        shutil.copy(REPOSITORY / name, folder)
    return folder


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A directory to be the whole PATH: the shell's tools, and no Python yet."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("bash", "sh", "rm", "touch", "mkdir", "cp", "cat"):
        (folder / name).symlink_to(shutil.which(name) or f"/bin/{name}")
    return folder


def pretend_python(tools: Path, name: str, version: str, *, venv: bool = True) -> None:
    """A Python that knows its version, and makes environments whose pip only takes notes."""
    major, minor = version.split(".")
    usable = 0 if (3, 11) <= (int(major), int(minor)) <= (3, 13) else 1
    file = tools / name
    file.write_text(
        f"""#!/bin/sh
case "$*" in
  *version_info*) exit {usable} ;;
  *"import venv"*) exit {0 if venv else 1} ;;
  "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
  *"-m pip install"*) echo "{name}: $*" >> pip.log ;;
esac
"""
    )
    file.chmod(0o755)


def test_make_alone_lists_every_target_that_a_person_needs(checkout: Path) -> None:
    told = make(checkout)
    assert told.returncode == 0
    for target in ("setup", "run", "demo", "test", "lint", "bench"):
        assert re.search(rf"make {target}\s+\S", told.stdout), target


def test_setup_takes_the_newest_usable_python_and_pins(checkout: Path, tools: Path) -> None:
    for name, version in (("python3.13", "3.13"), ("python3.11", "3.11"), ("python3", "3.9")):
        pretend_python(tools, name, version)
    made = make(checkout, "setup", path=str(tools))
    assert made.returncode == 0, made.stderr
    assert "python3.13" in made.stdout
    noted = (checkout / "pip.log").read_text()
    assert "-r requirements.txt -c constraints.txt" in noted


def test_setup_does_nothing_the_second_time_and_installs_again_when_requirements_change(
    checkout: Path, tools: Path
) -> None:
    pretend_python(tools, "python3", "3.12")
    for _ in range(2):
        assert make(checkout, "setup", path=str(tools)).returncode == 0
    assert len((checkout / "pip.log").read_text().splitlines()) == 1
    later = (checkout / ".venv/.runtime-installed").stat().st_mtime + 5
    os.utime(checkout / "requirements.txt", (later, later))
    assert make(checkout, "setup", path=str(tools)).returncode == 0
    assert len((checkout / "pip.log").read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("version", "venv", "told"),
    [
        ("3.9", True, "3.12 or 3.13 is needed"),
        ("3.12", False, "no venv module"),
        ("3.14", True, "is needed"),
    ],
    ids=["too old", "without venv", "too new"],
)
def test_setup_says_which_command_mends_it(checkout: Path, tools: Path, version: str, venv: bool, told: str) -> None:
    pretend_python(tools, "python3", version, venv=venv)
    refused = make(checkout, "setup", path=str(tools))
    assert refused.returncode != 0
    assert told in refused.stderr
    assert "apt-get install" in refused.stderr
    assert not (checkout / ".venv").exists()


def test_every_requirement_is_exact_explained_and_pinned_alike() -> None:
    lines = (REPOSITORY / "requirements.txt").read_text().splitlines()
    for line in lines:
        assert line.startswith("#") or re.match(r"\S+==\S+.*# \w", line), line
    pinned = pins("constraints.txt")
    for name, version in (pins("requirements.txt") | pins("requirements-dev.txt")).items():
        assert pinned[name] == version, name


def test_no_file_that_pip_reads_names_an_index() -> None:
    for file in ("requirements.txt", "requirements-dev.txt", "constraints.txt"):
        text = (REPOSITORY / file).read_text()
        assert "http" not in re.sub(r"#.*", "", text)
        assert not re.search(r"^--?\w*(index|find-links|trusted)", text, re.M)


def test_what_runs_here_is_what_is_pinned() -> None:
    assert {name: metadata.version(name) for name in pins("requirements.txt")} == pins("requirements.txt")


def test_ci_ends_with_the_tests_and_installs_what_they_need() -> None:
    text = (REPOSITORY / ".ci" / "run").read_text()
    assert os.access(REPOSITORY / ".ci" / "run", os.X_OK)
    assert "set -euo pipefail" in text
    assert "export CI=true" in text
    for package in (
        "ffmpeg",
        "libxml2-utils",
        "xmltv-util",
        "nginx-light",
        "systemd",
        "python3-venv",
        "sqlite3",
        "curl",
    ):
        assert package in text


@pytest.mark.parametrize("script", [".ci/run", "deploy/install.sh", "pair/media/make.sh"])
def test_scripts_are_valid_and_stop_at_the_first_fault(script: str) -> None:
    subprocess.run(["bash", "-n", REPOSITORY / script], check=True, timeout=20)
    assert "set -euo pipefail" in (REPOSITORY / script).read_text()
