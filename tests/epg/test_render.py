"""One XMLTV file out of stored days: copied where nothing is to be done, and always the same as when it is written."""

import itertools
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epg_service.domain.days import ORDINAL_BITS, StoredDay, by_day, contents_of, deflated
from epg_service.domain.entities import Mapped
from epg_service.domain.profiles import PROFILES, Options, options
from epg_service.lineups.render import Entry, Piece, Rendering
from epg_service.xmltv import form, write
from epg_service.xmltv.gzipped import Ready
from tests.epg.guidekit import DAY, HOUR, NOON, stamp

INNER = [
    "<title>T</title>", "<title/>", "<desc>d</desc>", '<title lang="en">T</title><desc>d &amp; e</desc><new/>',
    '<title>T</title><episode-num system="onscreen">S01E05</episode-num>', "<title>T</title><lcn>5</lcn>",
    '<title>T</title><desc> +0000" channel="own.id"></desc>',
    '<title>T</title><episode-num system="onscreen">x</episode-num><episode-num system="xmltv_ns">0.1.</episode-num>',
    '<title>T</title><date>20200101</date><previously-shown/>', "<title>T</title><url>https://e.x/</url>",
    '<title>T</title><image type="poster">https://e.x/p?a=1&amp;b="2"</image>',
]  # fmt: skip
Shows = list[tuple[int, int, str]]


class Stored:
    """Days in memory, one guide for each provider, as an import stores them."""

    def __init__(self, *providers: Shows, shift_s: int = 0) -> None:
        self._providers = [
            (Mapped(at, at, "own.id", 1, "id", DAY, shift_s), days_of(shows)) for at, shows in enumerate(providers, 1)
        ]

    def days(self, channel_id: int) -> list[tuple[Mapped, list[StoredDay]]]:
        return self._providers


def days_of(shows: Shows) -> list[StoredDay]:
    shows = sorted({start: (start, stop, inner) for start, stop, inner in shows}.values())
    starts, stops = [one[0] for one in shows], [one[1] for one in shows]
    raws = [
        f'<programme start="{stamp(start)}" stop="{stamp(stop)}" channel="own.id">{inner}</programme>'.encode()
        for start, stop, inner in shows
    ]
    found = []
    for day, part in by_day(starts):
        flags = form.flags_of(raws[part])
        keys = [start << ORDINAL_BITS for start in starts[part]]
        lengths, text = list(map(len, raws[part])), b"".join([raw + b"\n" for raw in raws[part]])
        contents = contents_of(keys, [0] * len(keys), stops[part], lengths, flags)
        found.append(StoredDay(day, contents, deflated(text)))
    return found


def written(stored: Stored, asked: Options, channel_id: str = "c.1") -> list[Piece]:
    entry = Entry(channel_id, "Channel", write.channel(channel_id, [(None, "Channel")]), 1)
    return list(Rendering(guide=stored, options=asked, now_s=NOON).file([entry]))


def text(pieces: list[Piece]) -> bytes:
    return b"".join(one.text if isinstance(one, Ready) else one for one in pieces)


def asked_for(profile: str, **more: object) -> Options:
    return options(usual=profile, **more)  # type: ignore[arg-type]


steps = st.lists(st.tuples(st.integers(-30, 300), st.integers(0, 200), st.sampled_from(INNER)), min_size=1, max_size=30)


def placed(found: list[tuple[int, int, str]]) -> Shows:
    """Programmes around noon, minutes apart, overlapping or with gaps."""
    at, shows = NOON - DAY, []
    for gap, length, inner in found:
        at = max(0, at + gap * 60)
        shows.append((at, at + length * 60, inner))
        at += length * 60
    return shows


@settings(max_examples=150, deadline=None)
@given(st.lists(steps, min_size=1, max_size=3), st.sampled_from(sorted(set(PROFILES) - {"full"})), st.booleans())
def test_whatever_is_stored_no_two_programmes_overlap(
    providers: list[list[tuple[int, int, str]]], profile: str, filled: bool
) -> None:
    stored = Stored(*map(placed, providers))
    root = ET.fromstring(text(written(stored, asked_for(profile, placeholders=filled))))
    spans = [(str(one.get("start")), str(one.get("stop"))) for one in root.iter("programme")]
    assert all(start < stop for start, stop in spans)
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(spans))
    assert all(one.findtext("title") for one in root.iter("programme"))
    if filled or PROFILES[profile].placeholders:
        assert all(a[1] == b[0] for a, b in itertools.pairwise(spans))
        assert spans[0][0] <= stamp(NOON) < spans[-1][1], "what runs now is covered"


