"""Other people's readers of XMLTV as judges: the tools of the XMLTV project, and the DTD by xmllint.

`tv_cat` writes a guide as the XMLTV library understands it, `tv_sort` orders it, folds doubles and makes up stop times,
`tv_validate_file` finds fault with what is published.
"""

import os
import subprocess
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import pytest

from epg_service.xmltv import write
from epg_service.xmltv.elements import folded
from epg_service.xmltv.times import Stamps
from servicekit.errors import AerialError
from tests.epg.dtdkit import RANK, programmes_said, said
from tests.epg.nasty_inputs import CASES, guide, show, titled
from tests.epg.readingkit import CORPUS, FIXTURES, Reading, read
from tests.programs import needs

SUPPLEMENT = next((place for place in ("/usr/share/xmltv", "/usr/local/share/xmltv") if Path(place).is_dir()), "")
XMLTV_OWN = CORPUS / "XMLTV-xmltv"
UNIT_S = {"seconds": 1, "minutes": 60, "hours": 3600}
SMALL_BYTES = 300_000


def corpus() -> list[Path]:
    """Files of the corpus small enough for tools that hold them whole."""
    files = sorted(CORPUS.rglob("*.xml")) if CORPUS.is_dir() else []
    return [path for path in files if path.stat().st_size < SMALL_BYTES and "channels_" not in str(path)]


FILES = [*sorted(FIXTURES.glob("*.xml")), *corpus()]
needs_corpus = pytest.mark.skipif(not XMLTV_OWN.is_dir(), reason="no corpus of real files (AERIAL_CORPUS)")


def tool(*command: str | Path) -> subprocess.CompletedProcess[bytes]:
    needs(str(command[0]))
    environment = {**os.environ, "XMLTV_SUPPLEMENT": SUPPLEMENT}
    return subprocess.run(command, capture_output=True, env=environment, timeout=120)


def published(found: Reading, *, domains: bool = False) -> bytes:
    """Everything that was read as one guide, channels first; `domains`: under ids in the form of names of hosts."""
    elements = {channel.id: [channel.raw] for channel in found.channels}
    names = dict.fromkeys([*elements, *found.rows])
    ids = {name: f"c{number}.example" if domains else name for number, name in enumerate(names)}
    parts = [write.head("test")]
    parts += [write.full_channel(ids[name], name, None, elements.get(name, [])) for name in names]
    for channel, rows in found.rows.items():
        for start, stop, _, _, raw in rows:
            parts.append(
                write.programme(raw, start=start, stop=stop, channel_id=ids[channel], title_fallback="No title")
            )
    return b"".join([*parts, write.tail()])


def readable(data: bytes) -> Reading | None:
    """A file read whole; None when it is refused, as it may be."""
    try:
        return read(data)
    except AerialError:
        return None


def name_of(path: Path) -> str:
    return str(path.relative_to(CORPUS)) if path.is_relative_to(CORPUS) else path.name


MEANT = ("No programme entries found for ",)  # a channel is listed whether or not it has a guide

# ---- what is published -----------------------------------------------------------------------------------------------


def test_the_dtd_accepts_what_is_published_of_any_file(tmp_path: Path) -> None:
    written: list[Path] = []
    inputs = [path.read_bytes() for path in FILES]
    inputs += [case.data if isinstance(case.data, bytes) else case.data.encode("utf-8", "replace") for case in CASES]
    for number, data in enumerate(inputs):
        if (found := readable(data)) and found.end.programmes < 20_000:
            path = tmp_path / f"{number}.xml"
            path.write_bytes(published(found))
            written.append(path)
    assert len(written) > 200
    lint = tool("xmllint", "--huge", "--noout", "--dtdvalid", Path(SUPPLEMENT, "xmltv.dtd"), *written)
    assert (lint.returncode, lint.stderr.decode()[:2000]) == (0, "")


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_the_validator_of_xmltv_finds_no_fault_with_what_is_published(path: Path, tmp_path: Path) -> None:
    found = readable(path.read_bytes())
    if found is None or not found.rows:
        return  # nothing to publish
    out = tmp_path / "guide.xml"
    out.write_bytes(published(found, domains=True))
    check = tool("tv_validate_file", out)
    complaints = [line for line in check.stdout.decode().splitlines() if not line.startswith(MEANT)]
    assert complaints in (["Validated ok."], ["1 error found."]), check.stdout + check.stderr


# ---- what was read ---------------------------------------------------------------------------------------------------


def children_said(root: ET.Element) -> Counter[object]:
    """Every programme by channel and start, with all that it says; its stop left to `tv_sort`."""
    stamps = Stamps()
    found: Counter[object] = Counter()
    for one in root.iter("programme"):
        for length in one.iter("length"):  # the library writes whole hours as hours
            length.text = str(int(length.text or 0) * UNIT_S[length.attrib.pop("units")])
        inside = sorted(one, key=lambda child: RANK[child.tag])
        found[(folded(one.attrib["channel"]), stamps[one.attrib["start"]], *map(said, inside))] += 1
    return found


