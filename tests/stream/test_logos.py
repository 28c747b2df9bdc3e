"""Logos: what is drawn and what refused, how they are fetched, kept, put on channels, uploaded."""

import gzip
import io
import json
import os
import socket
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from PIL import Image

from servicekit.addresses import AddressPolicy
from servicekit.clock import SystemClock
from servicekit.errors import Invalid, NotFound
from servicekit.fetch import Fetcher
from stream_service.domain.logos import Known
from stream_service.domain.model import LineupChannel, StreamAddress
from stream_service.logos import initials
from stream_service.logos.address import host_of, id_of
from stream_service.logos.drawing import MOST_BYTES, Drawing
from stream_service.logos.dressing import Dressing, Wishes
from stream_service.logos.fetching import HOST_FAILURES, Fetching
from stream_service.logos.shelf import KEPT_S, Shelf
from stream_service.logos.uploads import Uploads
from stream_service.store.connection import open_database
from stream_service.store.logos import Logos

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 20 10"><rect width="20" height="10" fill="red"/></svg>'
XLINK = b'<svg xmlns="http://www.w3.org/2000/svg" xmlns:x="http://www.w3.org/1999/xlink">%s</svg>'


def picture(kind: str = "PNG", size: tuple[int, int] = (60, 40), colour: str = "navy") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, kind)
    return out.getvalue()


@pytest.fixture(scope="module")
def drawing() -> Iterator[Drawing]:
    made = Drawing()
    yield made
    made.close()


class TestDrawing:
    @pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "ICO"])
    def test_pictures_of_every_kind_become_pngs(self, drawing: Drawing, kind: str) -> None:
        made = drawing.redraw(picture(kind, size=(48, 32)))
        with Image.open(io.BytesIO(made.png)) as opened:
            assert opened.format == "PNG"
            assert opened.size == (made.width, made.height)
            assert opened.size == ((32, 21) if kind == "ICO" else (48, 32))  # an icon holds fixed sizes

    def test_large_ones_are_made_small_and_keep_their_form(self, drawing: Drawing) -> None:
        made = drawing.redraw(picture(size=(2000, 1000)))
        assert (made.width, made.height) == (512, 256)

    def test_what_a_file_carries_beside_the_picture_is_left_behind(self, drawing: Drawing) -> None:
        out = io.BytesIO()
        exif = Image.Exif()
        exif[0x010E] = "S3CR3T-comment"
        Image.new("RGB", (30, 30), "teal").save(out, "JPEG", exif=exif.tobytes(), comment=b"S3CR3T-comment")
        assert b"S3CR3T" in out.getvalue()
        assert b"S3CR3T" not in drawing.redraw(out.getvalue()).png

    def test_the_same_picture_is_the_same_bytes(self, drawing: Drawing) -> None:
        first = drawing.redraw(picture()).png
        assert drawing.redraw(picture()).png == first
        assert drawing.redraw(first).png == first

    def test_an_svg_is_drawn(self, drawing: Drawing) -> None:
        made = drawing.redraw(b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- a logo -->" + SVG)
        assert (made.width, made.height) == (400, 200)

    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(b"", id="nothing"),
            pytest.param(b"<!DOCTYPE html><title>Sign in</title>", id="a page"),
            pytest.param(b"GIF89a<script>alert(1)</script>", id="a script that says it is a GIF"),
            pytest.param(b"\x89PNG\r\n\x1a\n" + os.urandom(500), id="noise"),
            pytest.param(picture("JPEG", size=(300, 300))[:400], id="half a picture"),
            pytest.param(b"%PDF-1.4", id="a document"),
            pytest.param(b"\0" * (MOST_BYTES + 1), id="too many bytes"),
            pytest.param(XLINK % b'<image x:href="file:///etc/passwd"/>', id="an SVG with a picture"),
            pytest.param(XLINK % b'<use x:href="http://192.0.2.1/a.svg#b"/>', id="an SVG with an address"),
            pytest.param(XLINK % b"<rect style=\"fill: url( 'http://h/')\"/>", id="an SVG with an address in a style"),
            pytest.param(XLINK % b"<style>@import 'http://h/a.css';</style>", id="an SVG with an import"),
            pytest.param(
                XLINK % b"<filter id='a'><feGaussianBlur stdDeviation='500'/></filter>", id="an SVG with a filter"
            ),
            pytest.param(XLINK % b"<script>1</script>", id="an SVG with a script"),
            pytest.param(b'<!DOCTYPE svg [<!ENTITY a "b">]><svg>&a;</svg>', id="an SVG with entities"),
            pytest.param(XLINK % (b"<g>" * 100 + b"</g>" * 100), id="a deep SVG"),
            pytest.param(b"<svg><rect></svg>", id="an SVG that is none"),
            pytest.param(b"<?xml version='1.0'?><tv></tv>", id="other XML"),
        ],
    )
    def test_what_is_no_harmless_picture_is_refused_with_a_reason(self, drawing: Drawing, data: bytes) -> None:
        with pytest.raises(Invalid) as refused:
            drawing.redraw(data)
        assert len(refused.value.detail) > 10

    def test_a_picture_with_too_many_pixels_is_refused_before_it_is_unpacked(self, drawing: Drawing) -> None:
        out = io.BytesIO()
        Image.new("1", (20_000, 20_000)).save(out, "PNG")
        assert len(out.getvalue()) < 60_000
        with pytest.raises(Invalid, match="pixels"):
            drawing.redraw(out.getvalue())

    def test_elements_that_multiply_end_in_the_limits(self, drawing: Drawing) -> None:
        levels = b"".join(
            b'<g id="a%d">' % level + b'<use x:href="#a%d"/>' % (level - 1) * 10 + b"</g>" for level in range(1, 9)
        )
        with pytest.raises(Invalid):
            drawing.redraw(XLINK % (b'<g id="a0"><circle r="3"/></g>' + levels))

    def test_a_child_that_died_is_replaced(self, drawing: Drawing) -> None:
        drawing.redraw(picture())
        child = drawing._child
        assert child is not None
        child._process.kill()
        child._process.wait()
        with pytest.raises(Invalid):
            drawing.redraw(picture())
        assert drawing.redraw(picture()).width == 60

    def test_a_name_is_drawn_as_its_initials(self, drawing: Drawing) -> None:
        made = drawing.initials(initials.picture_of("Harbour News"))
        with Image.open(io.BytesIO(made.png)) as opened:
            assert opened.size == (256, 256)
            assert len(opened.convert("RGBA").getcolors(100_000) or []) > 2