@settings(max_examples=150, deadline=None)
@given(steps, st.sampled_from(["standard", "full"]))
def test_what_is_copied_says_what_is_written_one_by_one(found: list[tuple[int, int, str]], profile: str) -> None:
    shows = placed(found)
    copied = text(written(Stored(shows), asked_for(profile)))
    slow = replace(asked_for(profile), languages=("xx",))  # looks into every element, and finds no such language
    assert ET.canonicalize(copied, strip_text=True) == ET.canonicalize(
        text(written(Stored(shows), slow)), strip_text=True
    )


@settings(max_examples=60, deadline=None)
@given(steps, st.integers(0, 3), st.integers(1, 3))
def test_a_window_holds_what_touches_it(found: list[tuple[int, int, str]], past: int, ahead: int) -> None:
    shows = placed(found)
    root = ET.fromstring(text(written(Stored(shows), asked_for("full", past_days=past, days=ahead))))
    begin, end = NOON - past * DAY, NOON + ahead * DAY
    kept = {start: stop for start, stop, _ in shows}
    expected = [stamp(one) for one, stop in sorted(kept.items()) if one < end and (stop > begin or one >= begin)]
    assert [one.get("start") for one in root.iter("programme")] == expected


@settings(max_examples=150, deadline=None)
@given(st.lists(steps, min_size=1, max_size=2), st.integers(0, 2), st.integers(1, 2))
def test_a_window_shows_what_the_whole_guide_shows_there(
    providers: list[list[tuple[int, int, str]]], past: int, ahead: int
) -> None:
    stored = Stored(*map(placed, providers))
    whole = ET.fromstring(text(written(stored, asked_for("standard"))))
    begin, end = stamp(NOON - past * DAY), stamp(NOON + ahead * DAY)
    expected = [one for one in spans(whole) if one[0] < end and one[1] > begin]
    part = ET.fromstring(text(written(stored, asked_for("standard", past_days=past, days=ahead))))
    assert spans(part) == expected


def spans(root: ET.Element) -> list[tuple[str, str]]:
    return [(str(one.get("start")), str(one.get("stop"))) for one in root.iter("programme")]


def test_what_another_programme_cut_off_before_the_window_is_over() -> None:
    title = "<title>T</title>"
    shows = [(NOON - 3 * HOUR, NOON + 3 * HOUR, title), (NOON - 2 * HOUR, NOON - HOUR, title)]
    assert spans(ET.fromstring(text(written(Stored(shows), asked_for("standard", past_days=0))))) == []
    shows[1] = (NOON - 2 * HOUR, NOON + HOUR, title)
    now = asked_for("standard", past_days=0)
    assert spans(ET.fromstring(text(written(Stored(shows), now)))) == [(stamp(NOON - 2 * HOUR), stamp(NOON + HOUR))]


HOURS = [(NOON + at * HOUR, NOON + (at + 1) * HOUR, "<title>T</title>") for at in range(30)]


def test_a_days_packed_bytes_are_taken_over_under_the_same_id() -> None:
    pieces = written(Stored(HOURS), asked_for("full"), "own.id")
    assert [len(one.text.split(b"<programme")) - 1 for one in pieces if isinstance(one, Ready)] == [12, 18]


def test_under_another_id_only_the_start_tags_change() -> None:
    tricky = [*HOURS[:3], (NOON + 4 * HOUR, NOON + 5 * HOUR, '<title>T</title><desc> +0000" channel="own.id"></desc>')]
    for shows in (HOURS, tricky):
        root = ET.fromstring(text(written(Stored(shows), asked_for("standard"), "other & one")))
        assert {one.get("channel") for one in root.iter("programme")} == {"other & one"}
        assert len(list(root.iter("programme"))) == len(shows)
    assert root.findall("programme")[-1].findtext("desc") == ' +0000" channel="own.id">'


def test_a_shift_moves_every_time() -> None:
    root = ET.fromstring(text(written(Stored(HOURS[:1], shift_s=-HOUR), asked_for("full"))))
    assert [(one.get("start"), one.get("stop")) for one in root.iter("programme")] == [
        (stamp(NOON - HOUR), stamp(NOON))
    ]


@pytest.mark.parametrize(
    ("inner", "expected"),
    [
        ("<lcn>5</lcn>", "<lcn>5</lcn>"),
        ("<live/>", "<live/>"),
        ('<a x="1 &amp; 2">b<c/></a>', '<a x="1 &amp; 2">b<c/></a>'),
        ("<p:q>r</p:q>", '<p:q xmlns:p="urn:xmltv:p">r</p:q>'),
    ],
    ids=["element", "empty", "nested", "prefix"],
)
def test_extras_stand_behind_what_the_dtd_knows(inner: str, expected: str) -> None:
    shows: Shows = [(NOON, NOON + HOUR, f"{inner}<title>T</title>")]
    assert inner.split(">")[0].encode() not in text(written(Stored(shows), asked_for("full")))
    out = text(written(Stored(shows), asked_for("full", extras=True)))
    assert f"<title>T</title>\n    {expected}\n  </programme>" in out.decode()
    ET.fromstring(out)
