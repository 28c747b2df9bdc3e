"""What the stream service asks and tells (`/internal/v1`); unknown fields are ignored."""

import json
import zlib
from collections import Counter
from typing import Annotated, Any

from flask import Response, request
from flask_openapi3 import APIBlueprint
from pydantic import BaseModel, ConfigDict, Field

from epg_service.api import Collaborators, params
from epg_service.api.guides import file_answer, lineup_publication
from epg_service.api.ruled import ruled
from epg_service.domain.entities import LineupChannel
from epg_service.domain.rules import ProgrammeRules
from servicekit.clock import SystemClock, iso
from servicekit.errors import Invalid, TooLarge
from servicekit.web import accepts, json_answer

MAX_LINEUP_BYTES = 64 << 20

Text = Annotated[str, Field(max_length=65_536)]


class _SentChannel(BaseModel):
    model_config = ConfigDict(extra="ignore")
    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,200}$")]
    name: Text
    tvg_id: Text | None = None
    number: Text | None = None
    logo: Text | None = None
    group: Text | None = None


class _SentLineup(BaseModel):
    model_config = ConfigDict(extra="ignore")
    digest: Annotated[str, Field(min_length=1, max_length=128)]
    channels: list[_SentChannel]
    rules: list[Any] = []
    filters: list[Any] = []


def blueprint(it: Collaborators) -> APIBlueprint:
    """`/internal/v1`."""
    views = APIBlueprint("internal", __name__, url_prefix="/internal/v1", doc_ui=False)

    @views.put("/lineups/<name>")
    @accepts("application/json", max_bytes=MAX_LINEUP_BYTES)
    def put_lineup(path: params.LineupPath) -> Response:
        sent = _sent_lineup()
        channels = [LineupChannel(**one.model_dump()) for one in sent.channels]
        said = {"rules": sent.rules, "filters": sent.filters}
        faults = [one.as_json() for one in ProgrammeRules(said, now_s=SystemClock().now_s).faults]
        it.lineups.put(path.name, sent.digest, channels, {**said, "faults": faults})
        return json_answer({"digest": sent.digest} | ({"faults": faults} if faults else {}), 202)

    @views.get("/lineups/<name>")
    def lineup_state(path: params.LineupPath) -> Response:
        found = it.lineups.get(path.name)
        channels = it.lineups.channels(path.name)
        return json_answer(
            {
                "digest": found.digest,
                "matched_at": iso(found.matched_at) if found.matched_at else None,
                "counts": {"channels": len(channels), "matched": sum(c.channel_id is not None for c in channels)},
                **ruled(it.lineups.extras(path.name)),
            }
        )

    @views.get("/lineups/<name>/matches")
    def matches(path: params.LineupPath) -> Response:
        it.lineups.get(path.name)
        items = [
            {"id": c.id, "channel_id": c.channel_id, "method": c.method, "score": c.score}
            for c in it.lineups.channels(path.name)
        ]
        return json_answer({"items": items, "next": None})

    @views.get("/lineups/<name>/guide.xml")
    def guide(path: params.LineupPath) -> Response:
        it.lineups.get(path.name)
        return file_answer(it, lineup_publication(path.name), packed=False)

    @views.get("/lineups/<name>/guide.xml.gz")
    def guide_packed(path: params.LineupPath) -> Response:
        it.lineups.get(path.name)
        return file_answer(it, lineup_publication(path.name), packed=True)

    @views.get("/activity")
    def activity() -> Response:
        running = [{"provider_id": run.provider_id, "run_id": run.id} for run in it.imports.running()]
        return json_answer({"imports": running})

    return views


def _sent_lineup() -> _SentLineup:
    body = request.get_data()
    if request.headers.get("Content-Encoding", "").lower() == "gzip":
        body = _gunzipped(body)
    try:
        found = json.loads(body)
        json.dumps(found, ensure_ascii=False).encode()  # a lone surrogate cannot be stored
    except (ValueError, RecursionError) as error:
        raise Invalid(f"the lineup is no JSON that can be used: {error}") from error
    sent = _SentLineup.model_validate(found)
    ids = [one.id for one in sent.channels]
    if len(set(ids)) < len(ids):
        twice = next(one for one, times in Counter(ids).items() if times > 1)
        raise Invalid(f"channels: the id {twice!r} stands there more than once")
    return sent


def _gunzipped(body: bytes) -> bytes:
    unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        text = unpacker.decompress(body, MAX_LINEUP_BYTES)
    except zlib.error as error:
        raise Invalid(f"the body is no gzip: {error}") from error
    if unpacker.unconsumed_tail:
        raise TooLarge(f"the lineup is over {MAX_LINEUP_BYTES} bytes unpacked")
    return text
