"""What some channels of a lineup show in a window, for the stream service (`/internal/v1/lineups/NAME/listings`)."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice

from flask import Response
from flask_openapi3 import APIBlueprint
from pydantic import BaseModel, ConfigDict, Field

from epg_service.api import Collaborators, params
from epg_service.domain.entities import LineupChannel, Listing
from epg_service.domain.rules import ProgrammeRules
from epg_service.xmltv import edit
from epg_service.xmltv.fields import fields
from epg_service.xmltv.write import programme
from servicekit.clock import SystemClock
from servicekit.errors import Invalid, NotFound
from servicekit.web import json_answer

MOST_CHANNELS = 500
MOST_PROGRAMMES = 2_000
LONGEST_S = 120 * 86_400


class _Query(BaseModel):
    model_config = ConfigDict(extra="ignore")
    channels: str = Field(min_length=1, max_length=60_000, description="Ids of the lineup, by commas.")
    start: int = Field(ge=0, lt=1 << 32, description="Epoch seconds; what runs then is included.")
    end: int = Field(ge=0, lt=1 << 32)
    limit: int = Field(100, ge=1, le=MOST_PROGRAMMES, description="Programmes of each channel.")
    record: bool = Field(
        False, description="Unchanged by rules, with `record`: the fields that rules for programmes see."
    )


def blueprint(it: Collaborators) -> APIBlueprint:
    """`/internal/v1/lineups/NAME/listings`."""
    views = APIBlueprint("listings", __name__, url_prefix="/internal/v1", doc_ui=False)

    @views.get("/lineups/<name>/listings")
    def listings(path: params.LineupPath, query: _Query) -> Response:
        """One programme at a time, as in the published guide; a channel that is not there is left out."""
        it.lineups.get(path.name)
        wanted = list(dict.fromkeys(one for one in query.channels.split(",") if one))
        if len(wanted) > MOST_CHANNELS or not 0 < query.end - query.start <= LONGEST_S:
            raise Invalid(f"at most {MOST_CHANNELS} channels and {LONGEST_S} s at a time, and the start before the end")
        ruled = ProgrammeRules({} if query.record else it.lineups.extras(path.name), now_s=SystemClock().now_s)
        items = []
        with it.browse.one_instant():
            for one in wanted:
                try:
                    channel = it.lineups.channel(path.name, one)
                except NotFound:
                    continue
                shown = _shown(it, channel, query.start, query.end)[: MOST_PROGRAMMES if ruled else query.limit]
                found = it.browse.with_elements(shown)
                told = _recorded(found, channel) if query.record else _by_rules(found, channel, ruled)
                items.append({"id": channel.id, "programs": list(islice(told, query.limit))})
        return json_answer({"items": items, "next": None})

    return views


def _shown(it: Collaborators, channel: LineupChannel, from_s: int, to_s: int) -> list[Listing]:
    """The programmes of its guide channel, moved by the lineup's own shift ("+1" of another channel)."""
    if channel.channel_id is None:
        return []
    by_s = channel.shift_minutes * 60
    found = it.browse.shown(channel.channel_id, max(0, from_s - by_s), max(0, to_s - by_s))
    return [replace(one, start_s=max(0, one.start_s + by_s), stop_s=max(0, one.stop_s + by_s)) for one in found]


def _by_rules(
    listings: Iterable[Listing], channel: LineupChannel, ruled: ProgrammeRules
) -> Iterator[dict[str, object]]:
    """What is told of each, as the lineup's rules want it; those that its filters leave out are not told."""
    of_channel = edit.of_channel(channel.id, channel.name, channel.group or "")
    for one in listings:
        edits: tuple[tuple[str, str], ...] | None = ()
        if ruled and one.raw:
            edits = edit.judged(ruled, _element(one, channel), one.start_s, one.stop_s, of_channel)
        if edits is not None:
            yield _told(one, dict(edits))


def _recorded(listings: Iterable[Listing], channel: LineupChannel) -> Iterator[dict[str, object]]:
    """What is told of each, before any rule, and the fields of the expression language."""
    for one in listings:
        said = edit.of_channel(channel.id, channel.name, channel.group or "")
        said |= {"programme_start": str(one.start_s), "programme_stop": str(one.stop_s)}
        own = edit.read(_element(one, channel), edit.READERS) if one.raw else {}
        yield _told(one, {}) | {"record": own | said}


def _element(one: Listing, channel: LineupChannel) -> bytes:
    return programme(one.raw, start=one.start_s, stop=one.stop_s, channel_id=channel.id, title_fallback=edit.NO_TITLE)


def _told(one: Listing, edits: Mapping[str, str]) -> dict[str, object]:
    said = fields(one.raw) if one.raw else None
    return {
        "id": one.id,
        "start": one.start_s,
        "stop": one.stop_s,
        "title": edits.get("programme_title", one.title) or edit.NO_TITLE,
        "subtitle": edits.get("programme_subtitle", said.subtitle if said else None) or None,
        "description": edits.get("programme_description", said.description if said else None) or None,
    }