@pytest.mark.parametrize(
    ("name", "letters"),
    [
        ("Harbour News HD", "HN"), ("BBC One", "BBC"), ("Arte", "ART"), ("Das Erste (DE) [FHD]", "DE"), ("3sat", "3SA"),
        ("Первый канал", "PK"), ("A Very Long Name", "AVL"), ("日本放送", None), ("HD", "HD"), ("★ ★", ""), ("", ""),
    ],
)  # fmt: skip
def test_the_initials_of_a_name(name: str, letters: str | None) -> None:
    found = initials.picture_of(name)
    assert letters is None or found.partition("-")[0] == letters
    assert not found or initials.NAME.fullmatch(found)
    assert found == initials.picture_of(name)


def test_ids_of_uploads_are_made_of_names_and_are_never_given_twice() -> None:
    taken: set[str] = set()
    for wanted in ("bbc-one", "bbc-one-2", "logo", "addresses-2", "logo-2"):
        name = {"bbc-one": "BBC One!", "bbc-one-2": "bbc one", "addresses-2": "Addresses"}.get(wanted, "???")
        taken.add(ident := id_of(name, taken))
        assert ident == wanted


# ---- on channels -----------------------------------------------------------------------------------------------------

CHANNEL = LineupChannel("news", "1", "Harbour News", logo="http://h.example/news.png")


@dataclass
class Memory:
    addresses: list[Known] = field(default_factory=list)
    wanted: list[tuple[str, str, bool]] = field(default_factory=list)

    def all(self) -> list[object]:
        return []

    def known(self) -> list[Known]:
        return self.addresses

    def want(self, addresses: object) -> None:
        self.wanted = list(addresses)  # type: ignore[call-overload]


def dressing(memory: Memory, wishes: Wishes | None = None, public_url: str = "") -> Dressing:
    return Dressing(memory, wishes=lambda: wishes or Wishes(), now_s=lambda: 1_000_000, public_url=public_url)  # type: ignore[arg-type]


