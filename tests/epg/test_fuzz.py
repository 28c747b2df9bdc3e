"""Damage of every kind, at random: the readers hold what they promise, or refuse with a sentence, at a bounded cost.

A bounded run belongs to every test run; a long one to `pytest -m slow`. What broke something once is kept in
`crashers/` and tried for ever. Cost is counted in parsers made and bytes shown to them, the same on every machine.
"""

import bz2
import gzip
import hashlib
import io
import itertools
import lzma
import os
import random
import xml.etree.ElementTree as ET
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.parsers import expat

import pytest
from backports import zstd
from hypothesis import example, given, settings
from hypothesis import strategies as st

from epg_service.domain.losses import Losses
from epg_service.providers.unpack import unpacked
from epg_service.xmltv import times, write
from epg_service.xmltv.details import details
from epg_service.xmltv.repair import repaired
from epg_service.xmltv.times import Stamps, text_utc
from servicekit.errors import AerialError
from tests.epg.nasty_inputs import CASES
from tests.epg.readingkit import CORPUS, FIXTURES, MB, READERS, Reading, counted_work, read

CRASHERS = Path(__file__).parent / "crashers"
LONG_ROUNDS = int(os.environ.get("AERIAL_FUZZ_ROUNDS", "20000"))
SHORT_ROUNDS = 60
SEED_BYTES = 12_000

# ---- seeds and damage ------------------------------------------------------------------------------------------------


def seeds() -> list[bytes]:
    """Small guides: the catalogue's and the fixtures', and the beginnings of the corpus' where it is there."""
    found = [case.data.encode("utf-8", "surrogatepass") if isinstance(case.data, str) else case.data for case in CASES]
    found = [data for data in found if len(data) < SEED_BYTES]
    found += [path.read_bytes() for path in FIXTURES.glob("*.xml")]
    if CORPUS.is_dir():
        for path in sorted(CORPUS.rglob("*.xml")):
            with path.open("rb") as file:
                found.append(file.read(SEED_BYTES))
    return found


SEEDS = seeds()
WORDS = [
    b"<programme ", b"</programme>", b"<programme/>", b"<programme", b"<channel id='x'>", b"</channel>", b"<tv>",
    b"</tv>", b"<![CDATA[", b"]]>", b"<!--", b"-->", b"<?x ", b"?>", b"<!DOCTYPE tv [", b"<!ENTITY a 'b'>", b"&",
    b"&amp;", b"&#0;", b"&eacute;", b"&#xD83D;", b"<", b">", b"/>", b'"', b"'", b"=", b" ", b"\n", b"\0", b"\x1a",
    b"\x80", b"\xe9", b"\xff\xfe", b"\xef\xbb\xbf", b"\xf0\x9f\x98\x80", b"<title>", b"</title>", b"<a><b>",
    b"start='20261121'", b"channel='c'", b"<?xml version='1.0' encoding='utf-16'?>", b"<html>",
    b"20261121200000 +0000", b"x" * 300,
]  # fmt: skip


def damaged(data: bytes, chance: random.Random) -> bytes:
    """The bytes with one to six faults."""
    for _ in range(chance.randint(1, 6)):
        at = chance.randint(0, len(data))
        end = min(len(data), at + chance.choice((0, 1, 2, 7, 30, 400)))
        match chance.randrange(8):
            case 0:
                data = data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]
            case 1:
                data = data[:at] + data[end:]
            case 2 | 3:
                data = data[:at] + chance.choice(WORDS) + data[at if chance.random() < 0.7 else end :]
            case 4:
                data = data[:end] + data[at:end] * chance.randint(1, 5) + data[end:]
            case 5:
                other = chance.choice(SEEDS)
                begin = chance.randint(0, len(other))
                data = data[:at] + other[begin : begin + 500] + data[at:]
            case 6:
                data = data[:at]
            case _:
                data = chance.choice(WORDS) * chance.randint(1, 40) + data
    return data[: 3 * SEED_BYTES]


def mutants(rounds: int, seed: int) -> Iterator[bytes]:
    for number in range(rounds):
        chance = random.Random(seed * 1_000_003 + number)
        yield damaged(chance.choice(SEEDS), chance)


# ---- what must hold of any bytes -------------------------------------------------------------------------------------


def outcome(data: bytes, by: str, chunk_bytes: int) -> Reading | str:
    """What a reader makes of a file: what it said, or the sentence it refused with."""
    try:
        return read(data, reader=by, chunk_bytes=chunk_bytes, max_bytes=20 * MB)
    except AerialError as refusal:
        assert len(refusal.detail) > 10
        return refusal.detail


