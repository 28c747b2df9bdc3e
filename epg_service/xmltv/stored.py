"""A provider's channel as it is stored, for guides that leave nothing out and add nothing.

A day whose elements all stand in the form that is published is copied, its deflated body too: a twentieth of the cost
of reading, proving, rewriting and packing them. Only the others are rewritten.
"""

from collections.abc import Iterable, Iterator

from epg_service.domain.days import IN_FORM, ORDINAL_BITS, StoredDay
from epg_service.xmltv.gzipped import Ready
from epg_service.xmltv.write import programme, start_tags


def as_stored(
    days: Iterable[StoredDay], *, stored_id: str, channel_id: str, title_fallback: str
) -> Iterator[bytes | Ready]:
    """The programmes of one provider's channel under `channel_id`, overlaps included; `stored_id` is the provider's."""
    for day in days:
        text = day.text() if channel_id == stored_id else None
        yield Ready(text, day.body) if text is not None else b"".join(_rewritten(day, channel_id, title_fallback))


def _rewritten(day: StoredDay, channel_id: str, title_fallback: str) -> Iterator[bytes]:
    known = day.contents
    starts = [key >> ORDINAL_BITS for key in known.keys]
    tags = start_tags(starts, known.stops, channel_id)
    for raw, flags, tag, start, stop in zip(day.raws(), known.flags, tags, starts, known.stops, strict=True):
        if flags & IN_FORM:
            yield tag + raw[raw.index(b">") + 1 :] + b"\n"
        else:
            yield programme(raw, start=start, stop=stop, channel_id=channel_id, title_fallback=title_fallback)
