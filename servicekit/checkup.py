"""What the `check` command looks at: directories, port, database. Each says what is well, and returns what is wrong."""

import os
import resource
import socket
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from servicekit.errors import AerialError
from servicekit.store.copies import probe
from servicekit.store.sqlite import integrity

Say = Callable[[str], None]


def directories(paths: Iterable[Path], say: Say) -> list[str]:
    """Directories that must be there, or can be made, and can be written."""
    faults = []
    for path in paths:
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            faults.append(f"{path} cannot be made: {error.strerror}")
            continue
        if os.access(path, os.W_OK | os.X_OK):
            say(f"directory {path}: ok")
        else:
            faults.append(f"{path} cannot be written by this user (uid {os.getuid()})")
    return faults


def port(host: str, number: int, say: Say) -> list[str]:
    """An address to listen on that nobody has."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, number))
        except OSError as error:
            return [f"port {number} on {host} cannot be had: {error.strerror} (is the service running already?)"]
    say(f"port {number} on {host}: free")
    return []


def database(path: Path, *, application_id: int, newest: int, say: Say) -> list[str]:
    """A database of ours, not newer than the program, that passes SQLite's own check."""
    if not path.exists():
        say(f"database {path}: not there yet, it is made at the first start")
        return []
    try:
        version = probe(path, application_id=application_id, newest=newest)
    except AerialError as error:
        return [error.detail]
    if faults := integrity(path):
        return [f"database {path}: {fault}" for fault in faults[:10]]
    say(f"database {path}: schema version {version}, integrity ok")
    return []


def raise_file_limit() -> None:
    """Lets this process and its children open as many files as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard and sys.platform == "linux":  # macOS names a hard limit that it does not grant
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