def check_reading(data: bytes) -> None:
    """The exact reader's promises, at a bounded cost; the fast one says the same; what comes out is sound."""
    with counted_work() as work:
        exact = outcome(data, "exact", 256 * 1024)
    check_cost(work.parsed_bytes, work.parsers, plain_size(data))
    fast = outcome(data, "fast", 256 * 1024)
    if isinstance(exact, str) or isinstance(fast, str):
        assert exact == fast
        return
    assert (fast.rows, fast.end, fast.head, fast.lost()) == (exact.rows, exact.end, exact.head, exact.lost())
    assert [channel.raw for channel in fast.channels] == [channel.raw for channel in exact.channels]
    assert fast.losses.warnings == exact.losses.warnings
    for channel, rows in exact.rows.items():
        for start, stop, _, title, raw in rows:
            check_row(channel, start, stop, title, raw)
    for one in exact.channels:
        assert root_of(one.raw) == "channel"


def root_of(raw: bytes) -> str:
    """The name of the element that the bytes are; ElementTree would ask for namespaces to be declared."""
    names: list[str] = []
    parser = expat.ParserCreate()
    parser.StartElementHandler = lambda name, _: names.append(name)
    parser.Parse(raw, True)
    return names[0]


def check_row(channel: str, start: int, stop: int, title: str, raw: bytes) -> None:
    assert root_of(raw) == "programme"
    assert (0 <= start <= stop or stop == 0) and stop < 2**32
    whole = details(raw)
    assert title in {text.value for text in whole.titles} | {""}
    out = write.programme(raw, start=start, stop=stop, channel_id=channel, title_fallback="-")
    written = ET.fromstring(out)
    assert written.get("start") == text_utc(start)
    assert written.findtext("title")


def plain_size(data: bytes) -> int:
    """The size of what is packed in the bytes as far as it can be unpacked, or their own."""
    size = 0
    try:
        stream = unpacked(io.BytesIO(data), max_bytes=20 * MB, losses=Losses())
        while piece := stream.read(MB):
            size += len(piece)
    except AerialError:
        pass
    return max(size, len(data))


def check_cost(parsed_bytes: int, parsers: int, size: int) -> None:
    """No input may cost more than a fixed multiple of its size."""
    assert parsed_bytes <= 12 * size + 64 * 1024, (parsed_bytes, size)
    assert parsers <= size / 4 + 64, (parsers, size)


def check_unpacking(data: bytes) -> None:
    """Any bytes give bytes, within the limit, or a sentence."""
    total = 0
    try:
        stream = unpacked(io.BytesIO(data), max_bytes=MB, losses=Losses())
        while piece := stream.read(10_000):
            total += len(piece)
    except AerialError as refusal:
        assert len(refusal.detail) > 10
    assert total <= MB


def kept(data: bytes, check: Callable[[bytes], None]) -> None:
    """Runs a check; a file that fails it is kept beside the tests, named by what it holds."""
    try:
        check(data)
    except Exception:
        CRASHERS.mkdir(exist_ok=True)
        path = CRASHERS / f"{check.__name__}-{hashlib.blake2b(data, digest_size=6).hexdigest()}"
        path.write_bytes(data)
        raise


# ---- the runs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(CRASHERS.glob("check_*")), ids=lambda path: path.name)
def test_what_broke_something_once_breaks_nothing_now(path: Path) -> None:
    check = check_unpacking if path.name.startswith("check_unpacking") else check_reading
    check(path.read_bytes())


@pytest.mark.parametrize("seed", range(6))
def test_a_damaged_guide_is_read_or_refused(seed: int) -> None:
    for data in mutants(SHORT_ROUNDS, seed):
        kept(data, check_reading)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("seed", range(100, 104))
def test_many_damaged_guides_are_read_or_refused(seed: int) -> None:
    for data in mutants(LONG_ROUNDS, seed):
        kept(data, check_reading)


PACKERS: list[Callable[[bytes], bytes]] = [
    gzip.compress, zlib.compress, lambda data: zlib.compress(data, wbits=-15), lzma.compress, bz2.compress,
    zstd.compress,
]  # fmt: skip


def packed(chance: random.Random) -> bytes:
    data = chance.choice(SEEDS)
    for _ in range(chance.randint(1, 3)):
        if chance.random() < 0.2:
            target = io.BytesIO()
            with zipfile.ZipFile(target, "w") as archive:
                archive.writestr("guide.xml", data)
            data = target.getvalue()
        else:
            data = chance.choice(PACKERS)(data)
    return damaged(data, chance) if chance.random() < 0.9 else data


