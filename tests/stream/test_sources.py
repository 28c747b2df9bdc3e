"""Unpacking what providers send, whatever it is called."""

import bz2
import gzip
import io
import lzma
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicekit.errors import BadAnswer
from stream_service.sources.types import SOURCE_TYPES
from stream_service.sources.unpack import unpacked

TEXT = b"#EXTM3U\n" + b"#EXTINF:-1,A\nhttp://h/1\n" * 500
LIMIT = 1 << 20


def unpack(body: bytes, *, step: int = 1_000, limit: int = LIMIT) -> bytes:
    return b"".join(unpacked((body[i : i + step] for i in range(0, len(body), step)), max_bytes=limit))


def _zipped(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in names:
            archive.writestr(name, TEXT)
    return out.getvalue()


@pytest.mark.parametrize("step", [1, 7, 100_000], ids=["byte by byte", "in sevens", "at once"])
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(TEXT, id="plain"),
        pytest.param(gzip.compress(TEXT), id="gzip"),
        pytest.param(gzip.compress(gzip.compress(TEXT)), id="gzip in gzip"),
        pytest.param(gzip.compress(TEXT[:100]) + gzip.compress(TEXT[100:]), id="two members"),
        pytest.param(gzip.compress(TEXT) + b"\0" * 600, id="zeros behind it"),
        pytest.param(gzip.compress(TEXT) + b"<br>junk", id="junk behind it"),
        pytest.param(lzma.compress(TEXT), id="xz"),
        pytest.param(bz2.compress(TEXT), id="bz2"),
        pytest.param(gzip.compress(bz2.compress(TEXT)), id="bz2 in gzip"),
        pytest.param(_zipped("readme.html", "list.m3u"), id="the list of an archive"),
    ],
)
def test_the_first_bytes_tell_how_a_body_is_packed(body: bytes, step: int) -> None:
    assert unpack(body, step=step) == TEXT


def test_an_empty_body_is_an_empty_list_of_bytes() -> None:
    assert unpack(b"") == b""


@pytest.mark.parametrize(
    ("body", "says"),
    [
        pytest.param(gzip.compress(TEXT)[:-9], "end early", id="gzip cut short"),
        pytest.param(lzma.compress(TEXT)[:-20], "end early", id="xz cut short"),
        pytest.param(gzip.compress(TEXT)[:30] + b"x" * 50, "cannot be unpacked|damaged", id="damaged"),
        pytest.param(gzip.compress(TEXT)[:-5] + b"xxxxx", "damaged", id="a wrong checksum"),
        pytest.param(gzip.compress(gzip.compress(gzip.compress(TEXT))), "times over", id="three layers"),
        pytest.param(_zipped("a.txt", "b.txt")[:-30], "cannot be read", id="an archive cut short"),
        pytest.param(_zipped("cover.jpg", "page.html"), "called like a list", id="an archive of other things"),
        pytest.param(gzip.compress(b"\0" * (LIMIT + 1)), "larger than", id="a bomb"),
        pytest.param(b"x" * (LIMIT + 1), "larger than", id="too long"),
    ],
)
def test_what_cannot_be_unpacked_is_refused_with_the_reason(body: bytes, says: str) -> None:
    with pytest.raises(BadAnswer, match=says):
        unpack(body, step=65_536)


@given(st.binary(max_size=500), st.integers(1, 100))
def test_whatever_was_packed_comes_out_again(data: bytes, step: int) -> None:
    assert unpack(gzip.compress(b"#" + data), step=step) == b"#" + data


def test_every_type_of_source_is_one_entry() -> None:
    assert set(SOURCE_TYPES) == {"m3u", "xtream", "manual"}
