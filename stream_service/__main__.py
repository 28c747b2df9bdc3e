"""`python -m stream_service [config.yaml]` runs the stream service whole; with a COMMAND it does one thing.

check       looks at the configuration, the paths, the port and the database, and says what is wrong
keeper      the keeper alone (the service starts it itself)
import      FILE|URL [--source NAME] [--force]: loads a list of channels and waits for the end
export      writes the default lineup as M3U to a file or to standard output
prune       forgets old runs and streams that vanished long ago
backup      [FILE]: a copy of the database, while it is in use
restore     FILE: puts a copy in the place of the database (the service must be stopped)
"""

import argparse
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from servicekit import checkup, logs
from servicekit.errors import AerialError, Conflict, Invalid
from servicekit.files import run_lock
from servicekit.levels import ask_to_reload
from servicekit.store.copies import restore
from servicekit.store.sqlite import backup
from servicekit.supervise import READY_FD, Child, die_with_parent, say_ready, supervise
from stream_service import wiring
from stream_service.outputs.origin import with_origin
from stream_service.store.schema import APPLICATION_ID, MIGRATIONS

COMMANDS = ("check", "keeper", "import", "export", "prune", "backup", "restore")
WORKER_CONNECTIONS = 8000
GRACE_S = 9
"""Longer than the web server's own (below), shorter than the 10 s that are promised."""
WEB_GRACE_S = 8
FOLLOW_LIMIT_S = 3600


def main(arguments: Sequence[str]) -> int:
    """Runs a command, or the service; returns the exit code."""
    options = _parser().parse_args(_with_command(arguments))
    try:
        config = wiring.configuration(options.config)
        logs.set_up(config.shared.logging.level, config.shared.logging.format)
        checkup.raise_file_limit()
        action: Callable[[wiring.Config, argparse.Namespace], int] = _ACTIONS[options.command]
        return action(config, options)
    except AerialError as error:
        print(f"stream_service: {error.detail}", file=sys.stderr)
        return 2


