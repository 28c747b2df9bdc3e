"""HLS as an upstream: playlists of every kind, keys, gaps, faults, and a real segmenter."""

import itertools
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

from servicekit.clock import SystemClock
from servicekit.errors import BadAnswer
from stream_service.relay.ffmpeg import Programs
from stream_service.relay.hls import HlsSettings, HlsUpstream
from stream_service.relay.opening import Opener
from stream_service.relay.pacing import PacedQueue
from stream_service.relay.playlist import Master, Media, NewSegments, choose, looks_like_hls, read_playlist
from stream_service.relay.splice import discontinuity_packets
from stream_service.relay.upstream import Upstream
from tests.programs import needs
from tests.stream import hlskit
from tests.stream.hlskit import HlsServer, Reply, Segments, closing, drained, entry, playlist
from tests.stream.relaykit import packets as ts
from tests.stream.relaykit.held import leaves_nothing
from tests.waiting import until

QUICK = HlsSettings(stall_min_s=0.3, stall_targets=0.5, retry_s=0.01)
BASE = "http://h/live/a/list.m3u8?t=1"


def media(text: str, url: str = BASE) -> Media:
    found = read_playlist(text, url)
    assert isinstance(found, Media)
    return found


# ---- reading playlists -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "means"),
    [
        ("1.ts", "http://h/live/a/1.ts"),
        ("/1.ts", "http://h/1.ts"),
        ("//cdn/1.ts", "http://cdn/1.ts"),
        ("../1.ts", "http://h/live/1.ts"),
        ("?n=1", "http://h/live/a/list.m3u8?n=1"),
        ("https://cdn/x/1.ts", "https://cdn/x/1.ts"),
        ("a b.ts", "http://h/live/a/a%20b.ts"),
        ("file:///etc/passwd", "file:///etc/passwd"),
    ],
)
def test_addresses_are_resolved_against_where_the_playlist_came_from(uri: str, means: str) -> None:
    assert media(playlist(entry(uri))).segments[0].url == means


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("\ufeff" + playlist(entry("1.ts")), id="byte order mark"),
        pytest.param(playlist(entry("1.ts")).replace("\n", "\r"), id="carriage returns alone"),
        pytest.param(playlist(entry("1.ts")).replace("\n", "\r\n"), id="carriage returns and line feeds"),
        pytest.param("# made by x\n\n" + playlist(entry("1.ts")), id="a comment first"),
        pytest.param(playlist("#EXTINF:1", "1.ts"), id="EXTINF without a comma"),
        pytest.param(playlist("#EXTINF:,", "1.ts"), id="EXTINF without a duration"),
        pytest.param(playlist("#EXTINF:-1,", "1.ts"), id="a negative duration"),
        pytest.param(playlist("#EXTINF:1e9,", "1.ts"), id="a duration of years"),
        pytest.param(playlist("#EXT-X-PROGRAM-DATE-TIME:yesterday", entry("1.ts")), id="a bad date"),
        pytest.param(playlist("#EXT-X-CUE-OUT:DURATION=x", '#EXT-X-DATERANGE:ID="', entry("1.ts")), id="cue marks"),
        pytest.param("#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-TARGETDURATION:none\n#EXTINF:1,\n1.ts", id="bad target"),
        pytest.param(playlist("  #EXTINF:1,  ", "  1.ts  "), id="blanks"),
        pytest.param(playlist("#EXT-X-BYTERANGE:lots", entry("1.ts")), id="a bad byte range"),
    ],
)
def test_sloppy_playlists_are_read(text: str) -> None:
    (segment,) = media(text).segments
    assert segment.url == "http://h/live/a/1.ts"
    assert 0 < segment.duration_s <= 60
    assert segment.part is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("", "no HLS playlist", id="empty"),
        pytest.param("<html><body>Sign in</body></html>", "no HLS playlist", id="a page"),
        pytest.param("#EXTM3U\n#EXTINF:-1,News\nhttp://h/1\n", "no HLS playlist", id="a list of channels"),
        pytest.param(playlist('#EXT-X-KEY:METHOD=SAMPLE-AES,URI="k"', entry("1.ts")), "SAMPLE-AES", id="DRM"),
        pytest.param(playlist("#EXT-X-KEY:METHOD=AES-128", entry("1.ts")), "without its address", id="no key address"),
        pytest.param(playlist("#EXT-X-I-FRAMES-ONLY", entry("1.ts")), "single pictures", id="I-frames only"),
        pytest.param("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n", "names no stream", id="no variant"),
    ],
)
def test_what_cannot_be_played_is_refused_with_the_reason(text: str, says: str) -> None:
    with pytest.raises(BadAnswer, match=says):
        read_playlist(text, BASE)


