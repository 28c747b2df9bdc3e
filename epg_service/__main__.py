"""`python -m epg_service [config.yaml]` runs the guide service whole; `python -m epg_service COMMAND` does one thing.

check       looks at the configuration, the paths, the port and the database, and says what is wrong
keeper      the keeper alone (the service starts it itself)
import      FILE|URL [--provider NAME] [--force]: imports a guide and waits for the end
export      writes the whole guide as XMLTV to a file or to standard output
prune       deletes what is older than the retention
backup      [FILE]: a copy of the database, while it is in use
restore     FILE: puts a copy in the place of the database (the service must be stopped)
"""

import argparse
import contextlib
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from epg_service import wiring
from epg_service.following import follow
from epg_service.store.schema import APPLICATION_ID, MIGRATIONS
from epg_service.wiring import Config
from servicekit import checkup, logs
from servicekit.errors import AerialError, Conflict, Invalid
from servicekit.files import atomic_file, run_lock
from servicekit.levels import ask_to_reload
from servicekit.redact import redact
from servicekit.store.copies import restore
from servicekit.store.sqlite import backup
from servicekit.supervise import READY_FD, Child, die_with_parent, say_ready, supervise

COMMANDS = ("check", "keeper", "import", "export", "prune", "backup", "restore")
WEB_WORKERS = 2
WEB_THREADS = 8
GRACE_S = 8
FOLLOW_LIMIT_S = 24 * 3600


def main(arguments: Sequence[str]) -> int:
    """Runs a command, or the service; returns the exit code."""
    options = _parser().parse_args(_with_command(arguments))
    try:
        config = wiring.configuration(options.config or getattr(options, "config_after", None))
        logs.set_up(config.shared.logging.level, config.shared.logging.format)
        checkup.raise_file_limit()
        action: Callable[[Config, argparse.Namespace], int] = _ACTIONS[options.command]
        return action(config, options)
    except (AerialError, OSError) as error:
        print(f"epg_service: {redact(str(error))}", file=sys.stderr)
        return 2


