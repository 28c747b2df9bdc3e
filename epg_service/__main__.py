"""`python -m epg_service [config.yaml]` runs the guide service whole; `python -m epg_service COMMAND` does one thing.

check       looks at the configuration, the paths, the port and the database, and says what is wrong
keeper      the keeper alone (the service starts it itself)
import      FILE|URL [--provider NAME] [--force]: imports a guide and waits for the end
export      writes the whole guide as XMLTV to a file or to standard output
prune       deletes what is older than the retention
backup      [FILE]: a copy of the database, while it is in use
restore     FILE: puts a copy in the place of the database (the service must be stopped)

The supervisor lives as long as the service: what only the keeper's work takes is loaded by the commands that do it.
"""

import argparse
import contextlib
import json
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

from epg_service import wiring
from epg_service.domain.entities import Provider
from epg_service.following import follow
from epg_service.store.schema import APPLICATION_ID, MIGRATIONS
from epg_service.wiring import Config
from servicekit import commands
from servicekit.commands import Command, Options, file_option
from servicekit.errors import Conflict
from servicekit.files import atomic_file, run_lock
from servicekit.store.sqlite import backup

DATABASE = commands.Database(APPLICATION_ID, len(MIGRATIONS))
WEB_WORKERS = 2
WEB_THREADS = 8
GRACE_S = 8
FOLLOW_LIMIT_S = 24 * 3600


def main(arguments: Sequence[str]) -> int:
    """Runs a command, or the service; returns the exit code."""
    return commands.run(
        "epg_service", "Aerial's guide service.", _COMMANDS, arguments, configuration=wiring.configuration
    )


def _serve(config: Config, options: Options) -> int:
    """Supervises gunicorn and the keeper."""
    paths, server = wiring.paths_of(config), config.own.server
    wiring.stores(config)  # a database that cannot be used is told here, once, before anything starts
    with run_lock(paths.keeper_lock):  # held by a keeper that runs: then this is a second start, by mistake
        shutil.rmtree(paths.metrics, ignore_errors=True)
        paths.metrics.mkdir(parents=True)
    gunicorn = ["--worker-class", "gthread", "--workers", str(WEB_WORKERS), "--threads", str(WEB_THREADS)]
    gunicorn += ["--graceful-timeout", str(GRACE_S - 2)]
    return commands.serve(
        "epg_service",
        file=config.file,
        host=server.host,
        port=server.port,
        gunicorn=gunicorn,
        paths=paths,
        grace_s=GRACE_S,
        web_environment={
            "PROMETHEUS_MULTIPROC_DIR": str(paths.metrics),
            "AERIAL_PROCESS_NAME": "aerial-epg",
            "MALLOC_ARENA_MAX": "2",
        },
    )


def _keeper(config: Config, options: Options) -> int:
    from epg_service.wiring.for_keeper import keeper
    from servicekit.timetable import Timetable  # of all commands this one alone goes by the clock

    def work(stopping: threading.Event) -> None:
        keeper(config, stopping).run(Timetable(ZoneInfo(config.own.scheduler.timezone)))

    return commands.as_keeper(wiring.paths_of(config).keeper_lock, work)


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
    it = wiring.stores(config)
    address = commands.importable(options.guide, wiring.paths_of(config).import_dir)
    name = options.provider or commands.name_of(options.guide, "guide")
    known = it.providers.named(name)
    if options.dry_run:
        return _rehearse(config, known, name, address, force=options.force)
    values = {"name": name, "xmltv_url": address}
    provider = it.providers.update(known.id, {"xmltv_url": address}) if known else it.providers.create(values)
    run = it.imports.enqueue(provider.id, reason="command", force=options.force)
    with _keeper_meanwhile(config) as over:
        done = follow(lambda: it.imports.get(run.id), over, limit_s=FOLLOW_LIMIT_S)
    print(f"{name}: {done.status}, {done.programs_imported} programmes in the guide, {done.programs_skipped} not")
    if done.error_message:
        print(done.error_message)
    return 0 if done.status in ("success", "unchanged") else 1


def _rehearse(config: Config, known: Provider | None, name: str, address: str, *, force: bool) -> int:
    """Says what the import would come to, with every loss; changes nothing."""
    from epg_service.wiring.for_keeper import rehearse

    provider = replace(known, xmltv_url=address) if known else Provider(0, name, address, True, 0, 0)
    would = rehearse(config, wiring.stores(config), provider, force=force)
    print(f"{name}: would be {would.status}: {would.imported} programmes in the guide, {would.skipped} not")
    print(json.dumps(would.report, indent=2, ensure_ascii=False))
    if would.error:
        print(would.error)
    return 0 if would.status in ("success", "unchanged") else 1


@contextlib.contextmanager
def _keeper_meanwhile(config: Config) -> Iterator[Callable[[], bool]]:
    """Sees to it that a keeper works: the one that runs, else one on a thread of this process, under its lock. Tells
    whether that thread's work is over; what ended it is raised here."""
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(run_lock(wiring.paths_of(config).keeper_lock))
        except Conflict:
            yield lambda: False
            return
        from concurrent.futures import ThreadPoolExecutor

        from epg_service.wiring.for_keeper import keeper

        stopping = threading.Event()
        with ThreadPoolExecutor(1, "keeper") as thread:
            work = thread.submit(keeper(config, stopping).work_off)
            try:
                yield work.done
            except BaseException:
                stopping.set()  # Ctrl-C: the run ends as interrupted, the guide as it was
                raise
        work.result()


def _export(config: Config, options: Options) -> int:
    from epg_service.wiring.for_keeper import publishing

    pieces = publishing(config, wiring.stores(config)).exported()
    if options.file:
        with atomic_file(Path(options.file)) as stream:
            stream.writelines(pieces)
        print(f"written to {options.file}")
    else:
        sys.stdout.buffer.writelines(pieces)
        sys.stdout.buffer.flush()
    return 0


def _prune(config: Config, options: Options) -> int:
    from epg_service.wiring.for_keeper import keeper

    print(f"{keeper(config, threading.Event()).prune()} programmes deleted")
    return 0


def _backup(config: Config, options: Options) -> int:
    connection = wiring.stores(config).connections.get()
    return commands.back_up(partial(backup, connection), options.file, paths=wiring.paths_of(config), say=print)


def _restore(config: Config, options: Options) -> int:
    paths = wiring.paths_of(config)

    def forget_redo() -> None:  # what a killed import still had to do to the database before
        shutil.rmtree(paths.redo, ignore_errors=True)

    return commands.put_back(options.file, paths=paths, database=DATABASE, say=print, after=forget_redo)


# ---- the command line ------------------------------------------------------------------------------------------------


def _import_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("guide", help="file or http(s) address")
    command.add_argument("--provider", help="the provider's name, made if new (default: the file's name)")
    command.add_argument("--dry-run", action="store_true", help="only say what it would come to")
    command.add_argument("--force", action="store_true", help="take it even when it holds much less than before")


_COMMANDS = (
    Command(commands.SERVE, "run the service (this is what happens without a command)", _serve),
    Command("check", "look at configuration, paths, port and database", _check),
    Command("keeper", "run the keeper alone", _keeper),
    Command("import", "import a guide and wait for the end", _import, _import_options),
    Command("export", "write the whole guide as XMLTV", _export, file_option("default: standard output")),
    Command("prune", "delete what is older than the retention", _prune),
    Command("backup", "copy the database while it is in use", _backup, file_option("default: DATA/backups/…")),
    Command("restore", "put a copy in the place of the database", _restore, file_option("the copy", needed=True)),
)
COMMANDS = tuple(one.name for one in _COMMANDS[1:])

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
