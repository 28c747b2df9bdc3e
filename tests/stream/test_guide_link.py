"""The link to the guide service: a scripted one keeps what it is sent and says what it has."""

import gzip
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from servicekit.addresses import AddressPolicy
from servicekit.fetch import Fetcher
from stream_service.guide.link import GuideLink
from stream_service.lineups.publish import PublishedFiles
from tests.stream.sourcekit import House, playlist

SECRET = "s" * 40
GUIDE = b'<?xml version="1.0"?><tv><channel id="A"/></tv>'


@dataclass
class GuideService:
    """What a guide service does on the internal paths, and what it was asked."""

    lineups: dict[str, dict[str, object]] = field(default_factory=dict)
    guide: bytes = gzip.compress(GUIDE)
    asked: list[str] = field(default_factory=list)
    broken: bool = False
    importing: list[int] = field(default_factory=list)

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes, str]:
        """Status, body and ETag."""
        self.asked.append(f"{method} {path}")
        name = path.removeprefix("/internal/v1/lineups/").removesuffix("/guide.xml.gz")
        if self.broken:
            return 503, b"", ""
        if headers["Aerial-Internal"] != "1" or headers["Aerial-Secret"] != SECRET:
            return 403, b"", ""
        if path == "/internal/v1/activity":
            return 200, json.dumps({"imports": [{"provider_id": one} for one in self.importing]}).encode(), ""
        if method == "PUT":
            assert (headers["Content-Encoding"], headers["Content-Type"]) == ("gzip", "application/json")
            self.lineups[name] = json.loads(gzip.decompress(body))
            return 202, b"{}", ""
        if name not in self.lineups:
            return 404, b"", ""
        if path.endswith("/guide.xml.gz"):
            tag = f'"{hash(self.guide)}"'
            return (304, b"", tag) if headers.get("If-None-Match") == tag else (200, self.guide, tag)
        said = {"digest": self.lineups[name]["digest"], "matched_at": None, "counts": {}, "more": 1}
        return 200, json.dumps(said).encode(), ""

    @property
    def puts(self) -> int:
        """How many lineups were sent."""
        return sum(line.startswith("PUT") for line in self.asked)


class Handler(BaseHTTPRequestHandler):
    """Hands requests to the service that its server carries."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        return

    def do_GET(self) -> None:
        service: GuideService = self.server.service  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status, answer, tag = service.answer(self.command, self.path, dict(self.headers), body)
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        if tag:
            self.send_header("ETag", tag)
        self.end_headers()
        self.wfile.write(answer)

    do_PUT = do_GET


@pytest.fixture
def service() -> GuideService:
    return GuideService()


@pytest.fixture
def address(service: GuideService) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.service = service  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    made.add(made.put(playlist(["A", "B"])))
    made.refresh()
    made.builder.build()
    yield made
    made.connections.close()


def link(house: House, address: str) -> GuideLink:
    policy = AddressPolicy()
    return GuideLink(
        asking=Fetcher(policy=policy, timeout_s=20),
        epg_url=address,
        secret=SECRET,
        lineups=house.lineups.all,
        files=house.files,
    )


def guide_of(files: PublishedFiles) -> tuple[bytes, bytes]:
    return (
        files.guide("default", packed=False).read_bytes(),
        gzip.decompress(files.guide("default", packed=True).read_bytes()),
    )


def test_a_lineup_is_sent_once_and_its_guide_comes_back(house: House, service: GuideService, address: str) -> None:
    linked = link(house, address)
    assert not linked.reconcile()  # what is made of it is to be fetched soon
    sent = service.lineups["default"]
    assert sent["digest"] == house.lineups.get("default").digest
    assert [one["id"] for one in sent["channels"]] == ["A", "B"]  # type: ignore[attr-defined]
    assert guide_of(house.files) == (GUIDE, GUIDE)
    assert linked.reconcile()
    assert service.puts == 1


def test_a_lineup_that_changed_is_sent_again(house: House, service: GuideService, address: str) -> None:
    linked = link(house, address)
    linked.reconcile()
    house.put(playlist(["A", "B", "C"]))
    house.refresh()
    house.build()
    linked.reconcile()
    assert service.puts == 2
    assert len(service.lineups["default"]["channels"]) == 3  # type: ignore[arg-type]


def test_a_guide_service_that_lost_its_memory_gets_it_again(house: House, service: GuideService, address: str) -> None:
    linked = link(house, address)
    linked.reconcile()
    service.lineups.clear()
    linked.reconcile()
    assert service.puts == 2


def test_a_guide_service_that_is_away_is_no_fault_and_the_copy_stays(
    house: House, service: GuideService, address: str, caplog: pytest.LogCaptureFixture
) -> None:
    linked = link(house, address)
    linked.reconcile()
    service.broken = True
    caplog.clear()
    assert not linked.reconcile()
    assert not linked.reconcile()
    assert [record.levelname for record in caplog.records if record.levelno > 10] == ["WARNING"]
    assert guide_of(house.files) == (GUIDE, GUIDE)
    service.broken = False
    assert linked.reconcile()


def test_nobody_there_is_no_fault_either(house: House) -> None:
    assert not link(house, "http://127.0.0.1:1").reconcile()


def test_a_guide_that_did_not_change_is_not_fetched_again(house: House, service: GuideService, address: str) -> None:
    link(house, address).reconcile()
    written = house.files.guide("default", packed=True).stat().st_mtime_ns
    link(house, address).reconcile()
    assert house.files.guide("default", packed=True).stat().st_mtime_ns == written
    service.guide = gzip.compress(b"<tv></tv>")
    link(house, address).reconcile()
    assert guide_of(house.files) == (b"<tv></tv>", b"<tv></tv>")


def test_a_guide_cut_short_leaves_the_one_before(house: House, service: GuideService, address: str) -> None:
    linked = link(house, address)
    linked.reconcile()
    service.guide = gzip.compress(b"<tv>" + b"x" * 1000 + b"</tv>")[:-8]
    assert not linked.reconcile()
    assert guide_of(house.files) == (GUIDE, GUIDE)


def test_a_lineup_that_was_never_built_is_not_sent(tmp_path: Path, service: GuideService, address: str) -> None:
    house = House(tmp_path)
    assert link(house, address).reconcile()
    assert service.asked == []
    house.connections.close()


def test_a_lineup_that_was_deleted_has_no_channels_there(house: House, service: GuideService, address: str) -> None:
    link(house, address).reconcile()
    link(house, address).forget("default")
    assert service.lineups["default"] == {"digest": "gone", "channels": []}


def test_what_is_imported_there_is_known(house: House, service: GuideService, address: str) -> None:
    service.importing = [3, 4]
    assert link(house, address).importing() == {3, 4}
    service.broken = True
    assert link(house, address).importing() == frozenset()