def test_keys_change_within_a_list_and_may_pause() -> None:
    found = media(
        playlist(
            '#EXT-X-KEY:METHOD=AES-128,URI="k1",IV=0x00000000000000000000000000000007',
            entry("1.ts"),
            "#EXT-X-KEY:METHOD=NONE",
            entry("2.ts"),
            '#EXT-X-KEY:METHOD=AES-128,URI="/k2"',
            entry("3.ts"),
        )
    )
    first, second, third = found.segments
    assert first.key is not None
    assert (first.key.url, first.key.iv) == ("http://h/live/a/k1", bytes(15) + b"\x07")
    assert second.key is None
    assert third.key is not None
    assert (third.key.url, third.key.iv, third.sequence) == ("http://h/k2", None, 2)


def test_byte_ranges_without_a_start_follow_the_one_before() -> None:
    found = media(playlist("#EXT-X-BYTERANGE:100@50", entry("a.ts"), "#EXT-X-BYTERANGE:30", entry("a.ts")))
    assert [(one.part.start, one.part.length) for one in found.segments if one.part] == [(50, 100), (150, 30)]


MASTER = """#EXTM3U
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="x",URI="sound.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=90,CODECS="mp4a.40.2"
sound.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=500,RESOLUTION=9x9
middle.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=900,RESOLUTION=9x9
best.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=200,RESOLUTION=9x9
small.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=950,RESOLUTION=9x9,AUDIO="a"
apart.m3u8
"""


@pytest.mark.parametrize(
    ("limit", "order"),
    [
        (0, ["best", "middle", "small", "apart", "sound"]),
        (600, ["middle", "small", "best", "apart", "sound"]),
        (100, ["small", "middle", "best", "apart", "sound"]),
    ],
)
def test_the_best_variant_within_the_limit_comes_first(limit: int, order: list[str]) -> None:
    found = read_playlist(MASTER, BASE)
    assert isinstance(found, Master)
    assert [
        one.url.rpartition("/")[2].removesuffix(".m3u8") for one in choose(found, limit, joins_sound=False)
    ] == order


def names(found: list[object]) -> str:
    return "".join(
        ("!" if one.discontinuity else "") + one.url[-4:-3]  # type: ignore[attr-defined]
        for one in found
    )


@pytest.mark.parametrize(
    ("looks", "takes"),
    [
        pytest.param([(0, "abcdef"), (1, "bcdefg")], ["cdef", "g"], id="a live list is entered near its end"),
        pytest.param([(0, "ab"), (0, "ab"), (0, "abc")], ["ab", "", "c"], id="nothing new"),
        pytest.param([(5, "ab"), (9, "ef")], ["ab", "!ef"], id="a gap"),
        pytest.param([(500, "abc"), (0, "x")], ["abc", "!x"], id="numbers begin anew"),
        pytest.param([(5, "abc"), (4, "zab"), (5, "abcd")], ["abc", "", "d"], id="an old copy from a cache"),
        pytest.param([(None, "abc"), (None, "bcd"), (None, "xyz")], ["abc", "d", "!xyz"], id="no numbers"),
        pytest.param([(-3, "ab"), (-2, "bc")], ["ab", "c"], id="negative numbers"),
        pytest.param([(0, ""), (0, "ab")], ["", "ab"], id="empty at first"),
    ],
)
def test_only_new_segments_are_taken(looks: list[tuple[int | None, str]], takes: list[str]) -> None:
    new = NewSegments()
    for (sequence, letters), taken in zip(looks, takes, strict=True):
        text = playlist(*(entry(f"{letter}.ts") for letter in letters), sequence=sequence)
        assert names(list(new.of(media(text)))) == taken


