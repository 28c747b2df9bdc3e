"""What media servers and players ask of a tuner, replayed as they ask it, against the service as it is run.

Plex, Jellyfin, Emby, Channels and Kodi's PVR HDHomeRun: addresses, headers and order are theirs (read in their sources,
seen in their logs); `hdhomerun_config` is the real one.
"""

import io
import json
import os
import re
import shutil
import socket
import subprocess
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection, HTTPResponse
from typing import Any

import pytest
from PIL import Image

from stream_service.outputs.hdhr import valid_device_id
from tests.e2e.running import Answered, Service, ask, free_port
from tests.e2e.test_pair import live_stream
from tests.providerkit import ScriptedProvider
from tests.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

PLEX = {"User-Agent": "PlexMediaServer/1.41.3.9314-a0bfb8370", "Accept": "*/*", "Accept-Encoding": "gzip"}
JELLYFIN = {
    "User-Agent": "Jellyfin-Server/10.11.0",
    "Accept": "application/json; q=1.0, application/xml; q=0.9, */*; q=0.8",
    "Accept-Encoding": "gzip, deflate, br",
}
EMBY = {"User-Agent": "Emby/4.8", "Accept-Encoding": "gzip", "Connection": "Keep-Alive"}
CHANNELS = {"User-Agent": "Go-http-client/1.1", "Accept-Encoding": "gzip"}
KODI = {"User-Agent": "Kodi/20.1 (X11; Linux x86_64) App_Bitness/64 Version/20.1", "Accept": "*/*"}
LAVF = {
    "User-Agent": "Lavf/60.16.100",
    "Accept": "*/*",
    "Range": "bytes=0-",
    "Connection": "close",
    "Icy-MetaData": "1",
}
JELLYFIN_SEARCH = bytes.fromhex("0002000c0104ffffffff0204ffffffff73cc7d8f")
TUNERS = 2
CONTROL_PORT = 65001


class Tuner:
    """The device as a client in the network meets it."""

    def __init__(self, service: Service, address: str, provider: ScriptedProvider) -> None:
        self.service = service
        self.address = address
        self.provider = provider

    def ask(self, path: str, headers: dict[str, str], *, method: str = "GET") -> Answered:
        plain = {name.replace("-", "_"): value for name, value in headers.items() if name != "Accept-Encoding"}
        return ask(method, self.service.url(path), **plain)

    @contextmanager
    def stream(self, url: str, headers: dict[str, str] = LAVF) -> Iterator[HTTPResponse]:
        """A stream, left when the block ends."""
        path = "/" + url.split("/", 3)[3]
        with closing(HTTPConnection("127.0.0.1", self.service.port, timeout=60)) as connection:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            try:
                yield answer
            finally:
                answer.close()

    def sessions(self) -> list[Any]:
        return list(self.service.get("/api/v1/relay/sessions").json["items"])

    def wait_until_quiet(self) -> None:
        until(lambda: not any(one["clients"] for one in self.sessions()), limit_s=60, what="viewers to be gone")


def free_address() -> str:
    """A loopback address on which nobody has HDHomeRun's port; another one in each process that tests."""
    for last in range(2, 250):
        address = f"127.66.{os.getpid() % 250}.{last}"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp, suppress(OSError):
            udp.bind((address, CONTROL_PORT))
            tcp.bind((address, CONTROL_PORT))
            return address
    pytest.skip("no loopback address has port 65001 free")


def logo() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (40, 30), "navy").save(out, "JPEG")
    return out.getvalue()


@pytest.fixture(scope="module")
def tuner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tuner]:
    folder, port, address = tmp_path_factory.mktemp("tuner"), free_port(), free_address()
    (folder / "config.yaml").write_text(
        f"data_dir: data\nstream:\n  server: {{host: 127.0.0.1, port: {port}}}\n"
        f"  discovery: {{hdhomerun: true, address: {address}}}\n"
    )
    with ScriptedProvider() as provider:
        provider.serve("/logo.jpg", logo(), content_type="text/html")
        entries = []
        for number, name in (("1", "One HD"), ("5.1", "Two"), ("7", "Three")):
            provider.script(f"/{number}.ts", live_stream)
            said = f'tvg-id="{name}" tvg-chno="{number}" tvg-logo="{provider.url("/logo.jpg")}"'
            entries.append(f"#EXTINF:-1 {said},{name}\n{provider.url(f'/{number}.ts')}\n")
        provider.serve("/list.m3u", ("#EXTM3U\n" + "".join(entries)).encode())
        service = Service("stream_service", folder, port)
        try:
            service.wait_until_ready()
            source = {"name": "list", "type": "m3u", "url": provider.url("/list.m3u"), "connection_limit": TUNERS}
            assert service.post("/api/v1/sources", source).status == 201
            service.post("/api/v1/sources/1/refresh")
            until(lambda: len(lineup(service)) == 3, limit_s=60, what="the lineup")
            yield Tuner(service, address, provider)
        finally:
            service.end()


