"""Unpacking by content: every packing seen in the wild, damaged ones, and bombs."""

import bz2
import gzip
import io
import lzma
import random
import tarfile
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable

import brotli
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


def zipped(data: bytes | dict[str, bytes], name: str = "guide.xml", more: tuple[str, ...] = ()) -> bytes:
    members = data if isinstance(data, dict) else {name: data, **dict.fromkeys(more, b"x")}
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for one, content in members.items():
            archive.writestr(one, content)
    return target.getvalue()


def tarred(data: bytes | dict[str, bytes]) -> bytes:
    members = data if isinstance(data, dict) else {"guide.xml": data}
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return target.getvalue()


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "zlib": zlib.compress,
    "deflate": raw_deflate,
    "brotli": brotli.compress,
    "xz": lzma.compress,
    "bzip2": bz2.compress,
    "zstd": zstd.compress,
    "zip": zipped,
    "tar": tarred,
}


MARKLESS = ("deflate", "brotli")  # known by the markup inside


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


@pytest.mark.parametrize("outer", [kind for kind in PACKERS if kind not in MARKLESS])
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


@pytest.mark.parametrize("kind", ["gzip", "zlib", "deflate", "brotli", "xz", "zstd"])
def test_a_truncated_file_gives_what_is_there(kind: str) -> None:
    losses = Losses()
    packed = PACKERS[kind](GUIDE * 8)
    out = drained(opened(packed[: len(packed) // 2], losses))
    assert out
    assert (GUIDE * 8).startswith(out)
    assert losses.warnings == ["truncated"]


@pytest.mark.parametrize("kind", ["gzip", "zlib", "brotli", "xz", "bzip2", "zstd", "zip"])
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
        (zipped(b"<tv/>", "dir/"), "it is empty"),
        (zipped(b"<tv/>", "a.txt", ("b.txt",)), "'a.txt', 'b.txt'"),
        (b"PK\x05\x06" + bytes(18), "it is empty"),
        (tarred({"a.txt": b"x", "b.png": b"y"}), "'a.txt', 'b.png'"),
        (tarred({"a.txt": b"x" * 2000})[:1000], "'a.txt'"),
    ],
)
def test_an_archive_without_a_guide_is_refused_by_what_it_holds(archive: bytes, said: str) -> None:
    with pytest.raises(BadAnswer, match=f"called like a guide .*{said}"):
        drained(opened(archive))


@pytest.mark.parametrize("pack", [zipped, tarred], ids=["zip", "tar"])
@pytest.mark.parametrize("name", ["../../etc/Guide.XML", "xmltv/uk.xmltv", "n" * 300 + ".xml"])
def test_a_guide_among_other_things_is_found(pack: Callable[[dict[str, bytes]], bytes], name: str) -> None:
    losses = Losses()
    archive = pack({"readme.txt": b"x" * 700, name: GUIDE, "x.png": b""})
    assert drained(unpacked(Dripping(archive), max_bytes=100 * MB, losses=losses)) == GUIDE
    assert losses.warnings == []


@pytest.mark.parametrize("pack", [zipped, tarred], ids=["zip", "tar"])
def test_of_several_guides_the_first_is_read(pack: Callable[[dict[str, bytes]], bytes]) -> None:
    losses = Losses()
    assert drained(opened(pack({"a.xml": GUIDE, "b.xml": b"<tv/>"}), losses)) == GUIDE
    assert losses.warnings == ["several_guides"]
    assert "'a.xml', 'b.xml'" in losses.warning_texts["several_guides"]


def test_a_lone_file_of_a_zip_may_be_called_anything() -> None:
    assert drained(opened(zipped(GUIDE, "download"))) == GUIDE


def test_a_tar_counts_as_one_packing() -> None:
    assert drained(opened(gzip.compress(tarred({"g.xml": GUIDE})))) == GUIDE
    assert drained(opened(tarred({"g.xml.gz": gzip.compress(GUIDE)}))) == GUIDE
    with pytest.raises(BadAnswer, match="more than 2 times"):
        opened(gzip.compress(tarred({"g.xml.gz": gzip.compress(GUIDE)})))


def test_a_tar_that_ends_early_gives_what_is_there() -> None:
    losses = Losses()
    out = drained(opened(tarred({"g.xml": GUIDE})[: len(GUIDE) // 2], losses))
    assert GUIDE.startswith(out)
    assert len(out) == len(GUIDE) // 2 - 512
    assert losses.warnings == ["truncated"]


@pytest.mark.parametrize("field", [slice(148, 156), slice(124, 136)], ids=["checksum", "size below zero"])
def test_a_damaged_tar_header_is_refused(field: slice) -> None:
    data = bytearray(tarred({"g.xml": GUIDE}))
    data[field] = b"\xff" * (field.stop - field.start)
    if field.start == 124:
        data[148:156] = b" " * 8
        data[148:156] = b"%06o\0 " % sum(data[:512])
    with pytest.raises(BadAnswer, match="tar archive cannot be read"):
        drained(opened(bytes(data)))


@pytest.mark.parametrize("kind", ["gzip", "zlib"])
def test_a_wrong_checksum_costs_nothing_but_a_word(kind: str) -> None:
    data = bytearray(PACKERS[kind](GUIDE))
    data[-6 if kind == "gzip" else -1] ^= 0xFF
    losses = Losses()
    assert drained(opened(bytes(data), losses)) == GUIDE
    assert losses.warnings == ["corrupt"]


def test_an_encrypted_zip_is_refused() -> None:
    data = bytearray(zipped(GUIDE))
    data[data.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(BadAnswer, match="encrypted"):
        drained(opened(bytes(data)))


@pytest.mark.parametrize("kind", [None, *PACKERS])
def test_a_limit_of_bytes_holds(kind: str | None) -> None:
    data = PACKERS[kind](GUIDE) if kind else GUIDE
    with pytest.raises(TooLarge, match="500,000"):
        drained(opened(data, max_bytes=500_000))


@pytest.mark.parametrize("kind", [kind for kind in PACKERS if kind != "tar"])  # which packs nothing
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
