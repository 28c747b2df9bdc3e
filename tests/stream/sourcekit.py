"""A stream service without its processes: real stores, a clock that is held, and the parts as they are wired."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from servicekit.addresses import AddressPolicy
from servicekit.fetch import Fetcher
from servicekit.store.sqlite import Connections
from stream_service.domain.entities import Run, Source
from stream_service.lineups.guard import Patience
from stream_service.lineups.publish import PublishedFiles
from stream_service.sources.load import Refresher
from stream_service.sources.types import Tools, Ways
from stream_service.store.builds import Builds
from stream_service.store.channels import Channels
from stream_service.store.connection import open_database
from stream_service.store.library import Library
from stream_service.store.library_intake import LibraryIntake
from stream_service.store.lineup_channels import LineupChannels, Page
from stream_service.store.lineups import Lineups
from stream_service.store.lists import Lists
from stream_service.store.manual import ManualChannels
from stream_service.store.runs import Runs
from stream_service.store.sources import Sources
from stream_service.wiring.building import builder
from tvkit.expressions import Helpers

START_S = int(datetime(2026, 11, 21, 12, 0, tzinfo=UTC).timestamp())


class HeldClock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.s = float(START_S)

    def now_s(self) -> int:
        return int(self.s)

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.s, UTC)

    def monotonic(self) -> float:
        return self.s


class Events:
    """Remembers what was told."""

    def __init__(self) -> None:
        self.kinds: list[str] = []
        self.messages: list[str] = []

    def event(self, kind: str, level: str, message: str, **fields: object) -> None:
        self.kinds.append(kind)
        self.messages.append(message)


class House:
    """Everything of the stream service that needs no process, in a directory of its own."""

    def __init__(
        self,
        directory: Path,
        *,
        least_share: float = 0.5,
        max_bytes: int = 1 << 24,
        patience: Patience | None = None,
    ) -> None:
        self.directory = directory
        self.import_dir = directory / "import"
        self.import_dir.mkdir(exist_ok=True)
        self.clock = HeldClock()
        self.events = Events()
        self.connections: Connections = open_database(
            directory / "stream.db", backups=directory / "backups", lock=directory / "migrate.lock"
        )
        self.sources = Sources(self.connections, clock=self.clock)
        self.runs = Runs(self.connections, clock=self.clock)
        self.lists = Lists(self.connections, clock=self.clock)
        self.channels = Channels(self.connections, clock=self.clock)
        self.lineups = Lineups(self.connections, clock=self.clock)
        self.files = PublishedFiles(directory / "published")
        self.titles = LibraryIntake(self.connections, clock=self.clock)
        self.library = Library(self.connections)
        self.typed = ManualChannels(self.connections)
        self.access = Ways(
            Tools(
                fetcher=Fetcher(policy=AddressPolicy(), timeout_s=20),
                import_dir=self.import_dir,
                spool_dir=directory / "work",
                max_bytes=max_bytes,
                clock=self.clock,
                typed_channels=self.typed.of,
            )
        )
        self.refresher = Refresher(
            ways=self.access,
            lists=self.lists,
            titles=self.titles,
            runs=self.runs,
            accounts=self.sources,
            notifier=self.events,
            clock=self.clock,
            least_share=least_share,
        )
        self.lineup_channels = LineupChannels(self.connections, clock=self.clock)
        self.builds = Builds(self.connections, clock=self.clock)
        self.builder = builder(
            connections=self.connections,
            sources=self.sources,
            runs=self.runs,
            files=self.files,
            patience=patience or Patience(enabled=False),
            importing=frozenset,
            clock=self.clock,
            helpers=Helpers(),
            installation="0123456789abcdef",
        )

    def add(self, url: str, *, name: str = "source", **values: object) -> Source:
        """A source."""
        return self.sources.create({"name": name, "type": "m3u", "url": url, **values})

    def refresh(self, source_id: int = 1, *, force: bool = False) -> Run:
        """A manual run, done."""
        run = self.runs.enqueue(source_id, reason="manual", force=force)
        assert self.runs.start(run.id)
        self.refresher.refresh(run, self.sources.get(source_id))
        return self.runs.get(run.id)

    def put(self, text: str | bytes, *, name: str = "list.m3u") -> str:
        """A file in the import directory."""
        (self.import_dir / name).write_bytes(text.encode() if isinstance(text, str) else text)
        return name

    def streams(self) -> dict[str, int]:
        """Name -> permanent id of every visible stream (names must differ)."""
        return {stream.name: stream.stream.id for stream in self.channels.streams()}

    def build(self, lineup: str = "default") -> str:
        """A lineup, built; its digest."""
        return self.builder.build(lineup)

    def numbers(self, lineup: str = "default") -> dict[str, str]:
        """Channel id -> number of what stands in a lineup."""
        return {row.id: row.number for row, _ in self.lineup_channels.page(lineup, Page(), limit=500)}


def playlist(entries: Sequence[Mapping[str, str] | str]) -> str:
    """An M3U of entries: names, or mappings with `name`, `url` and attributes."""
    lines = ["#EXTM3U"]
    for entry in entries:
        told = {"name": entry} if isinstance(entry, str) else dict(entry)
        name = told.pop("name")
        url = told.pop("url", f"http://streams.example/{name.replace(' ', '-')}.ts")
        said = "".join(f' {key}="{value}"' for key, value in told.items())
        lines += [f"#EXTINF:-1{said},{name}", url]
    return "\n".join(lines) + "\n"
