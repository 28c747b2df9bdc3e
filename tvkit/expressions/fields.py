"""What an expression may name: the fields of streams, of programmes and of requests, with the words people use.

A record is a mapping of canonical field names to text. A field has a kind, so that `programme_start > "tomorrow"` is
refused when it is written and not when it is applied. Times in records are epoch seconds (or any spelling that
`tvkit.expressions.scalars` reads), booleans `true` or `false`.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["text", "number", "time", "bool"]
HEADER = "header:"
"""Requests carry their headers in the record under this prefix and the header's name in lower case."""
_ALIKE_PERCENT = 60


@dataclass(frozen=True, slots=True)
class Field:
    """One name that an expression may use; `read_only` ones stand in conditions alone."""

    name: str
    about: str
    aliases: tuple[str, ...] = ()
    kind: Kind = "text"
    read_only: bool = False


def nearest(word: str, words: tuple[str, ...]) -> str:
    """The word most like `word`; empty when none is at all alike."""
    from rapidfuzz import fuzz, process, utils  # only faults ask; every process that applies rules does without it

    found = process.extractOne(
        word, words, scorer=fuzz.ratio, processor=utils.default_process, score_cutoff=_ALIKE_PERCENT
    )
    return found[0] if found is not None else ""


@dataclass(frozen=True)
class Fields:
    """The fields of one domain. Names and aliases are found in any case."""

    domain: str
    fields: tuple[Field, ...]
    headers: bool = field(default=False)
    """Whether `@dynamic(request.headers):name` means something here."""
    logos: bool = field(default=True)
    """Whether `@logo:ID` does: where our own addresses are known."""

    def __iter__(self) -> Iterator[Field]:
        return iter(self.fields)

    @functools.cached_property
    def _by_word(self) -> dict[str, Field]:
        words = {alias: one for one in self.fields for alias in one.aliases}
        return words | {one.name: one for one in self.fields}

    def find(self, word: str) -> Field | None:
        """The field of that name or alias, or None."""
        if self.headers and word.startswith(HEADER):
            return Field(word, "a header of the request", read_only=True)
        return self._by_word.get(word.lower())

    def knows(self, asking: str) -> bool:
        """Whether an @ word means something here."""
        return self.logos if asking.startswith("@logo") else self.headers if asking.startswith("@dynamic") else True

    def nearest(self, word: str) -> str:
        """The canonical name of the field whose name or alias is most like `word`; empty when none is."""
        close = nearest(word, tuple(self._by_word))
        return self._by_word[close].name if close else ""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(one.name for one in self.fields)


_SOURCE = (
    Field("source_name", "name of the source it came from", ("source",), read_only=True),
    Field("source_type", "kind of that source: m3u, xtream, manual …", read_only=True),
    Field("source_url", "address of that source, without passwords", read_only=True),
)

STREAM = Fields(
    "stream",
    (
        Field("channel_name", "the name that is shown", ("name", "channel", "title", "display_name")),
        Field("tvg_id", "id in the guide", ("epg_id", "channel_id", "epg_channel_id")),
        Field("tvg_name", "name in the guide", ("epg_name",)),
        Field("tvg_logo", "address of the logo", ("logo", "channel_logo", "icon")),
        Field("group_title", "group (category) of the channel", ("group", "category", "channel_group")),
        Field("tvg_chno", "channel number", ("channel_number", "number", "chno"), "number"),
        Field("tvg_shift", "hours by which its guide is shifted", ("shift", "timeshift", "epg_shift"), "number"),
        Field("tvg_language", "language", ("language", "lang")),
        Field("tvg_country", "country", ("country",)),
        Field("radio", "true for radio", ("is_radio",), "bool"),
        Field("is_adult", "true for what children must not see", ("adult",), "bool"),
        Field("stream_url", "address of the stream", ("url", "address"), read_only=True),
        *_SOURCE,
    ),
)

PROGRAMME = Fields(
    "programme",
    (
        Field("programme_title", "title", ("program_title", "prog_title", "title", "name")),
        Field(
            "programme_subtitle",
            "title of the episode",
            ("program_subtitle", "prog_subtitle", "subtitle", "sub_title", "subtitles", "episode_title"),
        ),
        Field(
            "programme_description",
            "what it is about",
            (
                "program_description",
                "programme_desc",
                "program_desc",
                "prog_description",
                "prog_desc",
                "description",
                "desc",
            ),
        ),
        Field(
            "programme_category",
            "categories, separated by a comma and a space",
            ("program_category", "prog_category", "category", "categories", "genre"),
        ),
        Field(
            "programme_icon",
            "address of a picture",
            ("program_icon", "prog_icon", "programme_image", "icon", "image", "poster"),
        ),
        Field("language", "language it is spoken in", ("lang", "programme_language", "program_language")),
        Field("rating", "for which age", ("programme_rating", "program_rating")),
        Field("aspect_ratio", "shape of the picture, 16:9", ("aspect", "programme_aspect_ratio")),
        Field(
            "episode_num",
            "number of the episode, from 1",
            ("episode", "episode_number", "programme_episode", "program_episode"),
            "number",
        ),
        Field(
            "season_num",
            "number of the season, from 1",
            ("season", "season_number", "programme_season", "program_season"),
            "number",
        ),
        Field("programme_start", "when it starts", ("program_start", "start", "start_time"), "time", read_only=True),
        Field(
            "programme_stop",
            "when it ends",
            ("program_stop", "stop", "end", "stop_time", "end_time"),
            "time",
            read_only=True,
        ),
        Field("channel_id", "id of its channel in the lineup", ("channel", "tvg_id", "epg_id"), read_only=True),
        Field("channel_name", "name of its channel in the lineup", (), read_only=True),
        Field("channel_group_title", "group of its channel", ("channel_group", "group", "group_title"), read_only=True),
    ),
    logos=False,
)

REQUEST = Fields(
    "request",
    (
        Field("user_agent", "what the client calls itself", ("ua", "agent"), read_only=True),
        Field("client_ip", "address of the client", ("ip", "address"), read_only=True),
        Field("request_path", "path that was asked for", ("path",), read_only=True),
        Field("request_url", "whole address that was asked for", ("url",), read_only=True),
        Field("query_params", "what stands after the question mark", ("query",), read_only=True),
    ),
    headers=True,
    logos=False,
)

DOMAINS = {one.domain: one for one in (STREAM, PROGRAMME, REQUEST)}
