"""Unpacking by content: every packing seen in the wild, damaged ones, and bombs."""

import bz2
import gzip
import io
import lzma
import random
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable

import pytest
from backports import zstd

from epg_service.domain.losses import Losses
from epg_service.providers.unpack import Unpacked, unpacked
from servicekit.errors import AerialError, BadAnswer, TooLarge

MB = 1024 * 1024
GUIDE = (
    b"<tv>"
    + b"".join(b"<programme start='%d'/>" % n for n in random.Random(1).choices(range(10**9), k=20_000))
    + b"</tv>"
)


def raw_deflate(data: bytes) -> bytes:
    return zlib.compress(data, wbits=-15)


def zipped(data: bytes, name: str = "guide.xml", more: tuple[str, ...] = ()) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
        for other in more:
            archive.writestr(other, b"x")
    return target.getvalue()


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "zlib": zlib.compress,
    "deflate": raw_deflate,
    "xz": lzma.compress,
    "bzip2": bz2.compress,
    "zstd": zstd.compress,
    "zip": zipped,
}


class Dripping(io.BytesIO):
    """Gives less than it is asked for, as sockets do."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size or 0, 1000))


def drained(source: Unpacked) -> bytes:
    pieces = []
    while piece := source.read(10_000):
        assert len(piece) <= 10_000
        pieces.append(piece)
    return b"".join(pieces)


def opened(data: bytes, losses: Losses | None = None, max_bytes: int = 100 * MB) -> Unpacked:
    return unpacked(io.BytesIO(data), max_bytes=max_bytes, losses=losses or Losses())


@pytest.mark.parametrize(
    "data", [GUIDE, b"", b"x", b"<tv/>", b"xml: not", b"\xef\xbb\xbf<tv/>", "<tv/>".encode("utf-16")]
)
def test_plain_bytes_pass(data: bytes) -> None:
    losses = Losses()
    with opened(data, losses) as source:
        assert source.kinds == ()
        assert drained(source) == data
    assert losses.warnings == []


@pytest.mark.parametrize("kind", PACKERS)
def test_a_packed_guide_comes_out_whole(kind: str) -> None:
    losses = Losses()
    source = unpacked(Dripping(PACKERS[kind](GUIDE)), max_bytes=100 * MB, losses=losses)
    assert source.kinds == (kind,)
    assert drained(source) == GUIDE
    assert losses.warnings == []


def test_all_at_once() -> None:
    source = opened(gzip.compress(GUIDE))
    assert source.read(5) + source.read() == GUIDE
    assert source.read() == source.read(9) == b""


@pytest.mark.parametrize("outer", [kind for kind in PACKERS if kind != "deflate"])  # known by the markup inside
@pytest.mark.parametrize("inner", PACKERS)
def test_two_packings_are_unwrapped(outer: str, inner: str) -> None:
    source = opened(PACKERS[outer](PACKERS[inner](GUIDE)))
    assert drained(source) == GUIDE
    assert source.kinds == (outer, inner)


def test_three_packings_are_refused() -> None:
    with pytest.raises(BadAnswer, match="more than 2 times"):
        opened(gzip.compress(gzip.compress(gzip.compress(GUIDE))))


@pytest.mark.parametrize("kind", ["gzip", "xz", "bzip2", "zstd"])
def test_several_members_are_joined(kind: str) -> None:
    pack = PACKERS[kind]
    losses = Losses()
    source = unpacked(Dripping(pack(GUIDE) + pack(b"") + pack(GUIDE)), max_bytes=100 * MB, losses=losses)
    assert drained(source) == GUIDE * 2
    assert losses.warnings == []


@pytest.mark.parametrize("kind", ["gzip", "zlib", "xz", "bzip2", "zstd"])
@pytest.mark.parametrize(
    ("tail", "warnings"), [(b"\0" * 700, []), (b"junk", ["trailing_junk"]), (b"\0j", ["trailing_junk"])]
)
def test_what_follows_the_data_is_padding_or_worth_a_word(kind: str, tail: bytes, warnings: list[str]) -> None:
    losses = Losses()
    assert drained(opened(PACKERS[kind](GUIDE) + tail, losses)) == GUIDE
    assert losses.warnings == warnings


@pytest.mark.parametrize("kind", ["gzip", "zlib", "deflate", "xz", "zstd"])
def test_a_truncated_file_gives_what_is_there(kind: str) -> None:
    losses = Losses()
    packed = PACKERS[kind](GUIDE * 8)
    out = drained(opened(packed[: len(packed) // 2], losses))
    assert out
    assert (GUIDE * 8).startswith(out)
    assert losses.warnings == ["truncated"]


@pytest.mark.parametrize("kind", ["gzip", "zlib", "xz", "bzip2", "zstd", "zip"])
def test_damage_keeps_what_came_before_or_is_refused(kind: str) -> None:
    data = bytearray(PACKERS[kind](GUIDE * 8))
    middle = len(data) // 2
    data[middle : middle + 300] = bytes(300)
    losses = Losses()
    pieces = b""
    try:
        pieces = drained(opened(bytes(data), losses))
    except BadAnswer as refusal:
        assert kind in refusal.detail
    else:
        assert losses.warnings
    assert len(pieces) < len(GUIDE) * 8 or losses.warnings == ["corrupt"]


@pytest.mark.parametrize("magic", [b"\x1f\x8b", b"\xfd7zXZ\0", b"BZh", b"\x28\xb5\x2f\xfd", b"PK\x03\x04"])
def test_a_mark_with_nonsense_behind_it_is_refused_with_a_sentence(magic: bytes) -> None:
    with pytest.raises(BadAnswer, match=r"cannot be (unpacked|read)"):
        drained(opened(magic + b"nonsense and no more of it" * 20))


@pytest.mark.parametrize(
    ("archive", "said"),
    [
        (zipped(b"<tv/>", "a.xml", ("b.xml",)), "holds 2"),
        (zipped(b"<tv/>", "dir/"), "holds 0"),
        (zipped(b"<tv/>", "a.txt", ("b.txt",)), "holds 2"),
        (b"PK\x05\x06" + bytes(18), "holds 0"),
    ],
)
def test_a_zip_must_hold_one_guide(archive: bytes, said: str) -> None:
    with pytest.raises(BadAnswer, match=said):
        drained(opened(archive))


def test_a_zip_with_a_guide_among_other_things() -> None:
    assert drained(opened(zipped(GUIDE, "../../etc/Guide.XML", ("readme.txt", "x.png")))) == GUIDE


def test_an_encrypted_zip_is_refused() -> None:
    data = bytearray(zipped(GUIDE))
    data[data.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(BadAnswer, match="encrypted"):
        drained(opened(bytes(data)))


def test_a_tar_is_refused_with_a_hint() -> None:
    with pytest.raises(BadAnswer, match="tar"):
        opened(b"guide.xml".ljust(257, b"\0") + b"ustar\x0000" + bytes(300))


@pytest.mark.parametrize("kind", [None, *PACKERS])
def test_a_limit_of_bytes_holds(kind: str | None) -> None:
    data = PACKERS[kind](GUIDE) if kind else GUIDE
    with pytest.raises(TooLarge, match="500,000"):
        drained(opened(data, max_bytes=500_000))


@pytest.mark.parametrize("kind", PACKERS)
def test_a_bomb_is_stopped_in_flat_memory(kind: str) -> None:
    bomb = PACKERS[kind](b"<tv>" + bytes(40 * MB))
    tracemalloc.start()
    with pytest.raises(BadAnswer, match="bomb"):
        source = opened(bomb, max_bytes=10**10)
        while source.read(MB):
            pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 24 * MB


def test_a_bomb_inside_a_bomb_is_stopped() -> None:
    with pytest.raises(AerialError, match="bomb"):
        source = opened(gzip.compress(bz2.compress(bytes(40 * MB))), max_bytes=10**10)
        while source.read(MB):
            pass


@pytest.mark.parametrize("noise", [random.Random(n).randbytes(600) for n in range(6)])
def test_noise_behind_any_mark_never_escapes_as_another_error(noise: bytes) -> None:
    for pack in PACKERS.values():
        packed = pack(GUIDE)
        try:
            drained(opened(packed[:300] + noise + packed[900:]))
        except AerialError as refusal:
            assert refusal.detail