def test_a_playlist_is_known_by_its_content() -> None:
    assert looks_like_hls(playlist(entry("1.ts")).encode())
    assert looks_like_hls(MASTER.encode())
    assert not looks_like_hls(b"#EXTM3U\n#EXTINF:-1,News\nhttp://h/1\n")
    assert not looks_like_hls(ts.Numbered().pictures(3))


# ---- pace ------------------------------------------------------------------------------------------------------------


class HandClock:
    def __init__(self) -> None:
        self.at_s = 100.0

    def monotonic(self) -> float:
        return self.at_s

    def now_s(self) -> int:
        return int(self.at_s)

    def now(self) -> object:
        raise AssertionError("nobody asks for the date")


def test_media_is_given_out_as_it_plays() -> None:
    clock = HandClock()
    queue = PacedQueue(clock=clock, max_bytes=10_000, burst_s=2.0)  # type: ignore[arg-type]
    buffer = memoryview(bytearray(10_000))
    for _ in range(4):
        queue.put(bytes(1000), 1.0)
    assert queue.drain(buffer) == 2000
    assert queue.drain(buffer) == 0
    clock.at_s += 0.5
    assert queue.drain(buffer) == 500
    clock.at_s += 60
    assert queue.drain(buffer) == 1500
    queue.finish("over")
    assert queue.ended is None
    assert queue.drain(buffer) == 0
    assert queue.ended == "over"


def test_what_comes_after_a_silence_is_given_out_at_its_own_pace_again() -> None:
    clock = HandClock()
    queue = PacedQueue(clock=clock, max_bytes=10_000, burst_s=1.0)  # type: ignore[arg-type]
    buffer = memoryview(bytearray(10_000))
    queue.put(bytes(1000), 1.0)
    assert queue.drain(buffer) == 1000
    clock.at_s += 30
    assert queue.drain(buffer) == 0
    for _ in range(3):
        queue.put(bytes(1000), 1.0)
    assert queue.drain(buffer) == 1000
    clock.at_s += 1.0
    assert queue.drain(buffer) == 1000
    queue.close()
    assert not queue.put(b"x", 1.0)


# ---- over HTTP -------------------------------------------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[HlsServer]:
    with leaves_nothing(), HlsServer() as server:
        yield server


def opened(url: str, *, settings: HlsSettings = QUICK, private_ok: bool = True, **headers: str) -> Upstream:
    opener = Opener(open_address=hlskit.open_address, programs=Programs(), clock=SystemClock(), hls=settings)
    return opener.open(hlskit.address(url, private_ok=private_ok, headers=headers))


