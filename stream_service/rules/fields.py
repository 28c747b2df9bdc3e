"""A stream of a lineup as the expression language sees it, and back."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from stream_service.domain.model import LineupStream
from stream_service.domain.numbering import canonical_number
from stream_service.domain.text import clean

_TEXTS = {
    "tvg_id": "tvg_id",
    "channel_name": "name",
    "group_title": "group",
    "tvg_logo": "logo",
    "tvg_chno": "wanted_number",
    "tvg_name": "tvg_name",
}
"""Field of the language -> field of a stream."""
_ATTRIBUTES = {
    "tvg_shift": ("tvg-shift",),
    "tvg_language": ("tvg-language",),
    "tvg_country": ("tvg-country",),
    "radio": ("radio",),
    "is_adult": ("is-adult", "is_adult", "adult"),
}
"""Field of the language -> attributes of an entry that say so, the one that is written first."""


@dataclass(frozen=True, slots=True)
class SourceTexts:
    """What the language may ask of a source. `url`: as it may be shown, without passwords."""

    name: str = ""
    type: str = ""
    url: str = ""


NO_SOURCE = SourceTexts()


def record_of(stream: LineupStream, source: SourceTexts = NO_SOURCE) -> dict[str, str]:
    """Canonical field name -> text; what the entry does not say is ''."""
    record = {
        "channel_name": stream.name,
        "tvg_id": stream.tvg_id,
        "tvg_logo": stream.logo,
        "group_title": stream.group,
        "tvg_chno": stream.wanted_number,
        "tvg_name": stream.tvg_name,
        "tvg_shift": "",
        "tvg_language": "",
        "tvg_country": "",
        "radio": "",
        "is_adult": "",
        "stream_url": stream.stream.url,
        "source_name": source.name,
        "source_type": source.type,
        "source_url": source.url,
    }
    said = stream.attributes
    if said:
        for name, keys in _ATTRIBUTES.items():
            for key in keys:
                if key in said:
                    record[name] = said[key]
                    break
    return record


def with_texts(stream: LineupStream, record: Mapping[str, str], written: Collection[str]) -> LineupStream:
    """The stream with the fields of `written` as `record` has them. A number that is none counts as not given."""
    texts = [
        clean(record[name]) if name in written else getattr(stream, own)  # most are as they were
        for name, own in _TEXTS.items()
    ]
    tvg_id, name, group, logo, number, tvg_name = texts
    if "tvg_chno" in written:
        number = canonical_number(number)
    attributes = stream.attributes if _ATTRIBUTES.keys().isdisjoint(written) else _attributes(stream, record, written)
    return LineupStream(
        stream.stream, stream.channel_id, tvg_id, name, group, logo, number, attributes, tvg_name, stream.xtream_id
    )


def _attributes(stream: LineupStream, record: Mapping[str, str], written: Collection[str]) -> Mapping[str, str]:
    attributes = dict(stream.attributes)
    for name, keys in _ATTRIBUTES.items():
        if name in written:
            for key in keys:
                attributes.pop(key, None)
            if value := clean(record[name]):
                attributes[keys[0]] = value
    return attributes