def lineup(service: Service) -> list[Any]:
    answer = service.get("/lineup.json")
    return list(answer.json) if answer.status == 200 else []


def plays(answer: HTTPResponse) -> bool:
    """Whether a clean transport stream comes, from a keyframe on."""
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "video/mp2t"
    assert answer.headers["Content-Length"] is None
    data = answer.read(188 * 300)
    return len(data) == 188 * 300 and all(data[at] == 0x47 for at in range(0, len(data), 188))


def test_plex_adds_the_device_scans_and_records(tuner: Tuner) -> None:
    for _ in range(2):
        device = tuner.ask("/discover.json", PLEX).json
        status = tuner.ask("/lineup_status.json", PLEX).json
    assert valid_device_id(device["DeviceID"])
    assert device["TunerCount"] == TUNERS
    assert status["ScanPossible"] == 1
    assert tuner.ask("/lineup.post?scan=start&source=Cable", PLEX, method="POST").status == 200
    status = tuner.ask("/lineup_status.json", PLEX).json
    assert status["ScanInProgress"] == 1
    assert 0 <= status["Progress"] < 100
    until(lambda: tuner.ask("/lineup_status.json", PLEX).json["ScanInProgress"] == 0, limit_s=60, what="the scan's end")
    rows = tuner.ask("/lineup.json", PLEX).json
    assert [row["GuideNumber"] for row in rows] == ["1", "5.1", "7"]
    root = ET.fromstring(tuner.ask("/device.xml", PLEX).text)
    assert device["DeviceID"] in ET.tostring(root, "unicode")
    with tuner.stream(rows[0]["URL"]) as answer:
        assert re.fullmatch(r"tuner\d", answer.headers["X-HDHomeRun-Resource"])
        assert plays(answer)
    tuner.wait_until_quiet()


def test_jellyfin_finds_it_by_its_packet_and_plays_from_the_address_of_the_reply(tuner: Tuner) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(30)
        sock.sendto(JELLYFIN_SEARCH, (tuner.address, CONTROL_PORT))
        reply = sock.recv(8192)
    assert len(reply) > 13
    assert reply[1] == 3  # all that it looks at; the address is the packet's own
    device = tuner.ask("/discover.json", JELLYFIN).json
    texts = ("FriendlyName", "ModelNumber", "FirmwareName", "FirmwareVersion", "DeviceID", "DeviceAuth", "BaseURL")
    assert all(isinstance(device[name], str) for name in texts)
    rows = tuner.ask("/lineup.json", JELLYFIN).json
    assert all(isinstance(row[name], str) for row in rows for name in ("GuideNumber", "GuideName", "URL"))
    assert all("_" not in row["GuideNumber"] for row in rows)
    with tuner.stream(rows[1]["URL"], JELLYFIN) as answer:
        assert plays(answer)
    tuner.wait_until_quiet()


@pytest.mark.parametrize("headers", [EMBY, CHANNELS], ids=["Emby", "Channels"])
def test_who_puts_a_transcode_behind_the_address_gets_the_stream(tuner: Tuner, headers: dict[str, str]) -> None:
    tuner.ask("/discover.json", headers)
    body = tuner.ask("/lineup.json", headers).text
    assert "\\/" not in body
    url = json.loads(body)[0]["URL"]
    assert "?" not in url
    with tuner.stream(url + "?transcode=none", headers) as answer:
        assert plays(answer)
    tuner.wait_until_quiet()


