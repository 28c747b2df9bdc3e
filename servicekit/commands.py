"""What the command lines of both services share: how they are read, the service's tree, and the common commands.

`python -m X [config.yaml]` runs the service whole; a first argument that is a command is that command.
"""

import argparse
import gc
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar
from urllib.parse import urlsplit

from servicekit import checkup, logs
from servicekit.config import Loaded, Section
from servicekit.errors import AerialError, Invalid
from servicekit.files import run_lock
from servicekit.levels import ask_to_reload
from servicekit.redact import redact
from servicekit.settings import Settings
from servicekit.store.copies import restore
from servicekit.supervise import READY_FD, Child, die_with_parent, say_ready, supervise

SERVE = "serve"
Own = TypeVar("Own", bound=Section)
Options = argparse.Namespace
AddOptions = Callable[[argparse.ArgumentParser], object]
Say = Callable[[str], None]


class Paths(Protocol):
    """Where a service keeps its files."""

    @property
    def database(self) -> Path: ...
    @property
    def backups(self) -> Path: ...
    @property
    def published(self) -> Path: ...
    @property
    def import_dir(self) -> Path: ...
    @property
    def run(self) -> Path: ...
    @property
    def keeper_lock(self) -> Path: ...
    @property
    def reload(self) -> Path: ...


@dataclass(frozen=True, slots=True)
class Database:
    """What tells a database of this service: its application id, and the newest schema version."""

    application_id: int
    newest: int


@dataclass(frozen=True, slots=True)
class Command(Generic[Own]):
    """One command; `options` adds its arguments."""

    name: str
    help: str
    action: Callable[[Loaded[Own], Options], int]
    options: AddOptions = lambda parser: None


def run(
    service: str,
    description: str,
    commands: Sequence[Command[Own]],
    arguments: Sequence[str],
    *,
    configuration: Callable[[str | None], Loaded[Own]],
) -> int:
    """Reads the command line and does what it says; returns the exit code. The first command is the service itself."""
    parser = argparse.ArgumentParser(prog=service, description=description)
    below = parser.add_subparsers(dest="command", required=True)
    for one in commands:
        command = below.add_parser(one.name, help=one.help, description=one.help)
        command.add_argument("--config", metavar="FILE", help="configuration file (default: config.yaml here)")
        one.options(command)
    options = parser.parse_args(_with_command(arguments, [one.name for one in commands]))
    try:
        config = configuration(options.config)
        logs.set_up(config.shared.logging.level, config.shared.logging.format)
        checkup.raise_file_limit()
        return next(one for one in commands if one.name == options.command).action(config, options)
    except (AerialError, OSError) as error:
        sys.stderr.write(f"{service}: {redact(str(error))}\n")
        return 2
    finally:
        gc.freeze()  # everything goes with the process: the collector's last look at it takes 50 ms


def _with_command(arguments: Sequence[str], commands: Sequence[str]) -> list[str]:
    """A first argument that is no command is the configuration file."""
    if arguments and arguments[0] in commands:
        return list(arguments)
    if arguments and not arguments[0].startswith("-"):
        return [SERVE, "--config", arguments[0], *arguments[1:]]
    return list(arguments) if {"-h", "--help"} & set(arguments) else [SERVE, *arguments]


# ---- the service -----------------------------------------------------------------------------------------------------


def serve(
    service: str,
    *,
    file: Path | None,
    host: str,
    port: int,
    gunicorn: Sequence[str],
    paths: Paths,
    grace_s: float,
    web_environment: Mapping[str, str],
) -> int:
    """Supervises gunicorn and the keeper until a signal or the web server's end; returns the exit code."""
    paths.import_dir.mkdir(parents=True, exist_ok=True)
    environment = {"AERIAL_CONFIG": str(file)} if file else {}
    bound = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    web = [sys.executable, "-m", "gunicorn", "-c", "python:servicekit.gunicorn_hooks", "--bind", bound]
    web += [*gunicorn, "--timeout", "120", "--no-control-socket", f"{service}.wsgi:app"]
    keeper = [sys.executable, "-m", service, "keeper"]
    return supervise(
        [
            Child("web", web, env={**environment, **web_environment}),
            Child("keeper", keeper, restart=True, env=environment),
        ],
        grace_s=grace_s,
        on_ready=lambda: say_ready(service),
        on_hangup=lambda: ask_to_reload(paths.reload),
    )