class TestOnChannels:
    def test_an_address_without_a_picture_stays_and_is_noted(self) -> None:
        memory = Memory()
        assert dressing(memory).dress([CHANNEL, CHANNEL]) == [CHANNEL, CHANNEL]
        assert memory.wanted == [("http://h.example/news.png", "h.example", False)]

    def test_an_address_with_a_picture_becomes_ours(self) -> None:
        memory = Memory([Known(CHANNEL.logo, "ab" * 16, False, False, 1_000_000)])
        (dressed,) = dressing(memory).dress([CHANNEL])
        assert dressed.logo == f"/logos/{'ab' * 16}.png"
        assert dressed.guide_logo == CHANNEL.logo
        assert memory.wanted == []
        (outside,) = dressing(memory, public_url="https://tv.example").dress([CHANNEL])
        assert outside.guide_logo == f"https://tv.example/logos/{'ab' * 16}.png"

    @pytest.mark.parametrize("logo", ["", "http://h.example/news.png"], ids=["none", "gone"])
    def test_initials_stand_where_there_is_no_picture(self, logo: str) -> None:
        memory = Memory([Known("http://h.example/news.png", "", True, False, 1_000_000)])
        worker = dressing(memory)
        (dressed,) = worker.dress([replace(CHANNEL, logo=logo)])
        name = initials.picture_of("Harbour News")
        assert dressed.logo == f"/logos/{name}.png"
        assert dressed.guide_logo == logo
        assert worker.drawn() == {name}
        plain = dressing(memory, Wishes(initials=False)).dress([replace(CHANNEL, logo=logo)])
        assert plain[0].logo == logo

    def test_switched_off_nothing_changes_and_nothing_is_noted(self) -> None:
        memory = Memory([Known(CHANNEL.logo, "ab" * 16, False, False, 0)])
        bare = replace(CHANNEL, logo="")
        assert dressing(memory, Wishes(cache=False)).dress([CHANNEL, bare]) == [CHANNEL, bare]
        assert memory.wanted == []

    @pytest.mark.parametrize(
        "logo", ["ftp://h/a.png", "data:image/png;base64,AAAA", "logo.png", "http://h/" + "a" * 3000]
    )
    def test_what_cannot_be_fetched_stays_as_it_is(self, logo: str) -> None:
        memory = Memory()
        assert dressing(memory).dress([replace(CHANNEL, logo=logo)])[0].logo == logo
        assert memory.wanted == []

    def test_a_lineup_can_keep_the_providers_logos_and_still_name_uploads(self) -> None:
        memory = Memory([Known(CHANNEL.logo, "ab" * 16, False, False, 0)])
        dressed = dressing(memory).dress([CHANNEL, replace(CHANNEL, logo="@logo:nobody")], cached=False)
        assert dressed == [CHANNEL, replace(CHANNEL, logo="")]

    def test_a_private_address_may_be_fetched_for_a_private_source_only(self) -> None:
        memory = Memory([Known(CHANNEL.logo, "", False, False, 1_000_000)])
        stream = StreamAddress(1, 1, "http://h/", private_ok=True)
        dressing(memory).dress([CHANNEL, replace(CHANNEL, streams=(stream,))])
        assert memory.wanted == [("http://h.example/news.png", "h.example", True)]


# ---- fetched ---------------------------------------------------------------------------------------------------------


class Site:
    """A web server with pictures; what it answers is scripted by path."""

    def __init__(self) -> None:
        self.pages: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.asked: list[str] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked.append(self.path)
                status, headers, body = site.pages.get(self.path, (404, {}, b"gone"))
                if headers.get("ETag") and self.headers.get("If-None-Match") == headers["ETag"]:
                    status, body = 304, b""
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()
        self.base = f"http://127.0.0.1:{self.server.server_address[1]}"

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


class Moving(SystemClock):
    """The system's clock, some seconds ahead."""

    def __init__(self) -> None:
        self.ahead_s = 0

    def now_s(self) -> int:
        return super().now_s() + self.ahead_s


@dataclass
class Room:
    site: Site
    store: Logos
    shelf: Shelf
    drawing: Drawing
    clock: Moving
    changes: list[int] = field(default_factory=list)
    wanted: set[str] = field(default_factory=set)
    policy: AddressPolicy = field(default_factory=AddressPolicy)

    def __post_init__(self) -> None:
        self.fetching = Fetching(
            store=self.store, shelf=self.shelf, drawing=self.drawing, open_address=Fetcher(policy=self.policy).open,
            wanted=lambda: self.wanted, changed=lambda: self.changes.append(1), clock=self.clock,
        )  # fmt: skip

    def want(self, *urls: str, private: bool = True) -> None:
        self.store.want([(url, host_of(url), private) for url in urls])

    def known(self, url: str) -> Known:
        return next(one for one in self.store.known() if one.url == url)


@pytest.fixture
def room(tmp_path: Path, drawing: Drawing) -> Iterator[Room]:
    clock, site = Moving(), Site()
    connections = open_database(tmp_path / "stream.db", backups=tmp_path, lock=tmp_path / "lock")
    yield Room(site, Logos(connections, clock=clock), Shelf(tmp_path / "logos"), drawing, clock)
    connections.close()
    site.close()


