"""Days from the comparison to what is stored, without a database."""

from epg_service.domain.days import (
    IN_FORM,
    ORDINAL_BITS,
    DayColumns,
    PackedDay,
    StoredDay,
    digests_of,
    inflated,
    raws_of,
    unpacked_contents,
)
from epg_service.domain.model import Rows
from epg_service.importer.compare import StoredChannel, changed_days
from epg_service.xmltv.form import flags_of

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


def never(day: int) -> DayColumns:
    raise AssertionError(f"day {day} was read")


def packed_of(found: Rows, before: StoredChannel | None = None) -> list[PackedDay]:
    return list(changed_days(found, before or StoredChannel("c", 0, {}), never))


def stored(day: PackedDay) -> StoredDay:
    return StoredDay(day.day, day.contents, day.body)


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
    before = StoredChannel("c", 1, {day.day: day.contents})
    assert packed_of(found, before) == []
    found.stops[1] += 60
    (changed,) = packed_of(found, before)
    assert unpacked_contents(changed.contents).stops[1] == found.stops[1]


def test_history_of_the_first_day_stays() -> None:
    (old,) = packed_of(rows(PLAIN, PLAIN, ODD))
    kept = unpacked_contents(old.contents)
    columns = DayColumns(kept.keys, kept.digests, kept.stops, ["t"] * 3, kept.lengths, kept.flags, inflated(old.body))
    later = rows(ODD, from_s=MIDNIGHT + 7200)
    (day,) = changed_days(later, StoredChannel("c", 1, {old.day: old.contents}), lambda _: columns)
    new = unpacked_contents(day.contents)
    assert [key >> ORDINAL_BITS for key in new.keys] == [MIDNIGHT, MIDNIGHT + 3600, MIDNIGHT + 7200]
    assert [flag & IN_FORM for flag in new.flags] == [IN_FORM, IN_FORM, 0]