def test_kodi_opens_a_channel_three_times_and_watches_the_last(tuner: Tuner) -> None:
    url = tuner.ask("/lineup.json", KODI).json[2]["URL"]
    before = tuner.provider.count("/7.ts")
    held = [tuner.stream(url, KODI) for _ in range(2)]
    for one in held:
        with one as answer:
            assert answer.status == 200
            time.sleep(0.01)  # it leaves after some milliseconds
    with tuner.stream(url, KODI) as answer:
        assert plays(answer)
        assert tuner.provider.count("/7.ts") == before + 1
    tuner.wait_until_quiet()


def test_a_zapping_viewer_never_runs_out_of_tuners(tuner: Tuner) -> None:
    urls = [row["URL"] for row in tuner.ask("/lineup.json", PLEX).json]
    with tuner.stream(urls[0]) as other:
        assert plays(other)
        for n in range(6):
            with tuner.stream(urls[n % 2]) as answer:
                assert answer.status == 200, answer.read()
    tuner.wait_until_quiet()


def test_one_viewer_too_many_is_told_so_in_the_words_of_the_device(tuner: Tuner) -> None:
    url = tuner.ask("/lineup.json", PLEX).json[0]["URL"]
    with tuner.stream(url) as one, tuner.stream(url) as two, tuner.stream(url) as refused:
        assert (one.status, two.status) == (200, 200)
        assert {one.headers["X-HDHomeRun-Resource"], two.headers["X-HDHomeRun-Resource"]} == {"tuner0", "tuner1"}
        assert refused.status == 503
        assert refused.headers["X-HDHomeRun-Error"] == "805 All Tuners In Use"
        named = tuner.ask("/tuner1/v1", PLEX)
        assert (named.status, named.headers["X-HDHomeRun-Error"]) == (503, "804 Tuner In Use")
    tuner.wait_until_quiet()


def test_head_opens_nothing(tuner: Tuner) -> None:
    before = tuner.provider.count("/1.ts")
    answer = tuner.ask("/auto/v1", LAVF, method="HEAD")
    assert answer.status == 200
    assert tuner.provider.count("/1.ts") == before


@pytest.mark.skipif(shutil.which("hdhomerun_config") is None, reason="hdhomerun_config is not installed")
def test_hdhomerun_config_discovers_it(tuner: Tuner) -> None:
    device = tuner.ask("/discover.json", PLEX).json["DeviceID"]

    def found() -> bool:
        done = subprocess.run(
            ["hdhomerun_config", "discover", tuner.address], capture_output=True, text=True, timeout=60
        )
        return done.stdout.strip() == f"hdhomerun device {device} found at {tuner.address}"

    until(found, limit_s=60, what="the device to be found")


def test_the_logo_is_ours_after_a_moment_and_then_stays(tuner: Tuner) -> None:
    def logos() -> list[str]:
        return re.findall(r'tvg-name="One HD".*? tvg-logo="([^"]*)"', tuner.service.get("/playlist.m3u").text)

    until(lambda: "/logos/" in logos()[0], limit_s=60, what="our logo")
    address = logos()[0]
    answer = ask("GET", address)
    assert answer.headers["Content-Type"] == "image/png"
    assert "immutable" in answer.headers["Cache-Control"]
    assert ask("GET", address, If_None_Match=answer.headers["ETag"]).status == 304
    with Image.open(io.BytesIO(answer.body)) as picture:
        assert picture.size == (40, 30)


def test_an_uploaded_logo_is_drawn_by_the_keeper(tuner: Tuner) -> None:
    url = tuner.service.url("/api/v1/logos?name=My+News")
    with closing(HTTPConnection("127.0.0.1", tuner.service.port, timeout=60)) as connection:
        connection.request("POST", url, logo(), {"Content-Type": "image/jpeg"})
        answer = connection.getresponse()
        made = json.loads(answer.read())
    assert (answer.status, made["id"], made["helper"]) == (201, "my-news", "@logo:my-news")
    assert ask("GET", made["address"]).body.startswith(b"\x89PNG")
    override = {"logo": "@logo:my-news"}
    assert ask("PUT", tuner.service.url("/api/v1/lineups/default/channels/Two"), override).status == 200
    listed = tuner.service.get("/api/v1/logos").json["items"]
    assert [one["id"] for one in listed] == ["my-news"]
    assert ask("DELETE", tuner.service.url("/api/v1/logos/my-news")).status == 204
    with closing(HTTPConnection("127.0.0.1", tuner.service.port, timeout=60)) as connection:
        connection.request("POST", url, b"<html>", {"Content-Type": "image/png"})
        assert connection.getresponse().status == 400