def exists(room: Room, picture: str) -> bool:
    path = room.shelf.path(picture)
    return path is not None and path.exists()


class TestFetching:
    def test_pictures_come_and_lineups_are_built_again_once(self, room: Room) -> None:
        room.site.pages = {f"/{n}.png": (200, {}, picture(colour=c)) for n, c in enumerate(("red", "blue", "red"))}
        room.want(*(f"{room.site.base}/{n}.png" for n in range(3)))
        assert room.fetching.turn() == 3
        names = [room.known(f"{room.site.base}/{n}.png").picture for n in range(3)]
        assert names[0] == names[2] != names[1]
        assert all(exists(room, name) for name in names)
        assert room.changes == [1]
        assert room.fetching.turn() == 0
        assert room.changes == [1]

    @pytest.mark.parametrize(
        ("page", "gone"),
        [
            pytest.param((404, {}, b""), True, id="not found"),
            pytest.param((200, {"Content-Type": "image/png"}, b"<html>Sign in"), True, id="a page that says image/png"),
            pytest.param((200, {}, b"\x89PNG\r\n\x1a\n" + b"x" * (MOST_BYTES + 1)), None, id="too large"),
            pytest.param((503, {}, b""), False, id="a server in trouble"),
            pytest.param((429, {"Retry-After": "900"}, b""), False, id="asked too often"),
        ],
    )
    def test_what_does_not_come_is_noted_and_asked_for_later(
        self, room: Room, page: tuple[int, dict[str, str], bytes], gone: bool | None
    ) -> None:
        url = f"{room.site.base}/a.png"
        room.site.pages["/a.png"] = page
        room.want(url)
        assert room.fetching.turn() == int(gone is True)
        assert gone is None or room.known(url).gone is gone
        (row,) = room.store.addresses(limit=5, start=0, failed=True)
        assert row.failures == 1
        assert row.reason
        assert row.due_at >= room.clock.now_s() + 590
        assert room.fetching.turn() == 0
        assert room.site.asked == ["/a.png"]

    def test_a_picture_that_is_there_is_asked_for_again_after_a_week_by_its_tag(self, room: Room) -> None:
        url = f"{room.site.base}/a.png"
        room.site.pages["/a.png"] = (200, {"ETag": '"1"'}, picture(colour="red"))
        room.want(url)
        room.fetching.turn()
        before = room.known(url).picture
        room.clock.ahead_s = 8 * 86_400
        assert room.fetching.turn() == 0
        assert room.known(url).picture == before
        room.site.pages["/a.png"] = (200, {"ETag": '"2"'}, picture(colour="blue"))
        room.clock.ahead_s = 16 * 86_400
        assert room.fetching.turn() == 1
        assert room.known(url).picture not in ("", before)
        room.site.pages.clear()
        room.clock.ahead_s = 24 * 86_400
        assert room.fetching.turn() == 0
        assert room.known(url).picture

    def test_what_did_not_come_can_be_asked_for_again_at_once(self, room: Room) -> None:
        room.want(f"{room.site.base}/a.png")
        room.fetching.turn()
        assert room.store.counts() == {"uploaded": 0, "addresses": 1, "cached": 0, "failed": 1}
        room.site.pages["/a.png"] = (200, {}, picture())
        assert room.store.retry() == 1
        assert room.store.retry() == 0
        assert room.fetching.turn() == 1
        assert room.store.counts() == {"uploaded": 0, "addresses": 1, "cached": 1, "failed": 0}

    def test_a_packed_picture_is_unpacked(self, room: Room) -> None:
        room.site.pages = {
            "/a.svgz": (200, {}, gzip.compress(SVG)),
            "/bomb": (200, {}, zlib.compress(b"\x89PNG" + b"\0" * (MOST_BYTES + 9), wbits=31)),
        }
        room.want(f"{room.site.base}/a.svgz", f"{room.site.base}/bomb")
        room.fetching.turn()
        assert room.known(f"{room.site.base}/a.svgz").picture
        assert not room.known(f"{room.site.base}/bomb").picture

    def test_an_address_of_the_home_that_a_public_list_names_is_not_asked(self, room: Room) -> None:
        url = f"{room.site.base}/a.png"
        room.site.pages["/a.png"] = (200, {}, picture())
        room.want(url, private=False)
        room.fetching.turn()
        assert room.site.asked == []
        assert room.known(url).gone

    def test_a_host_that_does_not_answer_costs_the_others_nothing(self, room: Room) -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.2", 0))
            closed = f"http://127.0.0.2:{listener.getsockname()[1]}"
            room.want(*(f"{closed}/{n}.png" for n in range(50)))
            room.site.pages["/a.png"] = (200, {}, picture())
            room.want(f"{room.site.base}/a.png")
            room.fetching.turn()
        assert room.known(f"{room.site.base}/a.png").picture
        failed = room.store.addresses(limit=100, start=0, failed=True)
        assert HOST_FAILURES <= len(failed) <= HOST_FAILURES + 2
        assert room.store.due(limit=100) == []  # all of that host rest

    def test_initials_are_drawn_once(self, room: Room) -> None:
        room.wanted = {"HN-3"}
        room.fetching.turn()
        path = room.shelf.path("HN-3")
        assert path is not None
        before = path.stat().st_mtime_ns
        room.fetching.turn()
        assert path.stat().st_mtime_ns == before

    def test_what_nothing_leads_to_is_swept_after_a_day(self, room: Room) -> None:
        room.site.pages["/a.png"] = (200, {}, picture())
        room.want(f"{room.site.base}/a.png")
        room.fetching.turn()
        kept = room.known(f"{room.site.base}/a.png").picture
        orphan = room.shelf.keep(b"\x89PNG not used by anyone")
        room.fetching.sweep()
        assert exists(room, orphan)
        for path in room.shelf._root.rglob("*.png"):
            os.utime(path, (1, 1))
        room.fetching.sweep()
        assert not exists(room, orphan)
        assert exists(room, kept)
        room.clock.ahead_s = 40 * 86_400
        room.fetching.sweep()
        assert room.store.known() == []
        assert KEPT_S == 86_400


