"""Published XMLTV, served as files."""

from flask import Response, request
from flask_openapi3 import APIBlueprint

from epg_service.api import Collaborators, params
from servicekit.web import published, wants_gzip

XML = "application/xml"
GZIP = "application/gzip"
WHOLE = "guide"
DEFAULT_LINEUP = "default"
EMPTY = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE tv SYSTEM "xmltv.dtd">\n'
    b'<tv generator-info-name="Aerial"></tv>\n'
)


def lineup_publication(name: str) -> str:
    """The name under which a lineup's guide is published."""
    return f"lineup-{name}"


def blueprint(it: Collaborators) -> APIBlueprint:
    """`/epg.xml`, `/guide.xml`, `/lineups/NAME/epg.xml`, each with its `.gz`."""
    views = APIBlueprint("guides", __name__)

    @views.get("/epg.xml", summary="The guide to give to media servers")
    def main_guide() -> Response:
        return _file(it, _main(it), packed=False)

    @views.get("/epg.xml.gz", summary="The guide to give to media servers, packed")
    def main_guide_packed() -> Response:
        return _file(it, _main(it), packed=True)

    @views.get("/guide.xml", summary="The whole guide under its own ids")
    def whole_guide() -> Response:
        return _file(it, WHOLE, packed=False)

    @views.get("/guide.xml.gz", summary="The whole guide under its own ids, packed")
    def whole_guide_packed() -> Response:
        return _file(it, WHOLE, packed=True)

    @views.get("/lineups/<name>/epg.xml", summary="The guide of a lineup, under the lineup's ids")
    def lineup_guide(path: params.LineupPath) -> Response:
        return _file(it, _lineup(it, path.name), packed=False)

    @views.get("/lineups/<name>/epg.xml.gz", summary="The guide of a lineup, packed")
    def lineup_guide_packed(path: params.LineupPath) -> Response:
        return _file(it, _lineup(it, path.name), packed=True)

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
    """A published guide as `_file`, for the internal API as well."""
    return _file(it, name, packed=packed)


def _file(it: Collaborators, name: str, *, packed: bool) -> Response:
    found = it.published.find(name)
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
