"""Users: list, make, change, delete, and their favourites. Passwords go in and never come out."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Protocol

from flask import Response
from flask_openapi3 import APIBlueprint
from pydantic import Field

from servicekit.clock import iso
from servicekit.errors import Invalid
from servicekit.web import PageQuery, Shape, cursor_number, json_answer, no_content
from stream_service.api import params, shapes
from stream_service.domain.calls import Call
from stream_service.domain.users import User, checked_name, checked_password

MOST_FAVOURITES = 5_000
_NULLABLE = frozenset({"lineups", "connection_limit", "expires_at"})


class UserStore(Protocol):
    """What the views ask of the store."""

    def page(self, *, limit: int, after: int) -> Sequence[User]: ...
    def get(self, user_id: int) -> User: ...
    def create(self, values: Mapping[str, object], *, password: str) -> User: ...
    def update(self, user_id: int, values: Mapping[str, object], *, password: str | None = None) -> User: ...
    def delete(self, user_id: int) -> None: ...
    def favourites(self, user_id: int) -> list[str]: ...
    def set_favourites(self, user_id: int, channel_ids: Sequence[str]) -> list[str]: ...


class Accounts(Protocol):
    """The collaborators; `wiring` builds them."""

    @property
    def users(self) -> UserStore: ...
    @property
    def changed(self) -> Callable[[], object]:
        """Called after a change: lets the table in memory follow at once."""
        ...

    @property
    def used(self) -> Callable[[str], int]:
        """How many streams of a user run."""
        ...

    @property
    def known_lineup(self) -> Callable[[str], object]:
        """Raises `NotFound` for a lineup that is not there."""
        ...

    @property
    def now_s(self) -> Callable[[], int]: ...


class _UserPath(Shape):
    user_id: params.Number


Lineups = Annotated[list[Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]], Field(max_length=500)]


class _Values(Shape):
    enabled: bool | None = None
    lineups: Lineups | None = Field(None, description="Names of the lineups that may be watched; null: all.")
    connection_limit: params.Limit = Field(None, description="Streams at a time; null: any number.")
    expires_at: datetime | None = Field(None, description="ISO 8601, UTC without offset; null: never.")
    priority: int | None = Field(None, ge=0, le=100, description="The greater one gets a connection both want.")
    library: bool | None = Field(None, description="Films and series too.")


class _NewUser(_Values):
    name: str = Field(min_length=1, max_length=200)
    password: str = Field(min_length=1, max_length=200)


class _ChangedUser(_Values):
    name: str | None = Field(None, min_length=1, max_length=200)
    password: str | None = Field(None, min_length=1, max_length=200, description="A new one; the old one ends.")


class _Favourites(Shape):
    channels: Annotated[list[Annotated[str, Field(max_length=200)]], Field(max_length=MOST_FAVOURITES)] = Field(
        description="Channel ids in the user's order."
    )


def blueprint(it: Accounts, *, call: Call) -> APIBlueprint:
    """`/api/v1/users`."""
    views = APIBlueprint("users", __name__, url_prefix="/api/v1/users")

    @views.get("", summary="The users, without their passwords")
    def some_users(query: PageQuery) -> Response:
        limit = min(query.limit or shapes.MOST_ITEMS, shapes.MOST_ITEMS)
        found = call(it.users.page, limit=limit + 1, after=cursor_number(query.cursor))
        items = [_shown(it, one) for one in found[:limit]]
        return json_answer(shapes.page(items, str(found[limit - 1].id) if len(found) > limit else None))

    @views.get("/<int:user_id>", summary="One user")
    def one_user(path: _UserPath) -> Response:
        return json_answer(_shown(it, call(it.users.get, path.user_id)))

    @views.post("", summary="Add a user")
    def add_user(body: _NewUser) -> Response:
        values = {"name": checked_name(body.name), **_values(it, call, body)}
        made = call(it.users.create, values, password=checked_password(body.password))
        it.changed()
        return json_answer(_shown(it, made), 201)

    @views.put("/<int:user_id>", summary="Change a user; keys left out stay as they are")
    def change_user(path: _UserPath, body: _ChangedUser) -> Response:
        values = _values(it, call, body)
        if body.name is not None:
            values["name"] = checked_name(body.name)
        password = None if body.password is None else checked_password(body.password)
        changed = call(it.users.update, path.user_id, values, password=password)
        it.changed()
        return json_answer(_shown(it, changed))

    @views.delete("/<int:user_id>", summary="Delete a user; what they watch goes on until it ends")
    def delete_user(path: _UserPath) -> Response:
        call(it.users.delete, path.user_id)
        it.changed()
        return no_content()

    @views.get("/<int:user_id>/favourites", summary="A user's favourite channels, in their order")
    def favourites(path: _UserPath) -> Response:
        return json_answer({"channels": call(it.users.favourites, path.user_id)})

    @views.put("/<int:user_id>/favourites", summary="Replace a user's favourite channels")
    def set_favourites(path: _UserPath, body: _Favourites) -> Response:
        return json_answer({"channels": call(it.users.set_favourites, path.user_id, body.channels)})

    return views


def _values(it: Accounts, call: Call, body: _Values) -> dict[str, Any]:
    """The columns that were sent; raises `Invalid` for null where nothing is no value, `NotFound` for a lineup."""
    sent: dict[str, Any] = body.model_dump(exclude_unset=True, exclude={"name", "password"})
    if empty := [key for key, value in sent.items() if value is None and key not in _NULLABLE]:
        raise Invalid(f"{', '.join(empty)}: null is not a value here; leave the key out to keep what is there")
    for name in sent.get("lineups") or ():
        call(it.known_lineup, name)
    if (moment := sent.get("expires_at")) is not None:
        sent["expires_at"] = int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    return sent


def _shown(it: Accounts, one: User) -> dict[str, object]:
    return {
        "id": one.id,
        "name": one.name,
        "enabled": one.enabled,
        "status": one.status(it.now_s()).lower(),
        "lineups": None if one.lineups is None else list(one.lineups),
        "connection_limit": one.connection_limit,
        "connections": it.used(one.name),
        "expires_at": None if one.expires_at is None else iso(one.expires_at),
        "priority": one.priority,
        "library": one.library,
        "created_at": iso(one.created_at),
        "updated_at": iso(one.updated_at),
    }
