"""Days from the comparison to what is stored, without a database."""

from epg_service.domain.days import (
    IN_FORM,
    ORDINAL_BITS,
    UNREAD,
    PackedDay,
    StoredDay,
    digest_of,
    digests_of,
    inflated,
    raws_of,
    unpacked_contents,
)
from epg_service.domain.model import Rows
from epg_service.domain.parts import PART_ROWS, InFile, parts_of, thinned
from epg_service.importer.compare import Layout, StoredChannel, changed_days
from epg_service.xmltv.form import flags_of
from tests.epg.partkit import bodies_of

MIDNIGHT = 20_000 * 86_400
PLAIN = "<title>One</title>\n  <desc lang='en'>A &amp; B</desc>"
ODD = "<title>Two</title><made-up>kept in the store</made-up>"


def element(n: int, body: str, channel: str = "c") -> bytes:
    return f'<programme start="202410{n + 4:02}000000 +0200" stop="x" channel="{channel}">{body}</programme>'.encode()


def rows(*bodies: str, from_s: int = MIDNIGHT) -> Rows:
    starts = [from_s + 3600 * n for n in range(len(bodies))]
    raws = [element(n, body) for n, body in enumerate(bodies)]
    stops, ordinals, titles = [start + 3600 for start in starts], [0] * len(starts), ["t"] * len(starts)
    return Rows(starts, stops, ordinals, titles, raws, digests_of(raws), flags_of(raws))


def stored(day: PackedDay) -> StoredDay:
    return StoredDay(day.day, day.contents, day.body, day.parts)


def packed_of(found: Rows, *before: PackedDay, layout: Layout | None = None) -> list[PackedDay]:
    """The days that an import of `found` changes where `before` is stored."""
    days = {day.day: day for day in before}
    channel = StoredChannel("c", 1, {day.day: (day.contents, day.parts) for day in before})
    return list(changed_days(found, channel, lambda asked: {day: stored(days[day]) for day in asked}, layout=layout))


def test_an_element_in_form_is_stored_as_it_is_published() -> None:
    (day,) = packed_of(rows(PLAIN))
    assert stored(day).all_have(IN_FORM)
    assert inflated(stored(day).body) == (
        b'<programme start="20241004000000 +0000" stop="20241004010000 +0000" channel="c">'
        + PLAIN.encode()
        + b"</programme>\n"
    )
    assert stored(day).contents.flags[0] & IN_FORM


def test_any_other_is_stored_as_the_provider_wrote_it() -> None:
    (day,) = packed_of(rows(PLAIN, ODD))
    assert not stored(day).all_have(IN_FORM)
    assert raws_of(stored(day).contents, day.body)[1] == element(1, ODD)


def test_the_same_programmes_again_are_no_change_and_another_stop_is_one() -> None:
    found = rows(PLAIN, ODD)
    (day,) = packed_of(found)
    assert packed_of(found, day) == []
    found.stops[1] += 60
    (changed,) = packed_of(found, day)
    assert unpacked_contents(changed.contents).stops[1] == found.stops[1]


def test_history_of_the_first_day_stays() -> None:
    (old,) = packed_of(rows(PLAIN, PLAIN, ODD))
    (day,) = packed_of(rows(ODD, from_s=MIDNIGHT + 7200), old)
    new = unpacked_contents(day.contents)
    assert [key >> ORDINAL_BITS for key in new.keys] == [MIDNIGHT, MIDNIGHT + 3600, MIDNIGHT + 7200]
    assert [flag & IN_FORM for flag in new.flags] == [IN_FORM, IN_FORM, 0]
    assert raws_of(new, day.body)[:2] == raws_of(unpacked_contents(old.contents), old.body)[:2]


LAYOUT = Layout(b"\n  ", 7)


def test_a_part_in_which_nothing_changed_keeps_its_bytes() -> None:
    bodies = [f"<title>{n}</title>" for n in range(24)]
    (day,) = packed_of(rows(*bodies), layout=LAYOUT)
    assert [part.programmes for part in parts_of(day.parts)] == [12, 12]
    bodies[3] = "<title>another</title>"
    (changed,) = packed_of(rows(*bodies), day, layout=LAYOUT)
    was, now = bodies_of(stored(day)), bodies_of(stored(changed))
    assert (was[0] == now[0], was[1] == now[1]) == (False, True)
    assert parts_of(changed.parts)[1] == parts_of(day.parts)[1]
    assert inflated(changed.body).count(b"another") == 1


def test_a_part_tells_what_its_programmes_are_in_the_file() -> None:
    found = rows(PLAIN, ODD)
    text = LAYOUT.gap.join(found.raws)
    (day,) = packed_of(found, layout=LAYOUT)
    (part,) = parts_of(day.parts)
    assert part.in_file == InFile(LAYOUT.basis, len(text), digest_of(text), tuple(map(len, found.raws)))
    (untold,) = packed_of(found)
    assert parts_of(untold.parts)[0].in_file is None


def test_what_was_not_read_is_taken_from_what_is_stored() -> None:
    bodies = [f"<title>{n}</title>" for n in range(6)]
    (day,) = packed_of(rows(*bodies))
    found = rows(*bodies)
    found.titles[0] = found.titles[1] = UNREAD
    found.raws[0] = found.raws[1] = b""
    found.stops[5] += 60
    (changed,) = packed_of(found, day)
    kept = [raws_of(unpacked_contents(one.contents), one.body)[:5] for one in (day, changed)]
    assert kept[0] == kept[1]
    assert changed.titles.startswith(f"{UNREAD}\0{UNREAD}\0".encode())


def test_a_day_worn_into_crumbs_is_packed_anew() -> None:
    bodies = [f"<title>{n}</title>" for n in range(24)]
    (day,) = packed_of(rows(*bodies))
    for turn in range(40):
        bodies.insert(5 * turn % len(bodies), f"<title>new {turn}</title>") if turn % 2 else bodies.pop(turn % 7)
        (day,) = packed_of(rows(*bodies), day)
        assert len(parts_of(day.parts)) <= 3 + 2 * len(bodies) // PART_ROWS
        assert b"".join(map(inflated, bodies_of(stored(day)))) == inflated(day.body)
        assert inflated(day.body).count(b"<title>") == len(bodies)


def test_of_a_day_some_stay() -> None:
    (day,) = packed_of(rows(*(f"<title>{n}</title>" for n in range(24))))
    first = MIDNIGHT + 10 * 3600
    left = thinned(stored(day), lambda key, _: key >> ORDINAL_BITS >= first)
    assert left is not None
    known = unpacked_contents(left.contents)
    assert [key >> ORDINAL_BITS for key in known.keys] == [MIDNIGHT + n * 3600 for n in range(10, 24)]
    assert raws_of(known, left.body) == raws_of(unpacked_contents(day.contents), day.body)[10:]
    assert parts_of(left.parts)[-1] == parts_of(day.parts)[-1], "what stays whole is not packed anew"
    assert thinned(stored(day), lambda *_: False) is None
