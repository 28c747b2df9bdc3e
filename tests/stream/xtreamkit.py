"""The stream service's face with users, Xtream and library, on real stores, without its processes."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask.testing import FlaskClient

from servicekit.addresses import AddressPolicy
from servicekit.fetch import Fetcher
from servicekit.health import Checks, State
from servicekit.levels import LevelFollower
from servicekit.metrics import Metrics
from servicekit.settings import Settings
from servicekit.web import Door
from stream_service.app import create_app
from stream_service.domain.model import ChannelTarget
from stream_service.library.keeping import library_keeping
from stream_service.library.shelf import Asking
from stream_service.lineups.catalogue import Catalogue
from stream_service.lineups.rendered import RenderedPlaylists
from stream_service.relay.slots import LocalSlots
from stream_service.sources.panel import Panels
from stream_service.wiring.admission import accounts
from stream_service.wiring.for_web import Collaborators
from stream_service.wiring.parts import library_root
from stream_service.wiring.showing import Around, showing
from tests.stream.sourcekit import House, playlist
from tests.stream.test_stream_api import NoRelay, Reading, directly, known_delivery

TOKEN = "t" * 40
PASSWORD = "secret-Pass1"
OUTSIDE = {"REMOTE_ADDR": "203.0.113.9"}
PACKET = b"G" + bytes(187)


@dataclass
class Watcher:
    """Somebody who watches."""

    channel: str
    user: str
    address: str
    agent: str
    priority: int
    number: int


class WatchedRelay(NoRelay):
    """A relay that remembers who watches, and carries one packet to each."""

    def __init__(self) -> None:
        self.slots = LocalSlots()
        self.watchers: list[Watcher] = []
        self._last = 0

    def follow(self, target: ChannelTarget, **more: Any) -> Iterator[bytes]:
        self._last += 1
        self.watchers.append(
            Watcher(target.id, more["user"], more["address"], more["user_agent"], more["priority"], self._last)
        )
        return iter((PACKET,))

    def seats_of(self, user: str) -> list[tuple[int, str, str]]:
        return [(one.number, one.address, one.agent) for one in self.watchers if one.user == user]

    def let_go(self, number: int) -> None:
        self.watchers = [one for one in self.watchers if one.number != number]

    def free_unwatched(self, account: str) -> bool:
        return False


class Hls:
    """An HLS output that says what the relay's says."""

    def playlist(
        self, target: ChannelTarget, *, address: str, user_agent: str = "", user: str = "", lineup: str = ""
    ) -> str:
        return f"#EXTM3U\n#EXTINF:4.0,\n{target.id}/hls/TOKEN/7.ts\n"

    def segment(self, channel_id: str, token: str, number: int, *, address: str = "", user_agent: str = "") -> bytes:
        return PACKET

    def paced(self, data: bytes, *, address: str, user_agent: str = "") -> Iterable[bytes]:
        return (data,)


class Site:
    """The app and what stands behind it; `client` is of this machine."""

    def __init__(self, directory: Path, **door: Any) -> None:
        self.house = house = House(directory)
        self.clock = house.clock
        self.catalogue = Catalogue(house.files.catalogue)
        self.settings = settings = Settings(directory / "settings.json", lock=directory / "settings.lock")
        self.relay = WatchedRelay()
        self.asked: list[str] = []
        self.guide: dict[str, list[dict[str, Any]]] = {}
        fetcher = Fetcher(policy=AddressPolicy(), timeout_s=20)
        self.accounts = accounts(
            house.connections, data_dir=directory, settings=settings, relay=self.relay,
            in_lineup=self.catalogue.in_lineup, known_lineup=house.lineups.get, clock=self.clock,
        )  # fmt: skip
        self.panels = Panels(fetcher=fetcher, spool_dir=directory / "spool", max_bytes=1 << 24, clock=self.clock)
        self.keeping = library_keeping(
            house.library, root=library_root(house.files), strm_dir=None, origin="", clock=self.clock
        )
        self.showing = showing(
            Around(
                files=house.files, catalogue=self.catalogue, hub=self.relay,  # type: ignore[arg-type]
                seats=self.accounts.seats, sources=house.sources, lineups=house.lineups, titles=house.library,
                ask=self._ask, fetcher=fetcher, epg_url="http://127.0.0.1:9", secret="s" * 40, connect_s=5,
                clock=self.clock,
            )
        )  # fmt: skip
        app = create_app(
            door=Door(admin_token=TOKEN, internal_secret="s" * 40, **door),
            collaborators=Collaborators(
                sources=house.sources, runs=house.runs, channels=house.channels, lineups=house.lineups,
                lineup_channels=house.lineup_channels, builds=house.builds, files=house.files,
                playlists=RenderedPlaylists(house.files.rendered), call=directly, ask=self._ask,
                check_address=house.access.check_address, check_delivery=known_delivery,
                check_condition=lambda text: None, target=self.catalogue.get, guide_imported=lambda: None,
                status=lambda: "ok",
            ),
            relay=self.relay,
            checks=Checks(state=State, not_ready=lambda: None),
            metrics=Metrics("aerial_stream", figures=list),
            settings=settings,
            levels=LevelFollower(
                settings=settings, marker=directory / "reload", configured=lambda: "INFO", level="INFO"
            ),
            accounts=self.accounts,
            showing=self.showing,
        )  # fmt: skip
        app.test_client_class = Reading
        self.app = app
        self.client: FlaskClient = app.test_client()

    def _ask(self, kind: str, params: Mapping[str, object]) -> dict[str, Any]:
        """The keeper's errands, here and now."""
        self.asked.append(kind)
        asking = Asking(
            titles=self.house.library,
            intake=self.house.titles,
            provider=self.panels,
            source_of=self.house.sources.get,
        )
        return dict(asking.handlers()[kind](params))

    def load(self, *entries: dict[str, str] | str) -> None:
        """A source with these entries, refreshed, built and followed."""
        name = self.house.put(playlist(entries))
        if not self.house.sources.all():
            self.house.add(name)
        assert self.house.refresh(force=True).status == "success"
        self.build()

    def build(self, *lineups: str) -> None:
        """What the keeper does after a change."""
        for name in lineups or ("default",):
            self.house.build(name)
        self.keeping.look()
        self.catalogue.look()

    def user(self, name: str = "ann", **values: Any) -> dict[str, Any]:
        """A user, over the API."""
        answer = self.client.post("/api/v1/users", json={"name": name, "password": PASSWORD, **values})
        assert answer.status_code == 201, answer.data
        return dict(answer.get_json())

    def xtream(self, action: str = "", **query: object) -> Any:
        """`player_api.php` as ann."""
        said = {"username": "ann", "password": PASSWORD, **({"action": action} if action else {}), **query}
        return self.client.get("/player_api.php", query_string=said)

    def close(self) -> None:
        self.house.connections.close()
