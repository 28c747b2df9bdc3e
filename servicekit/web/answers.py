"""What answers are made of: JSON, pages of lists, finished files; and the shapes of requests."""

import json
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from flask import Response, request, send_file
from pydantic import BaseModel, ConfigDict, Field

from servicekit import errors

_ONE_RANGE = re.compile(r"bytes\s*=\s*(?:(\d{1,18})-(\d{0,18})|-\d{1,18})", re.IGNORECASE | re.ASCII)


class Shape(BaseModel):
    """A request or answer of the API. Unknown keys of a request are refused."""

    model_config = ConfigDict(extra="forbid")

    @classmethod
    @lru_cache(None)
    def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """The schema, made once: the OpenAPI layer asks for it at every request."""
        return super().model_json_schema(*args, **kwargs)


class PageQuery(Shape):
    """How a list is cut."""

    limit: int | None = Field(None, ge=1, description="At most this many; more than the maximum is cut to it.")
    cursor: str | None = Field(None, max_length=200, description="The `next` of the answer before.")


def no_content() -> Response:
    """The answer to a deletion."""
    return Response(status=204)


def json_answer(value: object, status: int = 200) -> Response:
    """`value` as JSON, compact."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return Response(text, status=status, content_type="application/json")


def published(path: Path, *, mimetype: str, etag: str | None = None, download_name: str | None = None) -> Response:
    """A finished file, by sendfile, with ETag, Last-Modified, 304, HEAD and Range; `Unavailable` until it is there."""
    if not _one_range(request.headers.get("Range", "")):
        request.environ.pop("HTTP_RANGE", None)
    try:
        response = send_file(
            path, mimetype=mimetype, conditional=True, etag=etag or True, max_age=0, download_name=download_name
        )
    except FileNotFoundError as error:
        raise errors.Unavailable("this is not published yet; try again in a moment") from error
    response.headers["Cache-Control"] = "no-cache"
    return response


def _one_range(text: str) -> bool:
    """Whether this is one range of bytes. Another unit, several ranges and nonsense are ignored (RFC 9110, 14.2)."""
    found = _ONE_RANGE.fullmatch(text.strip())
    return found is not None and not (found[1] and found[2] and int(found[2]) < int(found[1]))


def wants_gzip() -> bool:
    """Whether the client takes gzip as a content coding."""
    return request.accept_encodings.quality("gzip") > 0 and "gzip" in request.headers.get("Accept-Encoding", "")


def page_of(items: Sequence[object], query: PageQuery, *, most: int) -> tuple[Iterable[object], str | None]:
    """The part of a whole list that `query` asks for, and the cursor of the next part."""
    start = cursor_number(query.cursor)
    limit = min(query.limit or most, most)
    end = start + limit
    return items[start:end], str(end) if end < len(items) else None


def cursor_number(cursor: str | None) -> int:
    """The place in a list that a cursor made of a number stands for; raises `Invalid`."""
    if cursor is None:
        return 0
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 16):
        raise errors.Invalid("cursor: use the `next` of the answer before, as it was given")
    return int(cursor)
