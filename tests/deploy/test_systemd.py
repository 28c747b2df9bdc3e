"""The systemd units: accepted by systemd, hardened, each line explained."""

import re
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from tests.programs import needs

UNITS = sorted((Path(__file__).resolve().parents[2] / "systemd").glob("*.service"))
PYTHON = "/opt/aerial/current/.venv/bin/python"
PACKAGE = {"aerial-epg.service": "epg_service", "aerial-stream.service": "stream_service"}


def directives(unit: Path) -> list[tuple[str, str]]:
    pairs = [line.split("=", 1) for line in unit.read_text().splitlines() if re.match(r"[A-Z]", line)]
    return [(name, value) for name, value in pairs]


@pytest.fixture
def runnable(tmp_path: Path) -> list[Path]:
    """The units with a program and a directory that exist here."""
    made = []
    for unit in UNITS:
        copy = tmp_path / unit.name
        text = unit.read_text().replace(PYTHON, shutil.which("true") or "/bin/true")
        copy.write_text(text.replace("=/opt/aerial/current", f"={tmp_path}"))
        made.append(copy)
    return made


def test_there_is_one_unit_for_each_service() -> None:
    assert {unit.name for unit in UNITS} == set(PACKAGE)


def test_systemd_accepts_the_units(runnable: list[Path]) -> None:
    needs("systemd-analyze")
    command: list[str | Path] = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *runnable]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_systemd_judges_the_units_safe(runnable: list[Path]) -> None:
    needs("systemd-analyze")
    for unit in runnable:
        command: list[str | Path] = ["systemd-analyze", "security", "--offline=true", "--threshold=20", unit]
        judged = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert judged.returncode == 0, judged.stdout[-400:]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_every_directive_is_explained_by_the_comment_above_it(unit: Path) -> None:
    lines = unit.read_text().splitlines()
    assert not [line for before, line in pairwise(lines) if re.match(r"[A-Z]", line) and not before.startswith("# ")]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_starts_its_service_as_its_user_on_the_shared_configuration(unit: Path) -> None:
    assert {
        ("Type", "notify"),
        ("NotifyAccess", "main"),
        ("KillMode", "mixed"),
        ("User", "aerial"),
        ("StateDirectory", "aerial"),
        ("Environment", "AERIAL_DATA_DIR=/var/lib/aerial"),
        ("ExecStart", f"{PYTHON} -m {PACKAGE[unit.name]} /etc/aerial/config.yaml"),
    } <= set(directives(unit))


def test_the_units_differ_in_nothing_but_name_and_number_of_files() -> None:
    first, second = (set(directives(unit)) for unit in UNITS)
    assert {name for name, _ in first ^ second} == {"Description", "ExecStart", "LimitNOFILE"}