def numbers_of(data: bytes) -> list[int]:
    return ts.numbers(data[: len(data) // ts.PACKET * ts.PACKET])


def whole(upstream: Upstream) -> bytes:
    with closing(upstream):
        return drained(upstream)


def three(server: HlsServer, prefix: str = "") -> list[bytes]:
    segments = Segments()
    made = [segments.next() for _ in range(3)]
    for at, data in enumerate(made):
        server.put(f"/{prefix}{at}.ts", data)
    return made


LIST = playlist(entry("0.ts"), entry("1.ts"), entry("2.ts"), end=True)


@pytest.mark.parametrize("path", ["/list.m3u8", "/list", "/list.ts?x=1"], ids=["by name", "no name", "another name"])
@pytest.mark.parametrize("kind", ["application/vnd.apple.mpegurl", "video/mp2t", "text/html"])
def test_a_playlist_is_followed_whatever_it_is_called(server: HlsServer, path: str, kind: str) -> None:
    made = three(server)
    upstream = opened(server.put(path, LIST, Content_Type=kind))
    assert whole(upstream) == b"".join(made)
    assert upstream.ended is not None
    assert "ENDLIST" in upstream.ended


def test_a_stream_under_a_playlists_name_is_a_stream(server: HlsServer) -> None:
    data = Segments().next()
    assert whole(opened(server.put("/live.m3u8", data))) == data


def test_the_next_variant_is_tried_when_the_best_cannot_be_had(server: HlsServer) -> None:
    made = three(server, "v/")
    server.put("/v/middle.m3u8", LIST)
    server.put("/v/best.m3u8", status=404)
    assert whole(opened(server.put("/v/master.m3u8", MASTER))) == b"".join(made)
    assert server.asked["/v/best.m3u8"] == 1


def test_a_playlist_that_names_itself_ends(server: HlsServer) -> None:
    upstream = opened(server.put("/m.m3u8", "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nm.m3u8\n"))
    whole(upstream)
    assert "name one another" in str(upstream.ended)


def test_redirects_are_followed_and_what_they_lead_to_names_its_own_neighbours(server: HlsServer) -> None:
    made = three(server, "deep/er/")
    server.put("/deep/er/list.m3u8", LIST)
    upstream = opened(server.put("/go.m3u8", status=302, Location="/deep/er/list.m3u8"))
    assert whole(upstream) == b"".join(made)


def live(server: HlsServer, looks: list[str], path: str = "/live.m3u8") -> str:
    """A playlist that is another one at each look; the last one stays."""
    texts = itertools.chain(looks, itertools.repeat(looks[-1]))
    server.pages[path] = lambda: Reply(next(texts).encode())
    return server.url(path)


def test_a_live_playlist_is_looked_at_again_and_each_segment_comes_once(server: HlsServer) -> None:
    segments = Segments()
    made = {letter: segments.next() for letter in "abcdef"}
    for letter, data in made.items():
        server.put(f"/{letter}.ts", data)
    looks = [playlist(*(entry(f"{one}.ts") for one in "abcdef"[at : at + 3]), target=0, sequence=at) for at in range(4)]
    url = live(server, [*looks, looks[-1] + "#EXT-X-ENDLIST\n"])
    data = whole(opened(url))
    assert numbers_of(data) == list(range(6 * 5 * ts.PICTURE_PACKETS))


def test_a_gap_is_marked_for_decoders(server: HlsServer) -> None:
    segments = Segments()
    made = {letter: segments.next() for letter in "abcd"}
    for letter, data in made.items():
        server.put(f"/{letter}.ts", data)
    url = live(server, [playlist(entry("a.ts"), sequence=0), playlist(entry("d.ts"), sequence=3, end=True)])
    data = whole(opened(url))
    assert data == made["a"] + discontinuity_packets(made["d"]) + made["d"]


def test_a_discontinuity_keeps_the_counters_in_step() -> None:
    stream = ts.Numbered()
    before, after = stream.pictures(5), ts.Numbered().pictures(5)
    marks = list(ts.packets(discontinuity_packets(after)))
    assert before
    for mark in marks:
        first = next(one for one in ts.packets(after) if ts.pid_of(one) == ts.pid_of(mark))
        assert mark[5] & 0x80
        assert not mark[3] & 0x10
        assert (mark[3] + 1) & 15 == first[3] & 15
    assert {ts.pid_of(one) for one in marks} == {ts.PMT_PID, ts.VIDEO_PID}
    assert discontinuity_packets(b"no packets") == b""


@pytest.mark.parametrize(
    ("fault", "status"),
    [(b"", 404), (b"", 403), (b"<html>expired</html>", 200), (b"", 200)],
    ids=["404", "403", "a page", "no bytes"],
)
def test_a_segment_that_cannot_be_had_is_left_out(server: HlsServer, fault: bytes, status: int) -> None:
    made = three(server)
    server.put("/1.ts", fault, status)
    data = whole(opened(server.put("/l.m3u8", LIST)))
    assert data == made[0] + discontinuity_packets(made[2]) + made[2]
    assert server.asked["/1.ts"] == 2


def test_three_vain_segments_in_a_row_end_it_with_the_reason(server: HlsServer) -> None:
    upstream = opened(server.put("/l.m3u8", LIST))
    assert whole(upstream) == b""
    assert "404" in str(upstream.ended)
    assert server.asked["/l.m3u8"] == 1


def test_a_segment_that_comes_at_the_second_try_is_not_lost(server: HlsServer) -> None:
    made = three(server)
    replies = iter([Reply(b"", 403)])
    server.pages["/1.ts"] = lambda: next(replies, Reply(made[1]))
    assert whole(opened(server.put("/l.m3u8", LIST))) == b"".join(made)


def test_a_playlist_that_stops_changing_is_a_failure(server: HlsServer) -> None:
    made = three(server)
    upstream = opened(server.put("/l.m3u8", LIST.replace("#EXT-X-ENDLIST\n", "")))
    assert whole(upstream) == b"".join(made)
    assert "did not change" in str(upstream.ended)


def test_an_empty_playlist_is_a_failure_in_the_end(server: HlsServer) -> None:
    upstream = opened(server.put("/l.m3u8", playlist()))
    whole(upstream)
    assert "did not change" in str(upstream.ended)


def test_faults_of_the_playlist_are_passed_over_for_a_while(server: HlsServer) -> None:
    made = three(server)
    replies = iter([Reply(playlist(entry("0.ts")).encode()), Reply(b"", 503), Reply(b"<html>", 200)])
    server.pages["/l.m3u8"] = lambda: next(replies, Reply(LIST.encode()))
    settings = HlsSettings(stall_min_s=20, retry_s=0.01)
    assert whole(opened(server.url("/l.m3u8"), settings=settings)) == b"".join(made)


@pytest.mark.parametrize(
    "line", ["file:///etc/passwd", "ftp://127.0.0.1/x.ts", "data:video/mp2t,G", "http://127.0.0.1:0/x"]
)
def test_only_http_is_fetched(server: HlsServer, line: str) -> None:
    made = three(server)
    data = whole(opened(server.put("/l.m3u8", playlist(entry("0.ts"), entry(line), entry("2.ts"), end=True))))
    assert data == made[0] + discontinuity_packets(made[2]) + made[2]


def test_a_public_playlist_may_not_name_private_addresses(server: HlsServer) -> None:
    class Public:
        """An answer that seems to have come from far away."""

        status, headers, url = 200, {}, "http://example.org/l.m3u8"

        def __init__(self) -> None:
            self.left = [playlist(entry(server.url("/0.ts")), end=True).encode()]

        def raw_socket(self) -> None:
            return None

        def read1(self, n: int = 65_536) -> bytes:
            return self.left.pop() if self.left else b""

        def shutdown(self) -> None: ...
        def close(self) -> None: ...

    three(server)
    upstream = HlsUpstream(
        hlskit.address("http://example.org/l.m3u8", private_ok=False), open_address=hlskit.open_address,
        clock=SystemClock(), repackage=lambda up, head: up, first=Public(), settings=QUICK,
    )  # fmt: skip
    assert whole(upstream) == b""
    assert server.asked["/0.ts"] == 0


def test_secret_headers_stay_with_their_origin(server: HlsServer) -> None:
    with HlsServer() as other:
        made = three(other)
        server.put("/0.ts", made[0])
        text = playlist(entry("0.ts"), entry(other.url("/1.ts")), end=True)
        whole(opened(server.put("/l.m3u8", text), Authorization="Bearer S3CR3T-xyz", Referer="http://r/"))
        assert all(headers["authorization"] == "Bearer S3CR3T-xyz" for _, headers in server.headers)
        ((_, headers),) = other.headers
        assert "authorization" not in headers
        assert headers["referer"] == "http://r/"


@pytest.mark.parametrize("ranges", [True, False], ids=["ranges", "a server without ranges"])
def test_byte_ranges(server: HlsServer, ranges: bool) -> None:
    segments = Segments()
    made = [segments.next(), segments.next()]
    server.put("/all.ts", b"".join(made), **({} if ranges else {"no_ranges": "1"}))
    lines = [line for one in made for line in (f"#EXT-X-BYTERANGE:{len(one)}", entry("all.ts"))]
    assert whole(opened(server.put("/l.m3u8", playlist(*lines, end=True)))) == b"".join(made)


def encrypted(data: bytes, key: bytes, iv: bytes) -> bytes:
    padding = 16 - len(data) % 16
    encryptor = Cipher(AES(key), CBC(iv)).encryptor()
    return encryptor.update(data + bytes((padding,)) * padding) + encryptor.finalize()


def test_encrypted_segments_with_keys_that_change(server: HlsServer) -> None:
    segments = Segments()
    plain = [segments.next() for _ in range(3)]
    keys, iv = [os.urandom(16), os.urandom(16)], os.urandom(16)
    server.put("/k0", keys[0])
    server.put("/keys/k1", keys[1])
    server.put("/0.ts", encrypted(plain[0], keys[0], (40).to_bytes(16, "big")))
    server.put("/1.ts", encrypted(plain[1], keys[1], iv))
    server.put("/2.ts", plain[2])
    text = playlist(
        '#EXT-X-KEY:METHOD=AES-128,URI="k0"', entry("0.ts"),
        f'#EXT-X-KEY:METHOD=AES-128,URI="keys/k1",IV=0x{iv.hex()}', entry("1.ts"),
        "#EXT-X-KEY:METHOD=NONE", entry("2.ts"), sequence=40, end=True,
    )  # fmt: skip
    assert whole(opened(server.put("/l.m3u8", text))) == b"".join(plain)


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b"", 404, "404"),
        (b"123456789012345", 200, "15 bytes instead of 16"),
        (b"<html>no</html>", 200, "web page"),
        (b"wrong key, but 16"[:16], 200, "does not decrypt"),
    ],
    ids=["404", "15 bytes", "a page", "another key"],
)
def test_a_key_that_is_none_is_a_failure_with_the_reason(
    server: HlsServer, body: bytes, status: int, says: str
) -> None:
    server.put("/k", body, status)
    for at in range(3):
        server.put(f"/{at}.ts", encrypted(Segments().next(), bytes(16), at.to_bytes(16, "big")))
    lines = ['#EXT-X-KEY:METHOD=AES-128,URI="k"', *(entry(f"{at}.ts") for at in range(3))]
    upstream = opened(server.put("/l.m3u8", playlist(*lines, end=True)))
    assert whole(upstream) == b""
    assert says in str(upstream.ended)


