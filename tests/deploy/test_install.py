"""deploy/install.sh below another root: what it puts where, keeps and refuses. The machine is not touched."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PARTS = (
    *("epg_service", "stream_service", "servicekit", "tvkit", "pair", "systemd", "deploy"),
    *("requirements.txt", "constraints.txt", "config.yaml"),
)

# A Python that answers questions about itself, and makes environments in which installing and compiling cost nothing.
PRETENDED = """#!/bin/sh
case "$*" in
  "-c "*version_info*) echo "{version} {prefix}" ;;
  *"-m venv "*) for last; do :; done; mkdir -p "$last/bin"; cp "$0" "$last/bin/python" ;;
  *"-m pip install"*) echo "$*" >> "{log}"; [ ! -e "{log}.fails" ] || exit 1 ;;
  *compileall*) ;;
  *) exec "{real}" "$@" ;;
esac
"""


class Machine:
    """A root directory to install below, and a copy of the repository to install from."""

    def __init__(self, folder: Path) -> None:
        self.root, self.source, self.log = folder / "a root", folder / "the source", folder / "pip.log"
        self.source.mkdir()
        for part in PARTS:
            there, here = REPOSITORY / part, self.source / part
            if there.is_dir():
                shutil.copytree(there, here, ignore=shutil.ignore_patterns("__pycache__", "*.ts"))
            elif there.exists():
                shutil.copy(there, here)
        self.python = self.pretend("python", "3.13")
        (self.source / "config.yaml").touch()

    def pretend(self, name: str, version: str, prefix: str = "/usr") -> Path:
        file = self.log.parent / name
        file.write_text(PRETENDED.format(version=version, prefix=prefix, log=self.log, real=sys.executable))
        file.chmod(0o755)
        return file

    def install(self, *arguments: str | Path, python: Path | None = None) -> subprocess.CompletedProcess[str]:
        command: list[str | Path] = ["bash", self.source / "deploy" / "install.sh", "--root", self.root, *arguments]
        if "--uninstall" not in arguments:
            command += ["--python", python or self.python]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    @property
    def releases(self) -> set[str]:
        return {path.name for path in (self.root / "opt/aerial/releases").iterdir()}

    @property
    def current(self) -> str:
        return (self.root / "opt/aerial/current").readlink().name


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def succeeded(run: subprocess.CompletedProcess[str]) -> str:
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def test_everything_is_put_where_the_units_look_for_it(machine: Machine) -> None:
    succeeded(machine.install())
    root = machine.root
    release = root / "opt/aerial/current"
    assert (release / ".venv/bin/python").exists()
    assert (release / "epg_service/__init__.py").exists()
    assert (release / "stream_service/__init__.py").exists()
    assert (root / "etc/aerial/config.yaml").read_bytes() == (machine.source / "config.yaml").read_bytes()
    assert (root / "var/lib/aerial").stat().st_mode & 0o777 == 0o750
    for unit in ("aerial-epg.service", "aerial-stream.service"):
        assert (root / "etc/systemd/system" / unit).read_bytes() == (machine.source / "systemd" / unit).read_bytes()
    assert "-c" in machine.log.read_text(), "installed with the pinned versions"


def test_installing_again_changes_nothing(machine: Machine) -> None:
    succeeded(machine.install())
    release, installed = machine.current, machine.log.read_text()
    assert "already there" in succeeded(machine.install())
    assert (machine.current, machine.releases) == (release, {release})
    assert machine.log.read_text() == installed, "nothing was installed a second time"


def test_an_upgrade_keeps_configuration_data_and_the_release_before(machine: Machine) -> None:
    succeeded(machine.install())
    mine, data = machine.root / "etc/aerial/config.yaml", machine.root / "var/lib/aerial/epg.db"
    mine.write_text("public_url: http://tv.home.arpa\n")
    data.write_text("rows")
    seen = [machine.current]
    for number in range(2):
        (machine.source / "epg_service" / "new.py").write_text(f"NUMBER = {number}\n")
        succeeded(machine.install())
        seen.append(machine.current)
    assert len(set(seen)) == 3
    assert machine.releases == set(seen[1:]), "the last two stay"
    assert (machine.root / "opt/aerial/current/epg_service/new.py").exists()
    assert mine.read_text() == "public_url: http://tv.home.arpa\n"
    assert data.read_text() == "rows"


def test_an_upgrade_that_cannot_be_built_leaves_the_old_release_in_use(machine: Machine) -> None:
    succeeded(machine.install())
    before = machine.current
    (machine.source / "tvkit" / "new.py").touch()
    failing = machine.log.with_name("pip.log.fails")
    failing.touch()
    assert machine.install().returncode != 0
    assert machine.current == before
    failing.unlink()
    succeeded(machine.install())
    assert machine.current != before, "half a release is built anew"


def test_uninstalling_keeps_data_and_configuration(machine: Machine) -> None:
    succeeded(machine.install())
    (machine.root / "var/lib/aerial/epg.db").touch()
    told = succeeded(machine.install("--uninstall"))
    assert not (machine.root / "opt/aerial").exists()
    assert not list((machine.root / "etc/systemd/system").iterdir())
    assert (machine.root / "var/lib/aerial/epg.db").exists()
    assert (machine.root / "etc/aerial/config.yaml").exists()
    assert "Kept:" in told
    succeeded(machine.install("--uninstall"))


@pytest.mark.parametrize("version", ["3.9", "3.10", "3.14"])
def test_another_python_is_refused_with_the_command_that_helps(machine: Machine, version: str) -> None:
    run = machine.install(python=machine.pretend("other", version))
    assert run.returncode == 1
    assert f"other {version}" in run.stderr
    assert "apt-get install python3" in run.stderr
    assert not machine.root.exists()


def test_a_python_in_a_home_directory_is_refused_because_the_services_cannot_see_it(machine: Machine) -> None:
    run = machine.install(python=machine.pretend("mine", "3.13", prefix="/home/me/.pyenv/versions/3.13.0"))
    assert run.returncode == 1
    assert "home directory" in run.stderr


def test_without_root_it_says_what_to_type(machine: Machine) -> None:
    # An `id` that says that we are nobody: these tests may run as root.
    pretended = machine.log.parent / "bin" / "id"
    pretended.parent.mkdir()
    pretended.write_text("#!/bin/sh\necho 65534\n")
    pretended.chmod(0o755)
    run = subprocess.run(
        ["bash", machine.source / "deploy/install.sh"],
        env=os.environ | {"PATH": f"{pretended.parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 1
    assert "sudo deploy/install.sh" in run.stderr


def test_an_unknown_argument_is_named(machine: Machine) -> None:
    run = machine.install("--frobnicate")
    assert run.returncode == 1
    assert "--frobnicate" in run.stderr
