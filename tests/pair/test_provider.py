"""The demo's provider: guide, playlist, logos and pictures over real HTTP."""

import gzip
import http.client
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest

from pair import alive, logos, sample
from pair.provider import Provider
from tests.programs import needs
from tvkit.mpegts_loop import PACKET_BYTES

NOW = datetime(2026, 11, 21, 20, 15, tzinfo=UTC)
DTD = Path("/usr/share/sgml/xmltv/dtd/0.5/xmltv.dtd")


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider("127.0.0.1", 0, now=lambda: NOW) as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield made
        made.shutdown()
        thread.join(10)


@contextmanager
def answer_of(provider: Provider, path: str, method: str = "GET", **headers: str) -> Iterator[http.client.HTTPResponse]:
    connection = http.client.HTTPConnection("127.0.0.1", provider.server_address[1], timeout=20)
    try:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        yield connection.getresponse()
    finally:
        connection.close()


def body_of(provider: Provider, path: str) -> bytes:
    with answer_of(provider, path) as answer:
        assert answer.status == 200
        return answer.read()


def test_the_playlist_names_guide_logos_and_streams_that_all_answer(provider: Provider) -> None:
    text = body_of(provider, "/playlist.m3u").decode()
    addresses = re.findall(rf"{re.escape(provider.address)}(/[^\s\"]+)", text)
    assert len(addresses) == 1 + 2 * len(sample.CHANNELS)
    for path in addresses:
        with answer_of(provider, path, "HEAD") as answer:
            assert answer.status == 200, path


def test_every_channel_of_the_playlist_has_programmes_now_and_in_three_days(provider: Provider) -> None:
    tree = ElementTree.fromstring(body_of(provider, "/guide.xml"))
    ids = re.findall(r'tvg-id="([^"]+)"', body_of(provider, "/playlist.m3u").decode())
    assert ids == [channel.get("id") for channel in tree.iter("channel")]
    for wanted in (NOW, NOW + timedelta(days=3)):
        stamp = f"{wanted:%Y%m%d%H%M%S} +0000"
        on_air = [p for p in tree.iter("programme") if p.get("start", "") <= stamp < p.get("stop", "")]
        assert [programme.get("channel") for programme in on_air] == ids


def test_the_sample_guide_is_valid_xmltv(provider: Provider, tmp_path: Path) -> None:
    needs("xmllint", "tv_validate_file")
    file = tmp_path / "guide.xml"
    file.write_bytes(body_of(provider, "/guide.xml"))
    subprocess.run(["tv_validate_file", "--dtd-file", DTD, file], check=True, timeout=60)
    # The DTD's place is given, so the DOCTYPE's own (which is not here) must not be looked for.
    file.write_text(file.read_text().replace('<!DOCTYPE tv SYSTEM "xmltv.dtd">\n', ""))
    subprocess.run(["xmllint", "--noout", "--nonet", "--dtdvalid", DTD, file], check=True, timeout=60)


@pytest.mark.parametrize("channel", sample.CHANNELS, ids=lambda channel: channel.name)
def test_programmes_follow_each_other_without_gap_or_overlap(channel: sample.Channel) -> None:
    shown = list(sample.broadcasts(channel, NOW))
    assert all(before.stop == after.start for before, after in pairwise(shown))
    assert shown[0].start == datetime(2026, 11, 20, tzinfo=UTC)
    assert shown[-1].stop == datetime(2026, 11, 25, tzinfo=UTC)
    assert all(one.start < one.stop for one in shown)


def test_the_packed_guide_is_the_same_guide(provider: Provider) -> None:
    assert gzip.decompress(body_of(provider, "/guide.xml.gz")) == body_of(provider, "/guide.xml")


def test_an_unchanged_guide_is_not_sent_again(provider: Provider) -> None:
    with answer_of(provider, "/guide.xml") as first:
        etag = first.headers["ETag"]
    with answer_of(provider, "/guide.xml", If_None_Match=etag) as second:
        assert (second.status, second.read()) == (304, b"")


def test_a_logo_is_a_square_picture(provider: Provider) -> None:
    for channel in sample.CHANNELS:
        png = body_of(provider, f"/logo/{channel.id}.png")
        assert png[:8] == b"\x89PNG\r\n\x1a\n"
        assert int.from_bytes(png[16:20], "big") == int.from_bytes(png[20:24], "big") == logos.SIDE_PIXELS


def test_a_stream_arrives_packet_by_packet_and_ends_when_the_client_leaves(provider: Provider) -> None:
    with answer_of(provider, f"/live/{sample.CHANNELS[0].id}.ts") as answer:
        assert answer.headers["Content-Type"] == "video/mp2t"
        assert "Content-Length" not in answer.headers
        data = answer.read(200 * PACKET_BYTES)
    assert {data[at] for at in range(0, len(data), PACKET_BYTES)} == {0x47}


def test_what_is_not_there_answers_404(provider: Provider) -> None:
    with answer_of(provider, "/live/unknown.ts") as answer:
        assert answer.status == 404


def test_the_health_check_of_containers_asks_every_address(provider: Provider) -> None:
    here, nowhere = f"{provider.address}/playlist.m3u", f"{provider.address}/nowhere"
    assert alive.main([here, here]) == 0
    assert alive.main([here, nowhere]) == 1
    assert alive.main([here, "http://127.0.0.1:1/"]) == 1
    assert alive.main([]) == 1