@pytest.mark.parametrize(
    "rounds", [400, pytest.param(LONG_ROUNDS, marks=[pytest.mark.slow, pytest.mark.timeout(7200)])]
)
def test_damaged_packings_give_bytes_or_a_sentence(rounds: int) -> None:
    for number in range(rounds):
        kept(packed(random.Random(number)), check_unpacking)


STAMPS = st.one_of(
    st.text(st.sampled_from("0123456789 +-:ZTUCGMBS/\t٢²²"), max_size=26),
    st.builds(
        "{}{}{}".format,
        st.from_regex(r"\A[0-9]{1,16}\Z"),
        st.sampled_from(["", " ", "\t"]),
        st.one_of(
            st.just(""),
            st.from_regex(r"\A[+-][0-9:]{0,5}\Z"),
            st.sampled_from(sorted(times.ZONE_MINUTES)),
            st.text(max_size=8),
        ),
    ),
    st.text(max_size=30),
)


@settings(max_examples=500, deadline=None)
@given(STAMPS)
@example("20261121200000 Europe/../../etc/passwd")
@example("20261121200000 /etc/passwd")
@example("20261121200000 America/Argentina")
@example("99991231235959 -9999")
@example("20261121200000\n")
@example("2026112120000٠")
def test_any_text_is_a_time_or_refused_with_a_reason(text: str) -> None:
    stamps = Stamps()
    try:
        instant = stamps[text]
    except ValueError as reason:
        assert str(reason)
        assert text not in stamps
    else:
        assert 0 <= instant < 2**32
        assert stamps[text_utc(instant)] == instant
        assert text.lstrip()[:8].isascii()


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300), st.sampled_from(["cp1252", "cp1251", "shift_jis"]))
def test_mending_mends_or_leaves_and_is_done_at_once(noise: bytes, fallback: str) -> None:
    fixed = repaired(b"<a>" + noise + b"</a>", fallback)
    assert repaired(fixed, fallback) == fixed
    fixed.decode()


# ---- cost ------------------------------------------------------------------------------------------------------------

ROW = "<programme start='20261121200000' channel='c'><title>{}</title></programme>"
HOSTILE: dict[str, Callable[[int], str]] = {
    "start tags without an end": lambda n: "<programme " * n,
    "programmes that never end": lambda n: "<programme start='20261121' channel='c'>" * n,
    "one programme without an end before many": lambda n: "<programme start='20261121' channel='c'>" + ROW * n,
    "every second end lost": lambda n: (ROW + ROW.removesuffix("</programme>")) * n,
    "channels that never end": lambda n: "<channel id='c'>" * n,
    "titles that never end": lambda n: "<programme start='20261121' channel='c'><title>" * n,
    "every programme broken": lambda n: ROW.format("<b>") * n,
    "every programme mended": lambda n: ROW.format("a & b") * n,
    "every second programme broken": lambda n: (ROW + ROW.format("</x>")) * n,
    "ampersands": lambda n: ROW.format("&" * n),
    "comments that never end": lambda n: ROW.format("&" + "<!--" * n),
    "sections that never end": lambda n: ROW.format("&" + "<![CDATA[" * n),
    "instructions that never end": lambda n: ROW.format("<?x " * n),
    "nesting": lambda n: "<a>" * n,
    "nested programmes": lambda n: "<programme start='20261121' channel='c'>" * n + "</programme>" * n,
    "programmes in comments": lambda n: f"<!--{ROW * n}-->",
    "programmes in an open comment": lambda n: "<!--" + ROW * n,
    "end tags only": lambda n: "</programme>" * n,
    "ends of the guide": lambda n: "</tv>" * n,
    "beginnings of the guide": lambda n: "<tv>" * n,
    "junk between": lambda n: (ROW + "& < junk") * n,
    "quotes": lambda n: "<programme start='20261121' channel=\"" + "'" * n,
    "declarations": lambda n: "<?xml version='1.0'?>" * n,
    "an open tag at the end of each": lambda n: (ROW.removesuffix(">")) * n,
}


@pytest.mark.parametrize("by", READERS)
@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
def test_the_cost_of_a_hostile_file_grows_no_faster_than_its_size(hostile: Callable[[int], str], by: str) -> None:
    for size in (128 * 1024, 512 * 1024):
        inner = hostile(max(1, size // max(1, len(hostile(2)) - len(hostile(1)))))
        data = ("<tv>" + inner[:size] + "</tv>").encode()
        with counted_work() as work:
            outcome(data, by, 64 * 1024)
        assert work.parsed_bytes < 16 * len(data)
        assert work.parsers < len(data) / 4


def test_the_rounds_of_a_fuzz_are_the_same_every_time() -> None:
    assert list(mutants(20, 7)) == list(mutants(20, 7))
    assert len(set(itertools.chain(mutants(20, 7), mutants(20, 8)))) == 40
