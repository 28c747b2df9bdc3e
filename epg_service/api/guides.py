"""Published XMLTV, served as files."""

from typing import TYPE_CHECKING

from flask import Response, request
from flask_openapi3 import APIBlueprint
from pydantic import Field

from epg_service.api import Collaborators, params
from epg_service.domain.profiles import FULL, PROFILES, STANDARD, Options, options
from servicekit.errors import Unavailable
from servicekit.web import Shape, published, wants_gzip

if TYPE_CHECKING:
    from epg_service.lineups.published import Publication

XML = "application/xml"
GZIP = "application/gzip"
WHOLE = "guide"
DEFAULT_LINEUP = "default"
EMPTY = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE tv SYSTEM "xmltv.dtd">\n'
    b'<tv generator-info-name="Aerial"></tv>\n'
)
_NAMES = ", ".join(sorted(PROFILES))


class GuideQuery(Shape):
    """How a published guide can be asked for."""

    profile: str | None = Field(None, max_length=40, description=f"The client it is for: {_NAMES}.")
    days: int | None = Field(None, description="What begins within so many days from the last publication.")
    past_days: int | None = Field(None, description="What ended at most so many days ago; 0: what runs now.")
    channels: list[str] = Field([], max_length=1000, description="Ids of channels in this guide, by commas.")
    group: list[str] = Field([], max_length=1000, description="Groups of the lineup, by commas.")
    lang: list[str] = Field([], max_length=20, description="Texts in the first of these languages that there is.")
    extras: bool = Field(False, description="With what the providers said beside the DTD.")
    placeholders: bool = Field(False, description="Gaps are filled with blocks under the channel's name.")

    def options(self, usual: str) -> Options:
        """In canonical form; raises `Invalid`."""
        return options(
            usual=usual,
            profile=self.profile,
            days=self.days,
            past_days=self.past_days,
            channels=self.channels,
            groups=self.group,
            languages=self.lang,
            extras=self.extras,
            placeholders=self.placeholders,
        )


def lineup_publication(name: str) -> str:
    """The name under which a lineup's guide is published."""
    return f"lineup-{name}"


def blueprint(it: Collaborators) -> APIBlueprint:
    """`/epg.xml`, `/guide.xml`, `/lineups/NAME/epg.xml`, each with its `.gz`."""
    views = APIBlueprint("guides", __name__)

    @views.get("/epg.xml", summary="The guide to give to media servers")
    def main_guide(query: GuideQuery) -> Response:
        return _file(it, _main(it), query.options(STANDARD), packed=False)

    @views.get("/epg.xml.gz", summary="The guide to give to media servers, packed")
    def main_guide_packed(query: GuideQuery) -> Response:
        return _file(it, _main(it), query.options(STANDARD), packed=True)

    @views.get("/guide.xml", summary="The whole guide under its own ids")
    def whole_guide(query: GuideQuery) -> Response:
        return _file(it, WHOLE, query.options(FULL), packed=False)

    @views.get("/guide.xml.gz", summary="The whole guide under its own ids, packed")
    def whole_guide_packed(query: GuideQuery) -> Response:
        return _file(it, WHOLE, query.options(FULL), packed=True)

    @views.get("/lineups/<name>/epg.xml", summary="The guide of a lineup, under the lineup's ids")
    def lineup_guide(path: params.LineupPath, query: GuideQuery) -> Response:
        return _file(it, _lineup(it, path.name), query.options(STANDARD), packed=False)

    @views.get("/lineups/<name>/epg.xml.gz", summary="The guide of a lineup, packed")
    def lineup_guide_packed(path: params.LineupPath, query: GuideQuery) -> Response:
        return _file(it, _lineup(it, path.name), query.options(STANDARD), packed=True)

    return views


def _main(it: Collaborators) -> str:
    """What `/epg.xml` is: the configured guide; by itself the default lineup's, once one with a channel is there."""
    if it.main_guide == "all":
        return WHOLE
    if it.main_guide != "auto":
        return lineup_publication(it.main_guide)
    name = lineup_publication(DEFAULT_LINEUP)
    return name if it.lineups.has_channels(DEFAULT_LINEUP) and it.published.find(name) else WHOLE


def _lineup(it: Collaborators, name: str) -> str:
    if name != DEFAULT_LINEUP:  # the default one is there from the first second, empty until it was received
        it.lineups.get(name)
    return lineup_publication(name)


def file_answer(it: Collaborators, name: str, *, packed: bool) -> Response:
    """A published guide as it stands, for the internal API."""
    return _answer(it.published.find(name), packed=packed)


def _file(it: Collaborators, name: str, asked: Options, *, packed: bool) -> Response:
    """A guide as it was asked for; once more when its files were replaced between finding and opening them."""
    found = it.variants.find(name, asked)
    try:
        return _answer(found, packed=packed)
    except Unavailable:
        return _answer(it.variants.find(name, asked), packed=packed)


def _answer(found: "Publication | None", *, packed: bool) -> Response:
    if found is None:
        return _nothing_yet(packed)
    if not packed and wants_gzip() and "Range" not in request.headers:
        response = published(found.packed, mimetype=XML, etag=f"{found.digest}-gzip")
        response.headers["Content-Encoding"] = "gzip"
    else:
        path, kind = (found.packed, GZIP) if packed else (found.plain, XML)
        response = published(path, mimetype=kind, etag=f"{found.digest}-gz" if packed else found.digest)
    if not packed:
        response.headers["Vary"] = "Accept-Encoding"
    return response


def _nothing_yet(packed: bool) -> Response:
    """A valid guide with nothing in it, until the first one is published."""
    if packed:
        import gzip  # only ever needed in the first seconds of an installation

        return Response(gzip.compress(EMPTY, mtime=0), content_type=GZIP)
    return Response(EMPTY, content_type=f"{XML}; charset=utf-8")
