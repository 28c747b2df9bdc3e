"""Trees of `.strm` files for media servers: each holds the address at which we have a film or an episode.

    DIR/Movies/Name (Year)/Name (Year).strm
    DIR/Series/Name (Year)/Season 01/Name (Year) S01E02.strm
    DIR/.aerial-strm.json            what we wrote; nothing else is ever changed or removed

A file appears whole or not at all, is written again only when its address changed, and goes when its title does.
"""

import contextlib
import json
import logging
import re
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from servicekit.errors import Invalid
from servicekit.files import atomic_write
from stream_service.domain.text import clean
from stream_service.domain.titles import StoredEpisode, StoredTitle, TitleKind

WRITTEN = ".aerial-strm.json"
PAGE = 500
MAX_NAME_BYTES = 120
_UNSAFE = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|]+')
_WINDOWS = re.compile(r"^(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?$", re.IGNORECASE)
_YEAR = re.compile(r"\d{4}")
_log = logging.getLogger("library")


class Titles(Protocol):
    """What is asked of the store; see `store.library`."""

    def page(
        self, kind: TitleKind, *, limit: int, after: int = 0, search: str = "", category: str | None = None
    ) -> Sequence[StoredTitle]: ...
    def episodes(self, series_id: int) -> Sequence[StoredEpisode]: ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """How many files there are now, and what was done."""

    files: int
    written: int
    removed: int


class StrmTree:
    """Keeps a tree in step with the library; one of it runs at a time. `origin`: our address, as media servers call
    us."""

    def __init__(self, titles: Titles, *, directory: Path, origin: str) -> None:
        self._titles = titles
        self._directory = directory
        self._origin = origin.rstrip("/")

    def write(self) -> Outcome:
        """Write what is new or changed, remove what is no more; raises `Invalid` for a directory that cannot be one."""
        self._directory.mkdir(parents=True, exist_ok=True)
        root = self._directory.resolve()
        before = _ours(root / WRITTEN)
        now: set[str] = set()
        written = 0
        for path, address in self._files():
            now.add(path)
            written += _put(root, path, address)
        gone = before - now
        # What was written is noted before anything is removed: a stop in between leaves no file of ours unknown.
        atomic_write(root / WRITTEN, json.dumps(sorted(now | gone), ensure_ascii=False, indent=0).encode())
        removed = sum(_remove(root, path) for path in gone)
        atomic_write(root / WRITTEN, json.dumps(sorted(now), ensure_ascii=False, indent=0).encode())
        _log.info("strm: %d files, %d written, %d removed", len(now), written, removed)
        return Outcome(len(now), written, removed)

    def _files(self) -> Iterator[tuple[str, str]]:
        """(path, address) of every file; no two paths are alike, also where case does not count."""
        taken: set[str] = set()
        for one in self._pages("movie"):
            name = _named(one)
            path = _free(f"Movies/{name}/{name}", one.id, taken)
            yield path, f"{self._origin}/vod/movie-{one.id}.{one.title.container or 'mp4'}"
        for one in self._pages("series"):
            name = _named(one)
            for each in self._titles.episodes(one.id):
                season, number = max(each.episode.season, 0), max(each.episode.number, 0)
                stem = f"Series/{name}/Season {season:02d}/{name} S{season:02d}E{number:02d}"
                path = _free(stem, each.id, taken)
                yield path, f"{self._origin}/vod/episode-{each.id}.{each.episode.container or 'mp4'}"

    def _pages(self, kind: TitleKind) -> Iterator[StoredTitle]:
        last = 0
        while page := self._titles.page(kind, limit=PAGE, after=last):
            yield from page
            last = page[-1].id


def safe_name(text: str) -> str:
    """A text as one part of a path, on any system: no separators, no controls, no device, neither dots nor blanks at
    its ends, at most 120 bytes."""
    name = _UNSAFE.sub(" ", clean(text)).strip(" .")
    name = re.sub(r"\s+", " ", name).encode("utf-8", "replace")[:MAX_NAME_BYTES].decode("utf-8", "ignore").strip(" .")
    return f"_{name}" if not name or _WINDOWS.match(name) else name


def _named(one: StoredTitle) -> str:
    name, year = one.title.name, one.title.year[:4]
    if _YEAR.fullmatch(year) and year not in name:
        return f"{safe_name(name)} ({year})"
    return safe_name(name)


def _free(stem: str, ident: int, taken: set[str]) -> str:
    """The path, with the title's number where another title has the same name."""
    path = f"{stem}.strm"
    if path.casefold() in taken:
        path = f"{stem} [{ident}].strm"
    taken.add(path.casefold())
    return path


def _put(root: Path, path: str, address: str) -> bool:
    """Write a file unless it says so already; True when it was written."""
    target, text = root / path, f"{address}\n"
    with contextlib.suppress(FileNotFoundError, UnicodeDecodeError):
        if target.read_text("utf-8") == text:
            return False
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.parent.resolve().is_relative_to(root):
        raise Invalid(f"{target.parent} leads out of the tree: remove the link")
    temporary = target.with_name(f".{secrets.token_hex(6)}.tmp")
    try:
        temporary.write_text(text, "utf-8")
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return True


def _remove(root: Path, path: str) -> bool:
    """Remove a file that we wrote, and the directories that it leaves empty; True when it was there."""
    target = root / path
    if not path.endswith(".strm") or not target.parent.resolve().is_relative_to(root) or not target.exists():
        return False
    target.unlink()
    parent = target.parent
    while parent not in (root, parent.parent):
        try:
            parent.rmdir()
        except OSError:
            break  # something else is in it
        parent = parent.parent
    return True


def _ours(listed: Path) -> set[str]:
    """The paths that we wrote, as far as the list can be read; an unreadable list removes nothing."""
    try:
        found = json.loads(listed.read_text("utf-8"))
    except FileNotFoundError:
        return set()
    except (OSError, ValueError) as error:
        _log.warning("%s cannot be read (%s): files of former titles stay", listed, error)
        return set()
    return {one for one in found if isinstance(one, str)} if isinstance(found, list) else set()