def _with_command(arguments: Sequence[str]) -> list[str]:
    """A first argument that is no command is the configuration file."""
    if arguments and arguments[0] in COMMANDS:
        return list(arguments)
    if arguments and not arguments[0].startswith("-"):
        return ["serve", "--config", arguments[0], *arguments[1:]]
    return ["serve", *arguments] if not {"-h", "--help"} & set(arguments) else list(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="epg_service", description="Aerial's guide service.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("serve", "run the service (this is what happens without a command)"),
        ("check", "look at configuration, paths, port and database"),
        ("keeper", "run the keeper alone"),
        ("import", "import a guide and wait for the end"),
        ("export", "write the whole guide as XMLTV"),
        ("prune", "delete what is older than the retention"),
        ("backup", "copy the database while it is in use"),
        ("restore", "put a copy in the place of the database"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--config", metavar="FILE", help="configuration file (default: config.yaml here)")
        _arguments_of(command, name)
    return parser


def _arguments_of(command: argparse.ArgumentParser, name: str) -> None:
    if name == "import":
        command.add_argument("guide", help="file or http(s) address")
        command.add_argument("--provider", help="the provider's name, made if new (default: the file's name)")
        command.add_argument("--force", action="store_true", help="take it even when it holds much less than before")
    elif name == "export":
        command.add_argument("file", nargs="?", help="where to write (default: standard output)")
    elif name == "backup":
        command.add_argument("file", nargs="?", help="where to write (default: DATA/backups/epg-TIME.db)")
    elif name == "restore":
        command.add_argument("file", help="the copy")


# ---- the service -----------------------------------------------------------------------------------------------------


def _serve(config: Config, options: argparse.Namespace) -> int:
    """Supervises gunicorn and the keeper."""
    paths = wiring.paths_of(config)
    wiring.stores(config)  # a database that cannot be used is told here, once, before anything starts
    with run_lock(paths.keeper_lock):  # held by a keeper that runs: then this is a second start, by mistake
        shutil.rmtree(paths.metrics, ignore_errors=True)
        paths.metrics.mkdir(parents=True)
    paths.import_dir.mkdir(parents=True, exist_ok=True)
    environment = {"AERIAL_CONFIG": str(config.file)} if config.file else {}
    web = {
        **environment,
        "PROMETHEUS_MULTIPROC_DIR": str(paths.metrics),
        "AERIAL_PROCESS_NAME": "aerial-epg",
        "MALLOC_ARENA_MAX": "2",
    }
    server = config.own.server
    host = f"[{server.host}]" if ":" in server.host else server.host
    gunicorn = [sys.executable, "-m", "gunicorn", "-c", "python:servicekit.gunicorn_hooks"]
    gunicorn += ["--bind", f"{host}:{server.port}", "--worker-class", "gthread", "--workers", str(WEB_WORKERS)]
    gunicorn += ["--threads", str(WEB_THREADS), "--graceful-timeout", str(GRACE_S - 2), "--timeout", "120"]
    gunicorn += ["--no-control-socket", "epg_service.wsgi:app"]
    keeper = [sys.executable, "-m", "epg_service", "keeper"]
    return supervise(
        [
            Child("web", gunicorn, env=web),
            Child("keeper", keeper, restart=True, env=environment),
        ],
        grace_s=GRACE_S,
        on_ready=lambda: say_ready("epg_service"),
        on_hangup=lambda: ask_to_reload(paths.reload),
    )


def _keeper(config: Config, options: argparse.Namespace) -> int:
    """The keeper, under its lock: a second one refuses."""
    if READY_FD in os.environ:  # a supervisor started this process
        die_with_parent()
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the level of the logs is followed anyway
    with run_lock(wiring.paths_of(config).keeper_lock):
        wiring.keeper(config, stopping).run()
    return 0


# ---- commands --------------------------------------------------------------------------------------------------------


def _check(config: Config, options: argparse.Namespace) -> int:
    """Says what is well and what is wrong, line by line; exit code 1 when anything is wrong."""
    paths, server, settings = wiring.paths_of(config), config.own.server, wiring.settings(config)
    print(f"configuration {config.file or '(built-in defaults)'}: ok")
    faults = checkup.directories((config.data_dir, paths.run, paths.import_dir, paths.backups, paths.published), print)
    faults += checkup.port(server.host, server.port, print)
    faults += checkup.database(paths.database, application_id=APPLICATION_ID, newest=len(MIGRATIONS), say=print)
    settings.all()
    faults += settings.faults
    for fault in faults:
        print(f"wrong: {fault}")
    print("something is wrong" if faults else "all is well")
    return 1 if faults else 0


def _import(config: Config, options: argparse.Namespace) -> int:
    """Queues a run and follows it; without a running keeper the command is the keeper for that time."""
    it, paths = wiring.stores(config), wiring.paths_of(config)
    address = _importable(options.guide, paths.import_dir)
    name = options.provider or Path(urlsplit(options.guide).path).name.split(".")[0] or "guide"
    known = it.providers.named(name)
    values = {"name": name, "xmltv_url": address}
    provider = it.providers.update(known.id, {"xmltv_url": address}) if known else it.providers.create(values)
    run = it.imports.enqueue(provider.id, reason="command", force=options.force)
    with _keeper_meanwhile(config):
        done = follow(lambda: it.imports.get(run.id), limit_s=FOLLOW_LIMIT_S)
    print(f"{name}: {done.status}, {done.programs_imported} programmes in the guide, {done.programs_skipped} not")
    if done.error_message:
        print(done.error_message)
    return 0 if done.status in ("success", "unchanged") else 1


@contextlib.contextmanager
def _keeper_meanwhile(config: Config) -> Iterator[None]:
    """Sees to it that a keeper works: the one that runs, else one on a thread of this process, under its lock."""
    stopping = threading.Event()
    try:
        with run_lock(wiring.paths_of(config).keeper_lock):
            work = threading.Thread(target=wiring.keeper(config, stopping).work_off, name="keeper")
            work.start()
            try:
                yield
            except BaseException:
                stopping.set()  # Ctrl-C: the run ends as interrupted, the guide as it was
                raise
            finally:
                work.join()
    except Conflict:
        yield


def _importable(guide: str, import_dir: Path) -> str:
    """The address of a guide, or a file copied into the import directory."""
    if urlsplit(guide).scheme in ("http", "https"):
        return guide
    path = Path(guide)
    if not path.is_file():
        raise Invalid(f"there is no file {guide}")
    import_dir.mkdir(parents=True, exist_ok=True)
    if path.resolve().parent != import_dir.resolve():
        shutil.copyfile(path, import_dir / path.name)
    return path.name


def _export(config: Config, options: argparse.Namespace) -> int:
    pieces = wiring.publishing(config, wiring.stores(config)).exported()
    if options.file:
        with atomic_file(Path(options.file)) as stream:
            stream.writelines(pieces)
        print(f"written to {options.file}")
    else:
        sys.stdout.buffer.writelines(pieces)
        sys.stdout.buffer.flush()
    return 0


def _prune(config: Config, options: argparse.Namespace) -> int:
    print(f"{wiring.keeper(config, threading.Event()).prune()} programmes deleted")
    return 0


def _backup(config: Config, options: argparse.Namespace) -> int:
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    target = Path(options.file) if options.file else wiring.paths_of(config).backups / f"epg-{stamp}.db"
    backup(wiring.stores(config).connections.get(), target)
    print(f"written to {target}")
    return 0


def _restore(config: Config, options: argparse.Namespace) -> int:
    paths = wiring.paths_of(config)
    with run_lock(paths.keeper_lock):
        kept = restore(
            Path(options.file),
            paths.database,
            application_id=APPLICATION_ID,
            newest=len(MIGRATIONS),
            backups=paths.backups,
        )
        shutil.rmtree(paths.redo, ignore_errors=True)  # what a killed import still had to do to the database before
    print(f"{options.file} is the database now" + (f"; the one before is kept as {kept}" if kept else ""))
    return 0


_ACTIONS: dict[str, Callable[[Config, argparse.Namespace], int]] = {
    "serve": _serve,
    "check": _check,
    "keeper": _keeper,
    "import": _import,
    "export": _export,
    "prune": _prune,
    "backup": _backup,
    "restore": _restore,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
