"""Logos: the pictures themselves, and the administration of those that people upload.

An upload goes to the keeper, which has it drawn anew by a child with limits; nothing is decoded here.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from flask import Response, request
from flask_openapi3 import APIBlueprint
from pydantic import Field

from servicekit.clock import iso
from servicekit.errors import Invalid, NotFound, TooLarge
from servicekit.redact import redact
from servicekit.web import PageQuery, Shape, accepts, cursor_number, json_answer, no_content, origin_of, published
from stream_service.domain.calls import Call
from stream_service.domain.logos import AddressRow, Logo

MOST = 500
PNG = "image/png"
MAX_UPLOAD_BYTES = 5 << 20
ENVELOPE_BYTES = 64 << 10
"""What a form may have around the picture."""
FOR_EVER = "public, max-age=31536000, immutable"
UPLOAD = "logo-upload"
_CONTENT_CHARS = 32
_TYPES = (
    "multipart/form-data", "application/octet-stream", PNG, "image/jpeg", "image/gif", "image/webp", "image/bmp",
    "image/x-icon", "image/vnd.microsoft.icon", "image/svg+xml",
)  # fmt: skip


class Store(Protocol):
    """What the views ask of the store."""

    def page(self, *, limit: int, after: str, q: str = "") -> Sequence[Logo]: ...
    def get(self, logo_id: str) -> Logo: ...
    def delete(self, logo_id: str) -> None: ...
    def addresses(self, *, limit: int, start: int, failed: bool) -> Sequence[AddressRow]: ...
    def counts(self) -> dict[str, int]: ...
    def retry(self) -> int: ...


class Shelf(Protocol):
    """Where the pictures stand."""

    def path(self, picture: str) -> Path | None: ...
    def leave(self, data: bytes) -> str: ...


class Desk(Protocol):
    """The collaborators; `wiring` builds it."""

    @property
    def store(self) -> Store: ...
    @property
    def shelf(self) -> Shelf: ...
    @property
    def ask(self) -> Callable[[str, Mapping[str, object]], dict[str, Any]]:
        """Asks the keeper; see `errands`."""
        ...

    @property
    def changed(self) -> Callable[[], None]:
        """Lineups have to be built again."""
        ...


class _PicturePath(Shape):
    picture: str = Field(max_length=40)


class _LogoPath(Shape):
    logo_id: str = Field(pattern=r"^[a-z0-9-]{1,60}$")


class _NameQuery(Shape):
    name: str = Field("", max_length=200, description="What it is called; its id is made of the first one.")


class _LogosQuery(PageQuery):
    q: str = Field("", max_length=100, description="Only logos whose name or id contains this.")


class _AddressesQuery(PageQuery):
    failed: bool = Field(False, description="Only those whose last attempt failed.")


def blueprint(desk: Desk, *, call: Call) -> APIBlueprint:
    """`/logos/PICTURE.png` and `/api/v1/logos`."""
    views = APIBlueprint("logos", __name__)

    @views.get("/logos/<picture>.png", summary="A logo")
    def picture(path: _PicturePath) -> Response:
        """By its content's hash (kept for ever), or by initials and colour."""
        file = desk.shelf.path(path.picture)
        if file is None or not call(file.exists):
            raise NotFound(f"there is no logo {path.picture!r}")
        response = published(file, mimetype=PNG, etag=path.picture)
        if len(path.picture) == _CONTENT_CHARS:
            response.headers["Cache-Control"] = FOR_EVER
        else:
            response.headers["Cache-Control"] = "public, max-age=86400"
        response.headers.pop("Expires", None)  # "now", which Cache-Control says better
        response.headers["Content-Security-Policy"] = "default-src 'none'"
        response.headers["Access-Control-Allow-Origin"] = "*"
        return response

    _add_uploads(views, desk, call)
    _add_addresses(views, desk, call)
    return views