def as_keeper(lock: Path, work: Callable[[threading.Event], None]) -> int:
    """Does the keeper's work until a signal, under its lock: a second keeper refuses."""
    if READY_FD in os.environ:  # a supervisor started this process
        die_with_parent()
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the level of the logs is followed anyway
    gc.freeze()  # what is loaded stays: the collector need not look through it for years
    with run_lock(lock):
        work(stopping)
    return 0


# ---- commands --------------------------------------------------------------------------------------------------------


def check(
    config: Loaded[Own], *, paths: Paths, host: str, port: int, settings: Settings, database: Database, say: Say
) -> int:
    """Says what is well and what is wrong, line by line; exit code 1 when anything is wrong."""
    say(f"configuration {config.file or '(built-in defaults)'}: ok")
    faults = checkup.directories((config.data_dir, paths.run, paths.import_dir, paths.backups, paths.published), say)
    faults += checkup.port(host, port, say)
    faults += checkup.database(paths.database, application_id=database.application_id, newest=database.newest, say=say)
    settings.all()
    faults += settings.faults
    for fault in faults:
        say(f"wrong: {fault}")
    say("something is wrong" if faults else "all is well")
    return 1 if faults else 0


def file_option(help_text: str, *, needed: bool = False) -> AddOptions:
    """One FILE argument."""
    return lambda command: command.add_argument("file", nargs=None if needed else "?", help=help_text)


def importable(named: str, import_dir: Path) -> str:
    """What a provider or source is given for a FILE|URL argument: the address, or a file that `import_dir` holds too.

    A second name for the file where the disk allows it (a gigabyte is not written twice), else a copy.
    """
    if urlsplit(named).scheme in ("http", "https"):
        return named
    path = Path(named)
    if not path.is_file():
        raise Invalid(f"there is no file {named}")
    import_dir.mkdir(parents=True, exist_ok=True)
    if path.resolve().parent != import_dir.resolve():
        _shared(path.resolve(), import_dir / path.name)
    return path.name


def _shared(path: Path, target: Path) -> None:
    """`target` becomes another name of the file, or a copy. What stood there is replaced, never written over: it may
    be another name of somebody's file."""
    staged = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        try:
            staged.hardlink_to(path)
        except OSError:  # another disk, or somebody else's file
            shutil.copyfile(path, staged)
        staged.replace(target)
    finally:
        staged.unlink(missing_ok=True)


def name_of(named: str, otherwise: str) -> str:
    """The name of what is imported when none was given: the file's, without its endings."""
    return Path(urlsplit(named).path).name.split(".")[0] or otherwise


def back_up(copy: Callable[[Path], object], file: str | None, *, paths: Paths, say: Say) -> int:
    """A copy of the database, while it is in use."""
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    target = Path(file) if file else paths.backups / f"{paths.database.stem}-{stamp}.db"
    copy(target)
    say(f"written to {target}")
    return 0


def put_back(file: str, *, paths: Paths, database: Database, say: Say, after: Callable[[], None] = lambda: None) -> int:
    """Puts a copy in the place of the database; the service must be stopped, which its keeper's lock tells."""
    with run_lock(paths.keeper_lock):
        kept = restore(
            Path(file),
            paths.database,
            application_id=database.application_id,
            newest=database.newest,
            backups=paths.backups,
        )
        after()
    say(f"{file} is the database now" + (f"; the one before is kept as {kept}" if kept else ""))
    return 0