def test_too_large_a_playlist_is_refused(server: HlsServer) -> None:
    upstream = opened(server.put("/l.m3u8", LIST + "#" * 5000), settings=HlsSettings(playlist_max_bytes=2000))
    whole(upstream)
    assert "more than 2000 bytes" in str(upstream.ended)


def test_a_list_of_forty_thousand_segments_is_entered_at_its_end(server: HlsServer) -> None:
    data = Segments().next()
    server.pages |= {f"/{at}.ts": Reply(data) for at in range(40_001)}
    url = server.put("/l.m3u8", playlist(*(entry(f"{at}.ts") for at in range(40_001))))
    with closing(opened(url)) as upstream:
        assert drained(upstream, 4 * len(data))
    assert {path for path in server.asked if path.endswith(".ts")} == {f"/{at}.ts" for at in range(39_997, 40_001)}


def test_closing_wakes_a_reader_that_waits(server: HlsServer) -> None:
    made = three(server)
    upstream = opened(server.put("/l.m3u8", playlist(entry("0.ts"), target=50)))
    drained(upstream, len(made[0]))
    upstream.close()


# ---- other media, real segmenters ------------------------------------------------------------------------------------


def segmented(directory: Path, *words: str, seconds: int = 6) -> None:
    command = [*("ffmpeg", "-nostdin", "-loglevel", "error"), *hlskit.picture_and_sound(seconds), *hlskit.H264]
    subprocess.run([*command, "-f", "hls", "-hls_time", "1", "-hls_list_size", "0", *words, "list.m3u8"],
                   cwd=directory, check=True, timeout=120)  # fmt: skip


