"""The guide service's parts put together as wiring does, on a held clock, with guides made to measure."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from epg_service import wiring
from epg_service.config import EpgSection
from epg_service.domain.entities import Listing, Provider, Run
from epg_service.wiring import for_keeper
from servicekit.config import Loaded
from servicekit.files import atomic_write

REPOSITORY = Path(__file__).resolve().parents[2]
NOON = int(datetime(2026, 3, 10, 12, 0, tzinfo=UTC).timestamp())
MIDNIGHT = NOON - 12 * 3600
HOUR, DAY = 3600, 86_400


class HeldClock:
    """Stands still until it is told otherwise; its monotonic side goes on, so that progress is always told."""

    def __init__(self, now_s: int = NOON) -> None:
        self.at = now_s
        self._ticks = 0.0

    def now_s(self) -> int:
        return self.at

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.at, UTC)

    def monotonic(self) -> float:
        self._ticks += 1.0
        return self._ticks


def stamp(epoch_s: int) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).strftime("%Y%m%d%H%M%S +0000")


@dataclass(frozen=True)
class Show:
    """A programme of a made guide."""

    channel: str
    start: int
    stop: int
    title: str
    more: str = ""

    def xml(self) -> str:
        channel = quoteattr(self.channel)
        return (
            f'<programme start="{stamp(self.start)}" stop="{stamp(self.stop)}" channel={channel}>'
            f"<title>{escape(self.title)}</title>{self.more}</programme>"
        )


def hourly(channel: str, start: int, hours: int, word: str = "Show") -> list[Show]:
    """A programme an hour."""
    return [
        Show(channel, at, at + HOUR, f"{word} {channel} {(at // HOUR) % 100_000}")
        for at in range(start, start + hours * HOUR, HOUR)
    ]


def guide_of(shows: Iterable[Show], channels: Mapping[str, str] | None = None, *, end: str = "</tv>") -> bytes:
    """A guide file; `channels`: id -> name, by default those of the shows under their ids."""
    listed = list(shows)
    named = dict.fromkeys(one.channel for one in listed) if channels is None else channels
    head = [
        f"<channel id={quoteattr(id_)}><display-name>{escape(name or id_)}</display-name></channel>"
        for id_, name in named.items()
    ]
    return "\n".join(
        ['<?xml version="1.0" encoding="UTF-8"?>', "<tv>", *head, *(one.xml() for one in listed), end]
    ).encode()


@dataclass
class Station:
    """A guide service without its processes: stores, importer and keeper on one data directory."""

    folder: Path
    settings: Mapping[str, Any] = field(default_factory=dict)
    clock: HeldClock = field(default_factory=HeldClock)
    shared: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.file = self.folder / "config.yaml"
        self.file.write_text(json.dumps({"data_dir": "data", "epg": {**self.settings}, **self.shared}))  # JSON is YAML
        self.config: Loaded[EpgSection] = wiring.configuration(str(self.file), {})
        self.paths = wiring.paths_of(self.config)
        self.paths.import_dir.mkdir(parents=True, exist_ok=True)
        self.it = wiring.stores(self.config, clock=self.clock)
        self.stopping = threading.Event()
        self.importer = for_keeper.importer(self.config, self.it, self.stopping, clock=self.clock)

    def keeper(self) -> Any:
        return for_keeper.keeper(self.config, self.stopping, clock=self.clock)

    def provider(self, name: str = "sample", address: str = "", **values: object) -> Provider:
        return self.it.providers.create({"name": name, "xmltv_url": address or f"{name}.xml", **values})

    def lay(self, data: bytes, name: str = "sample.xml") -> None:
        """Puts a file into the import directory."""
        atomic_write(self.paths.import_dir / name, data)

    def run(self, provider: Provider, *, force: bool = False) -> Run:
        """One import, as the keeper runs it."""
        run = self.it.imports.enqueue(provider.id, reason="manual", force=force)
        assert self.it.imports.start(run.id)
        self.importer.run(run, self.it.providers.get(provider.id))
        return self.it.imports.get(run.id)

    def take(self, data: bytes, provider: Provider | None = None, *, force: bool = False) -> Run:
        """Imports `data` as the file of a provider, by default of the first."""
        chosen = provider or next(iter(self.it.providers.all()), None) or self.provider()
        self.lay(data, chosen.xmltv_url)
        return self.run(chosen, force=force)

    def channel_id(self, name: str) -> int:
        return next(one.id for one in self.it.channels.all() if one.name == name)

    def listings(self, name: str, from_s: int = 0, to_s: int = 1 << 32) -> list[Listing]:
        return self.it.guide.listings(self.channel_id(name), from_s, to_s, with_raw=True)

    def titles(self, name: str, from_s: int = 0, to_s: int = 1 << 32) -> list[str]:
        return [one.title for one in self.listings(name, from_s, to_s)]

    def everything(self) -> dict[str, list[tuple[int, int, int, str, bytes]]]:
        """The whole guide by channel, ids included."""
        return {
            channel.name: [(one.id, one.start_s, one.stop_s, one.title, one.raw) for one in self.listings(channel.name)]
            for channel in self.it.channels.all()
        }

    def close(self) -> None:
        self.it.connections.close()


def lost(run: Run) -> int:
    """The sum of a run's losses."""
    losses: Any = run.report["losses"]
    return sum(int(one["count"]) for one in losses.values())


def sqlite(database: Path, *statements: str) -> list[list[str]]:
    """What the sqlite3 command line tool, another program with a SQLite of its own, reads; rows as texts."""
    done = subprocess.run(
        ["sqlite3", "-readonly", "-list", "-separator", ",", str(database), *statements],
        capture_output=True,
        text=True,
        check=True,
    )
    return [line.split(",") for line in done.stdout.splitlines()]


def python(script: str, *arguments: str, **options: Any) -> "subprocess.Popen[bytes]":
    """A child that runs `script` with the checkout on its path."""
    return subprocess.Popen([sys.executable, "-c", script, *arguments], cwd=REPOSITORY, **options)


def ids(rows: Sequence[tuple[int, int, int, str, bytes]]) -> list[int]:
    return [row[0] for row in rows]