# ---- uploads ---------------------------------------------------------------------------------------------------------


class TestUploads:
    def uploads(self, room: Room) -> Uploads:
        return Uploads(store=room.store, shelf=room.shelf, drawing=room.drawing, changed=lambda: room.changes.append(1))

    def test_an_upload_is_kept_replaced_and_deleted(self, room: Room) -> None:
        uploads = self.uploads(room)
        made = uploads.take({"upload": room.shelf.leave(picture(colour="red")), "name": "Harbour News", "id": ""})
        first = room.store.get(str(made["id"]))
        assert (first.id, first.name, first.width) == ("harbour-news", "Harbour News", 60)
        uploads.take({"upload": room.shelf.leave(picture(colour="blue")), "name": "", "id": "harbour-news"})
        second = room.store.get("harbour-news")
        assert second.name == first.name
        assert second.picture != first.picture
        assert room.changes == [1, 1]
        room.store.delete("harbour-news")
        with pytest.raises(NotFound):
            room.store.get("harbour-news")

    def test_what_is_no_picture_leaves_nothing_behind(self, room: Room) -> None:
        word = room.shelf.leave(b"no picture at all")
        with pytest.raises(Invalid):
            self.uploads(room).take({"upload": word, "name": "x", "id": ""})
        assert room.store.all() == []
        assert list((room.shelf._root / "incoming").iterdir()) == []

    @pytest.mark.parametrize("word", ["../../etc/passwd", "", "a" * 32])
    def test_only_what_was_put_down_can_be_taken(self, room: Room, word: str) -> None:
        with pytest.raises(Invalid):
            room.shelf.fetch(word)

    def test_the_helper_puts_an_upload_on_a_channel(self, room: Room) -> None:
        self.uploads(room).take({"upload": room.shelf.leave(picture()), "name": "News", "id": ""})
        stage = Dressing(room.store, wishes=Wishes, now_s=room.clock.now_s)
        dressed = stage.dress([replace(CHANNEL, logo="@logo:news"), replace(CHANNEL, logo="@logo:nobody")])
        assert dressed[0].logo == f"/logos/{room.store.get('news').picture}.png"
        assert dressed[1].logo == f"/logos/{initials.picture_of(CHANNEL.name)}.png"


@pytest.mark.parametrize("name", ["..", "../a", "A" * 40, "ab" * 15, "AB" * 16, "HN-g", "H N-3", "ABCD-1"])
def test_a_name_that_is_none_stands_nowhere(tmp_path: Path, name: str) -> None:
    assert Shelf(tmp_path).path(name) is None


def test_a_reason_fits_into_an_answer(room: Room) -> None:
    room.want(f"{room.site.base}/" + "a" * 1500)
    room.fetching.turn()
    (row,) = room.store.addresses(limit=5, start=0, failed=True)
    assert len(json.dumps(row.reason)) < 600