@pytest.mark.parametrize(
    "words",
    [
        pytest.param([], id="plain"),
        pytest.param(["-hls_enc", "1", "-hls_enc_key", "00112233445566778899aabbccddeeff"], id="AES-128"),
        pytest.param(["-hls_flags", "single_file"], id="byte ranges"),
        pytest.param(["-hls_segment_type", "fmp4"], id="fMP4"),
        pytest.param(["-hls_segment_type", "fmp4", "-hls_flags", "single_file"], id="fMP4 byte ranges"),
    ],
)
def test_a_real_segmenters_stream_decodes_without_a_fault(tmp_path: Path, words: list[str]) -> None:
    needs("ffmpeg", "ffprobe")
    segmented(tmp_path, *words)
    for key in tmp_path.glob("*.key"):
        assert key.stat().st_size == 16
    with leaves_nothing(), HlsServer(tmp_path) as server:
        data = whole(opened(server.url("/list.m3u8"), settings=HlsSettings()))
        assert hlskit.probed(data) == {"video": "h264", "audio": "aac"}
        assert hlskit.decode_errors(data) == ""


def test_a_real_live_segmenter_that_changes_its_key_for_every_segment(tmp_path: Path) -> None:
    needs("ffmpeg", "ffprobe")
    keys = [os.urandom(16) for _ in range(3)]
    for at, key in enumerate(keys):
        (tmp_path / f"key{at}").write_bytes(key)
    (tmp_path / "info").write_text("key0\nkey0\n")
    command = [*("ffmpeg", "-nostdin", "-loglevel", "error", "-re"), *hlskit.picture_and_sound(9), *hlskit.H264]
    segmenter = subprocess.Popen(
        [*command, "-f", "hls", "-hls_time", "1", "-hls_key_info_file", "info", "-hls_flags",
         "periodic_rekey+temp_file",
         "list.m3u8"], cwd=tmp_path,
    )  # fmt: skip
    try:
        with leaves_nothing(), HlsServer(tmp_path) as server:
            until((tmp_path / "list.m3u8").exists, limit_s=60)
            for at in (1, 2):
                seen = (tmp_path / "list.m3u8").read_text().count("#EXTINF")
                until(lambda seen=seen: (tmp_path / "list.m3u8").read_text().count("#EXTINF") > seen, limit_s=60)  # type: ignore[misc]
                (tmp_path / "info").write_text(f"key{at}\nkey{at}\n")
            data = whole(opened(server.url("/list.m3u8"), settings=HlsSettings()))
            assert (tmp_path / "list.m3u8").read_text().count("#EXT-X-KEY") >= 2
            assert len([path for path in server.asked if path.startswith("/key")]) >= 2
            assert hlskit.probed(data) == {"video": "h264", "audio": "aac"}
            assert hlskit.decode_errors(data) == ""
    finally:
        segmenter.kill()
        segmenter.wait()


def test_fragmented_mp4_without_ffmpeg_says_what_to_install(server: HlsServer) -> None:
    server.put("/init.mp4", b"\0\0\0\x18ftypiso5" + bytes(100))
    server.put("/0.m4s", b"\0\0\0\x18styp" + bytes(100))
    url = server.put("/l.m3u8", playlist('#EXT-X-MAP:URI="init.mp4"', entry("0.m4s"), end=True))
    opener = Opener(
        open_address=hlskit.open_address, programs=Programs(ffmpeg="no-such-program"), clock=SystemClock(), hls=QUICK
    )
    upstream = opener.open(hlskit.address(url))
    whole(upstream)
    assert "install" in str(upstream.ended)
