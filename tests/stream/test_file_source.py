"""Files of the import directory as upstreams."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from servicekit.clock import SystemClock
from servicekit.errors import Invalid, Refused, Unreachable
from stream_service.relay.ffmpeg import Programs
from stream_service.relay.file_source import PacedFile, clocks_of, file_of
from stream_service.relay.opening import Opener
from tests.programs import needs
from tests.stream import hlskit
from tests.stream.hlskit import H264, closing, decode_errors, drained, made, picture_and_sound, probed
from tests.stream.relaykit.held import leaves_nothing


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    with leaves_nothing():
        yield


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("file:../secret", Invalid),
        ("file:///etc/passwd", Unreachable),
        ("file:%2e%2e/secret", Invalid),
        ("file:link", Invalid),
        ("file:a%00b", Invalid),
        ("file:", Invalid),
        ("file:nope.ts", Unreachable),
        ("file:directory", Unreachable),
    ],
)
def test_only_files_of_the_import_directory_are_opened(tmp_path: Path, name: str, error: type[Exception]) -> None:
    (tmp_path / "secret").write_text("S3CR3T")
    directory = tmp_path / "import"
    (directory / "directory").mkdir(parents=True)
    (directory / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(error):
        file_of(hlskit.address(name), directory)


def test_only_what_an_administrator_named_is_opened(tmp_path: Path) -> None:
    (tmp_path / "a.ts").write_bytes(b"G")
    with pytest.raises(Refused):
        file_of(hlskit.address("file:a.ts", private_ok=False), tmp_path)
    assert file_of(hlskit.address("file:a.ts"), tmp_path) == tmp_path.resolve() / "a.ts"


def test_without_an_import_directory_files_are_no_addresses() -> None:
    opener = Opener(open_address=hlskit.open_address, programs=Programs(), clock=SystemClock())
    for url in ("file:a.ts", "profile://news~copy", "ftp://h/a"):
        with pytest.raises(Invalid, match="cannot be streamed"):
            opener.open(hlskit.address(url))


def test_a_transport_stream_comes_whole_at_its_own_pace(tmp_path: Path) -> None:
    needs("ffmpeg", "ffprobe")
    path = made(tmp_path / "a b.ts", *picture_and_sound(5), *H264, "-f", "mpegts")
    opener = Opener(open_address=hlskit.open_address, programs=Programs(), clock=SystemClock(), import_dir=tmp_path)
    upstream = opener.open(hlskit.address("file:a%20b.ts"))
    assert isinstance(upstream, PacedFile)
    with closing(upstream):
        assert drained(upstream) == path.read_bytes()
    assert upstream.ended == "the file has ended"


def test_other_containers_go_through_ffmpeg(tmp_path: Path) -> None:
    needs("ffmpeg", "ffprobe")
    made(tmp_path / "a.mkv", *picture_and_sound(2), *H264, "-f", "matroska")
    opener = Opener(open_address=hlskit.open_address, programs=Programs(), clock=SystemClock(), import_dir=tmp_path)
    upstream = opener.open(hlskit.address("file:a.mkv"))
    with closing(upstream):
        data = drained(upstream)
    assert probed(data) == {"video": "h264", "audio": "aac"}
    assert decode_errors(data) == ""


def test_closing_early_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.ts").write_bytes(b"\x47\x01\x00\x10" + bytes(184) * 1 + (b"\x47\x01\x00\x10" + bytes(184)) * 50_000)
    upstream = PacedFile(tmp_path / "a.ts", clock=SystemClock())
    assert drained(upstream, 1)
    upstream.close()


def test_clocks_are_read_from_the_adaptation_field() -> None:
    def packet(base: int, extension: int) -> bytes:
        field = base << 15 | 0x7E00 | extension
        return b"\x47\x01\x00\x20" + bytes((183, 0x10)) + field.to_bytes(6, "big") + b"\xff" * 176

    assert clocks_of(packet(90_000, 5) + packet(180_000, 0)) == [90_000 * 300 + 5, 180_000 * 300]
    assert clocks_of(b"") == []