def cats(path: Path) -> ET.Element | None:
    """The file as the XMLTV library reads it; None where it complains of it, which it never does of its own files."""
    done = tool("tv_cat", path)
    if done.returncode or done.stderr:
        assert not path.is_relative_to(XMLTV_OWN), done.stderr
        return None
    return ET.fromstring(done.stdout)


@needs_corpus
@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_every_programme_says_what_the_xmltv_library_reads_in_it(path: Path) -> None:
    root = cats(path)
    if root is None:
        return
    theirs = children_said(root)
    found = read(path.read_bytes())
    ours = children_said(ET.fromstring(published(found)))
    assert set(found.lost()) <= {"double", "crowded"}
    assert (ours - theirs).total() <= found.losses.count("double"), "of two doubles either may stay"
    assert (theirs - ours).total() <= found.losses.total()


def rows_of(root: ET.Element) -> dict[tuple[str, int, str], list[int]]:
    """The stops (0: none) of every channel, start and first title of a document."""
    stamps = Stamps()
    found: dict[tuple[str, int, str], list[int]] = {}
    for one in root.iter("programme"):
        stop = one.get("stop")
        key = (folded(one.attrib["channel"]), stamps[one.attrib["start"]], folded(one.findtext("title") or ""))
        found.setdefault(key, []).append(stamps[stop] if stop else 0)
    return found


def same_start_stops(root: ET.Element) -> dict[tuple[str, int], set[int]]:
    """The stops that the file itself gives to programmes of one channel and start."""
    stamps = Stamps()
    found: dict[tuple[str, int], set[int]] = {}
    for one in root.iter("programme"):
        if stop := one.get("stop"):
            found.setdefault((one.attrib["channel"].strip(), stamps[one.attrib["start"]]), set()).add(stamps[stop])
    return found


def compare_with_tv_sort(path: Path) -> int:
    """How many stops tv_sort and we made up alike. What differs must be one of the differences that are meant:
    tv_sort takes the stop of another programme with the same start, and leaves out what has no next programme."""
    done = tool("tv_sort", path)
    assert done.returncode == 0, done.stderr
    source = ET.parse(path).getroot()
    theirs, given = rows_of(ET.fromstring(done.stdout)), same_start_stops(source)
    alike = 0
    ours: dict[tuple[str, int, str], list[int]] = {}
    found = read(path.read_bytes())
    for channel, rows in found.rows.items():
        for start, stop, _, title, _ in rows:
            ours.setdefault((channel, start, title), []).append(stop)
    assert set(ours) <= set(theirs)
    assert len(theirs) - len(ours) == found.losses.count("crowded")
    for key, stops in theirs.items():
        for stop in stops:
            if stop and stop not in ours.get(key, [stop]):
                assert stop in given.get(key[:2], ()), key
            alike += stop in ours.get(key, ())
    return alike


@needs_corpus
@pytest.mark.parametrize("path", sorted(XMLTV_OWN.rglob("*.xml")), ids=name_of)
def test_order_doubles_and_stops_are_those_of_tv_sort(path: Path) -> None:
    compare_with_tv_sort(path)


def test_stops_made_up_are_those_of_tv_sort(tmp_path: Path) -> None:
    path = tmp_path / "guide.xml"
    day = [(f"20261121{hour:02}0000",) for hour in range(24)]
    parts = [titled(f"{channel}{n}", times, channel) for channel in "ab" for n, times in enumerate(day)]
    path.write_text('<?xml version="1.0"?>\n' + guide(*reversed(parts), *parts[:7]))
    assert compare_with_tv_sort(path) == 46, "all but the last of each channel"


def test_two_files_in_one_are_what_tv_cat_makes_of_them(tmp_path: Path) -> None:
    one, two = tmp_path / "one.xml", tmp_path / "two.xml"
    channel = '<channel id="{}"><display-name>{}</display-name></channel>'
    one.write_text(guide(channel.format("a", "A"), titled("1", channel="a"), titled("2", channel="a")))
    two.write_text(guide(channel.format("b", "B"), show("<title>3</title><desc>d &amp; e</desc>", channel="b")))
    both = tool("tv_cat", one, two)
    assert both.returncode == 0, both.stderr
    found = read(both.stdout)
    assert found.titles == ["1", "2", "3"]
    assert sorted(channel.display_names for channel in found.channels) == [[(None, "A")], [(None, "B")]]
    apart = [ET.fromstring(published(read(path.read_bytes()))) for path in (one, two)]
    together = programmes_said(ET.fromstring(published(found)))
    assert together == [each for root in apart for each in programmes_said(root)]
