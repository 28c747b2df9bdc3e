"""`python -m stream_service [config.yaml]` runs the stream service whole; with a COMMAND it does one thing.

check       looks at the configuration, the paths, the port and the database, and says what is wrong
keeper      the keeper alone (the service starts it itself)
import      FILE|URL [--source NAME] [--force]: loads a list of channels and waits for the end
export      writes the default lineup as M3U to a file or to standard output
prune       forgets old runs and streams that vanished long ago
backup      [FILE]: a copy of the database, while it is in use
restore     FILE: puts a copy in the place of the database (the service must be stopped)

The supervisor lives as long as the service: what only the keeper's work takes is loaded by the commands that do it.
"""

import argparse
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

from servicekit import commands
from servicekit.commands import Command, Options, file_option
from servicekit.errors import Conflict, Invalid
from servicekit.files import run_lock
from servicekit.store.sqlite import backup
from servicekit.supervise import say_ready
from stream_service import wiring
from stream_service.outputs.origin import with_origin
from stream_service.store.schema import APPLICATION_ID, MIGRATIONS
from stream_service.wiring import Config

DATABASE = commands.Database(APPLICATION_ID, len(MIGRATIONS))
WORKER_CONNECTIONS = 8000
GRACE_S = 9
"""Longer than the web server's own (below), shorter than the 10 s that are promised."""
WEB_GRACE_S = 8
FOLLOW_LIMIT_S = 3600


def main(arguments: Sequence[str]) -> int:
    """Runs a command, or the service; returns the exit code."""
    return commands.run(
        "stream_service", "Aerial's stream service.", _COMMANDS, arguments, configuration=wiring.configuration
    )


def _serve(config: Config, options: Options) -> int:
    """Supervises gunicorn and the keeper."""
    server = config.own.server
    wiring.stores(config).connections.close()  # a database that cannot be used is told here, once, before anything
    gunicorn = ["--worker-class", "gevent", "--workers", "1", "--worker-connections", str(WORKER_CONNECTIONS)]
    gunicorn += ["--graceful-timeout", str(WEB_GRACE_S), "--max-requests", "0"]
    return commands.serve(
        "stream_service",
        file=config.file,
        host=server.host,
        port=server.port,
        gunicorn=gunicorn,
        paths=wiring.paths_of(config),
        grace_s=GRACE_S,
        web_environment={"AERIAL_PROCESS_NAME": "aerial-stream"},
    )


def _keeper(config: Config, options: Options) -> int:
    from servicekit.timetable import Timetable  # of all commands this one alone goes by the clock
    from stream_service.wiring import for_keeper

    paths, timetable = wiring.paths_of(config), Timetable(ZoneInfo(config.own.scheduler.timezone))

    def work(stopping: threading.Event) -> None:
        try:
            for_keeper.tidy(config)
            for_keeper.make_cards(config)
            taking = for_keeper.source_intake(config)
            for_keeper.errand_runner(config, taking).start(stopping)
            said_goodbye = for_keeper.announcing(config).start(stopping)
            for_keeper.keeper(config, taking).run(timetable, stopping, ready=lambda: say_ready("keeper"))
            said_goodbye()
        finally:
            paths.heartbeat.unlink(missing_ok=True)

    return commands.as_keeper(paths.keeper_lock, work)


def _check(config: Config, options: Options) -> int:
    return commands.check(
        config,
        paths=wiring.paths_of(config),
        host=config.own.server.host,
        port=config.own.server.port,
        settings=wiring.settings(config),
        database=DATABASE,
        say=print,
    )


def _import(config: Config, options: Options) -> int:
    """Queues a run and follows it; without a running keeper the command is the keeper for that time."""
    it, paths = wiring.stores(config), wiring.paths_of(config)
    address = commands.importable(options.list, paths.import_dir)
    name = options.source or commands.name_of(options.list, "list")
    known = it.sources.named(name)
    values = {"name": name, "type": "m3u", "url": address}
    source = it.sources.update(known.id, {"url": address}) if known else it.sources.create(values)
    run = it.runs.enqueue(source.id, reason="command", force=options.force)
    try:
        with run_lock(paths.keeper_lock):
            from stream_service.wiring import for_keeper

            for_keeper.tidy(config)
            for_keeper.keeper(config).work_off()
    except Conflict:
        _follow(lambda: it.runs.get(run.id).ended)
    done = it.runs.get(run.id)
    print(f"{name}: {done.status}, {done.streams} streams, {done.entries_skipped} entries left out")
    if done.error_message:
        print(done.error_message)
    return 0 if done.status in ("success", "unchanged") else 1


def _follow(done: Callable[[], bool]) -> None:
    end = time.monotonic() + FOLLOW_LIMIT_S
    while not done() and time.monotonic() < end:
        time.sleep(0.2)


def _export(config: Config, options: Options) -> int:
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


def _prune(config: Config, options: Options) -> int:
    from stream_service.wiring.for_keeper import keeper

    runs, streams = keeper(config).prune()
    print(f"{runs} runs and {streams} vanished streams deleted")
    return 0


def _backup(config: Config, options: Options) -> int:
    connection = wiring.stores(config).connections.get()
    return commands.back_up(partial(backup, connection), options.file, paths=wiring.paths_of(config), say=print)


def _restore(config: Config, options: Options) -> int:
    return commands.put_back(options.file, paths=wiring.paths_of(config), database=DATABASE, say=print)


# ---- the command line ------------------------------------------------------------------------------------------------


def _import_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("list", help="file or http(s) address")
    command.add_argument("--source", help="the source's name, made if new (default: the file's name)")
    command.add_argument("--force", action="store_true", help="take it even when it holds much less than before")


def _export_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", nargs="?", help="where to write (default: standard output)")
    command.add_argument("--origin", help="our address in it (default: public_url, else this machine's port)")


_COMMANDS = (
    Command(commands.SERVE, "run the service (this is what happens without a command)", _serve),
    Command("check", "look at configuration, paths, port and database", _check),
    Command("keeper", "run the keeper alone", _keeper),
    Command("import", "load a list of channels and wait for the end", _import, _import_options),
    Command("export", "write the default lineup as M3U", _export, _export_options),
    Command("prune", "forget old runs and streams that vanished long ago", _prune),
    Command("backup", "copy the database while it is in use", _backup, file_option("default: DATA/backups/…")),
    Command("restore", "put a copy in the place of the database", _restore, file_option("the copy", needed=True)),
)
COMMANDS = tuple(one.name for one in _COMMANDS[1:])

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