def _with_command(arguments: Sequence[str]) -> list[str]:
    """A first argument that is no command is the configuration file."""
    if arguments and arguments[0] in COMMANDS:
        return list(arguments)
    if arguments and not arguments[0].startswith("-"):
        return ["serve", "--config", arguments[0], *arguments[1:]]
    return ["serve", *arguments] if not {"-h", "--help"} & set(arguments) else list(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="stream_service", description="Aerial's stream service.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("serve", "run the service (this is what happens without a command)"),
        ("check", "look at configuration, paths, port and database"),
        ("keeper", "run the keeper alone"),
        ("import", "load a list of channels and wait for the end"),
        ("export", "write the default lineup as M3U"),
        ("prune", "forget old runs and streams that vanished long ago"),
        ("backup", "copy the database while it is in use"),
        ("restore", "put a copy in the place of the database"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--config", metavar="FILE", help="configuration file (default: config.yaml here)")
        _arguments_of(command, name)
    return parser


def _arguments_of(command: argparse.ArgumentParser, name: str) -> None:
    if name == "import":
        command.add_argument("list", help="file or http(s) address")
        command.add_argument("--source", help="the source's name, made if new (default: the file's name)")
        command.add_argument("--force", action="store_true", help="take it even when it holds much less than before")
    elif name == "export":
        command.add_argument("file", nargs="?", help="where to write (default: standard output)")
        command.add_argument("--origin", help="our address in it (default: public_url, else this machine's port)")
    elif name == "backup":
        command.add_argument("file", nargs="?", help="where to write (default: DATA/backups/stream-TIME.db)")
    elif name == "restore":
        command.add_argument("file", help="the copy")


# ---- the service -----------------------------------------------------------------------------------------------------


def _serve(config: wiring.Config, options: argparse.Namespace) -> int:
    """Supervises gunicorn and the keeper."""
    paths = wiring.paths_of(config)
    wiring.stores(config).connections.close()  # a database that cannot be used is told here, once, before anything
    paths.import_dir.mkdir(parents=True, exist_ok=True)
    environment = {"AERIAL_CONFIG": str(config.file)} if config.file else {}
    server = config.own.server
    host = f"[{server.host}]" if ":" in server.host else server.host
    gunicorn = [sys.executable, "-m", "gunicorn", "-c", "python:servicekit.gunicorn_hooks"]
    gunicorn += ["--bind", f"{host}:{server.port}", "--worker-class", "gevent", "--workers", "1"]
    gunicorn += ["--worker-connections", str(WORKER_CONNECTIONS), "--graceful-timeout", str(WEB_GRACE_S)]
    gunicorn += ["--max-requests", "0", "--timeout", "120", "--no-control-socket", "stream_service.wsgi:app"]
    keeper = [sys.executable, "-m", "stream_service", "keeper"]
    return supervise(
        [
            Child("web", gunicorn, env={**environment, "AERIAL_PROCESS_NAME": "aerial-stream"}),
            Child("keeper", keeper, restart=True, env=environment),
        ],
        grace_s=GRACE_S,
        on_ready=lambda: say_ready("stream_service"),
        on_hangup=lambda: ask_to_reload(paths.reload),
    )


def _keeper(config: wiring.Config, options: argparse.Namespace) -> int:
    """The keeper, under its lock: a second one refuses."""
    if READY_FD in os.environ:  # a supervisor started this process
        die_with_parent()
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the level of the logs is followed anyway
    paths = wiring.paths_of(config)
    with run_lock(paths.keeper_lock):
        try:
            wiring.tidy(config)
            wiring.make_cards(config)
            wiring.keeper(config).run(stopping, ready=lambda: say_ready("keeper"))
        finally:
            paths.heartbeat.unlink(missing_ok=True)
    return 0


# ---- commands --------------------------------------------------------------------------------------------------------


def _check(config: wiring.Config, options: argparse.Namespace) -> int:
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


def _import(config: wiring.Config, options: argparse.Namespace) -> int:
    """Queues a run and follows it; without a running keeper the command is the keeper for that time."""
    it, paths = wiring.stores(config), wiring.paths_of(config)
    address = _importable(options.list, paths.import_dir)
    name = options.source or Path(urlsplit(options.list).path).name.split(".")[0] or "list"
    known = it.sources.named(name)
    values = {"name": name, "type": "m3u", "url": address}
    source = it.sources.update(known.id, {"url": address}) if known else it.sources.create(values)
    run = it.runs.enqueue(source.id, reason="command", force=options.force)
    try:
        with run_lock(paths.keeper_lock):
            wiring.tidy(config)
            wiring.keeper(config).work_off()
    except Conflict:
        _follow(lambda: it.runs.get(run.id).ended)
    done = it.runs.get(run.id)
    print(f"{name}: {done.status}, {done.streams} streams, {done.entries_skipped} entries left out")
    if done.error_message:
        print(done.error_message)
    return 0 if done.status in ("success", "unchanged") else 1


def _importable(address: str, import_dir: Path) -> str:
    """The address of a list, or a file copied into the import directory."""
    if urlsplit(address).scheme in ("http", "https"):
        return address
    path = Path(address)
    if not path.is_file():
        raise Invalid(f"there is no file {address}")
    import_dir.mkdir(parents=True, exist_ok=True)
    if path.resolve().parent != import_dir.resolve():
        shutil.copyfile(path, import_dir / path.name)
    return path.name


def _follow(done: Callable[[], bool]) -> None:
    end = time.monotonic() + FOLLOW_LIMIT_S
    while not done() and time.monotonic() < end:
        time.sleep(0.2)


def _export(config: wiring.Config, options: argparse.Namespace) -> int:
    published = wiring.published_files(config).playlist("default")
    if not published.exists():
        raise Invalid("no lineup was built yet: start the service, or import a list")
    origin = options.origin or config.shared.public_url or f"http://127.0.0.1:{config.own.server.port}"
    text = with_origin(published.read_bytes(), origin.rstrip("/"))
    if options.file:
        Path(options.file).write_bytes(text)
        print(f"written to {options.file}")
    else:
        sys.stdout.buffer.write(text)
    return 0


def _prune(config: wiring.Config, options: argparse.Namespace) -> int:
    runs, streams = wiring.keeper(config).prune()
    print(f"{runs} runs and {streams} vanished streams deleted")
    return 0


def _backup(config: wiring.Config, options: argparse.Namespace) -> int:
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    target = Path(options.file) if options.file else wiring.paths_of(config).backups / f"stream-{stamp}.db"
    backup(wiring.stores(config).connections.get(), target)
    print(f"written to {target}")
    return 0


def _restore(config: wiring.Config, options: argparse.Namespace) -> int:
    paths = wiring.paths_of(config)
    with run_lock(paths.keeper_lock):
        kept = restore(
            Path(options.file),
            paths.database,
            application_id=APPLICATION_ID,
            newest=len(MIGRATIONS),
            backups=paths.backups,
        )
    print(f"{options.file} is the database now" + (f"; the one before is kept as {kept}" if kept else ""))
    return 0


_ACTIONS: dict[str, Callable[[wiring.Config, argparse.Namespace], int]] = {
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