def _add_uploads(views: APIBlueprint, desk: Desk, call: Call) -> None:
    @views.get("/api/v1/logos", summary="Uploaded logos")
    def all_logos(query: _LogosQuery) -> Response:
        limit = min(query.limit or MOST, MOST)
        rows = call(desk.store.page, limit=limit + 1, after=query.cursor or "", q=query.q)
        items = [_shape(one) for one in rows[:limit]]
        return json_answer({"items": items, "next": rows[limit - 1].id if len(rows) > limit else None})

    @views.post("/api/v1/logos", summary="Upload a logo")
    @accepts(*_TYPES, max_bytes=MAX_UPLOAD_BYTES + ENVELOPE_BYTES)
    def upload(query: _NameQuery) -> Response:
        """The picture is the body, or the file of a form. It is drawn anew as a PNG of at most 512 pixels a side."""
        return _uploaded(desk, call, "", query.name)

    @views.get("/api/v1/logos/<logo_id>", summary="An uploaded logo")
    def one_logo(path: _LogoPath) -> Response:
        return json_answer(_shape(call(desk.store.get, path.logo_id)))

    @views.put("/api/v1/logos/<logo_id>", summary="Replace an uploaded logo's picture")
    @accepts(*_TYPES, max_bytes=MAX_UPLOAD_BYTES + ENVELOPE_BYTES)
    def replace(path: _LogoPath, query: _NameQuery) -> Response:
        """Its id stays; its address changes, so that nobody shows the old picture. Lineups are built again."""
        call(desk.store.get, path.logo_id)
        return _uploaded(desk, call, path.logo_id, query.name)

    @views.delete("/api/v1/logos/<logo_id>", summary="Delete an uploaded logo")
    def delete(path: _LogoPath) -> Response:
        call(desk.store.delete, path.logo_id)
        call(desk.changed)
        return no_content()


def _add_addresses(views: APIBlueprint, desk: Desk, call: Call) -> None:
    @views.get("/api/v1/logos/addresses", summary="Addresses of logos that sources name, and what became of each")
    def addresses(query: _AddressesQuery) -> Response:
        limit, start = min(query.limit or MOST, MOST), cursor_number(query.cursor)
        rows = call(desk.store.addresses, limit=limit + 1, start=start, failed=query.failed)
        items = [_address_shape(one) for one in rows[:limit]]
        more = str(start + limit) if len(rows) > limit else None
        return json_answer({"items": items, "next": more, "counts": call(desk.store.counts)})

    @views.post("/api/v1/logos/addresses/retry", summary="Ask again at once for every logo that did not come")
    def retry() -> Response:
        return json_answer({"addresses": call(desk.store.retry)}, 202)


def _uploaded(desk: Desk, call: Call, logo_id: str, name: str) -> Response:
    data, file_name = _picture_of_the_body()
    title = name or file_name
    word = call(desk.shelf.leave, data)
    made = desk.ask(UPLOAD, {"upload": word, "id": logo_id, "name": title[:200]})
    return json_answer(_shape(call(desk.store.get, str(made["id"]))), 200 if logo_id else 201)


def _picture_of_the_body() -> tuple[bytes, str]:
    """The bytes that were sent, and the name of their file without its ending, '' when none was told."""
    if request.mimetype == "multipart/form-data":
        file = next(iter(request.files.values()), None)
        if file is None:
            raise Invalid("the form holds no file: send the picture as a file, or as the body itself")
        data, name = file.read(), (file.filename or "").rpartition("/")[2]
    else:
        data, name = request.get_data(), ""
    if not data:
        raise Invalid("there is no picture: send it as the body, with its image/… type")
    if len(data) > MAX_UPLOAD_BYTES:
        raise TooLarge(f"a logo may have {MAX_UPLOAD_BYTES} bytes")
    return data, name.rpartition(".")[0] or name


def _shape(logo: Logo) -> dict[str, object]:
    return {
        "id": logo.id,
        "name": logo.name,
        "address": f"{origin_of()}/logos/{logo.picture}.png",
        "helper": f"@logo:{logo.id}",
        "width": logo.width,
        "height": logo.height,
        "bytes": logo.size_bytes,
        "created_at": iso(logo.created_at),
        "updated_at": iso(logo.updated_at),
    }


def _address_shape(row: AddressRow) -> dict[str, object]:
    return {
        "url": redact(row.url),
        "address": f"{origin_of()}/logos/{row.picture}.png" if row.picture else None,
        "failures": row.failures,
        "error_message": redact(row.reason) or None,
        "next_attempt": iso(row.due_at),
    }
