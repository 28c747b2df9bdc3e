"""Users, the digests of their passwords, and their favourites: rows that an administrator makes and changes."""

import contextlib
import json
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import apsw

from servicekit.clock import Clock
from servicekit.errors import Conflict, NotFound
from servicekit.store.sqlite import Connections, busy_as_unavailable, writing
from stream_service.domain.users import User

_COLUMNS = "id, name, enabled, lineups, connection_limit, expires_at, priority, library, created_at, updated_at"
_WRITABLE = frozenset({"name", "enabled", "lineups", "connection_limit", "expires_at", "priority", "library"})
_SALT_BYTES = 16

Digest = Callable[[bytes, str], bytes]
"""Salt, password -> what is stored of it. The key it uses is not the store's to know."""


class Users:
    """All users. Passwords go in and never come out."""

    def __init__(self, connections: Connections, *, clock: Clock, digest: Digest) -> None:
        self._connections = connections
        self._clock = clock
        self._digest = digest

    # ---- for the table in memory -------------------------------------------------------------------------------------

    def mark(self) -> int:
        """Another number after every change of a user, whoever made it."""
        return int(self._rows("SELECT mark FROM users_mark")[0][0])

    def known(self) -> list[tuple[User, bytes, bytes]]:
        """Every user with salt and digest."""
        query = f"SELECT {_COLUMNS}, salt, digest FROM users ORDER BY id"
        return [(_user(row[:-2]), bytes(row[-2]), bytes(row[-1])) for row in self._rows(query)]

    # ---- for the API -------------------------------------------------------------------------------------------------

    def page(self, *, limit: int, after: int) -> list[User]:
        """At most `limit` users whose ids are greater than `after`."""
        query = f"SELECT {_COLUMNS} FROM users WHERE id > ? ORDER BY id LIMIT ?"
        return [_user(row) for row in self._rows(query, after, limit)]

    def get(self, user_id: int) -> User:
        """One user; raises `NotFound`."""
        rows = self._rows(f"SELECT {_COLUMNS} FROM users WHERE id = ?", user_id)
        if not rows:
            raise NotFound(f"there is no user {user_id}")
        return _user(rows[0])

    def named(self, name: str) -> User:
        """The user called so, case forgiven; raises `NotFound`."""
        rows = self._rows(f"SELECT {_COLUMNS} FROM users WHERE name = ? COLLATE NOCASE", name)
        if not rows:
            raise NotFound(f"there is no user {name!r}")
        return _user(rows[0])

    def create(self, values: Mapping[str, object], *, password: str) -> User:
        """A new user; raises `Conflict` when the name is taken."""
        now = self._clock.now_s()
        columns = {**_known(values), **self._secret(password), "created_at": now, "updated_at": now}
        names, marks = ", ".join(columns), ", ".join("?" * len(columns))
        connection = self._connections.get()
        with _unique_name(values.get("name")), writing(connection):
            connection.execute(f"INSERT INTO users ({names}) VALUES ({marks})", tuple(columns.values()))
            made = connection.last_insert_rowid()
        return self.get(made)

    def update(self, user_id: int, values: Mapping[str, object], *, password: str | None = None) -> User:
        """Changes what `values` names, and the password when there is one; raises `NotFound`, `Conflict`."""
        before = self.get(user_id)
        columns = {**_known(values), **(self._secret(password) if password is not None else {})}
        if not columns:
            return before
        sets = ", ".join(f"{name} = ?" for name in columns)
        connection = self._connections.get()
        with _unique_name(values.get("name")), writing(connection):
            connection.execute(
                f"UPDATE users SET {sets}, updated_at = ? WHERE id = ?",
                (*columns.values(), self._clock.now_s(), user_id),
            )
        return self.get(user_id)

    def delete(self, user_id: int) -> None:
        """Forget a user and their favourites; raises `NotFound`."""
        self.get(user_id)
        connection = self._connections.get()
        with writing(connection):
            connection.execute("DELETE FROM user_favourites WHERE user_id = ?", (user_id,))
            connection.execute("DELETE FROM users WHERE id = ?", (user_id,))

    # ---- favourites --------------------------------------------------------------------------------------------------

    def favourites(self, user_id: int) -> list[str]:
        """Channel ids in the user's order; raises `NotFound`."""
        self.get(user_id)
        query = "SELECT channel_id FROM user_favourites WHERE user_id = ? ORDER BY position"
        return [row[0] for row in self._rows(query, user_id)]

    def set_favourites(self, user_id: int, channel_ids: Sequence[str]) -> list[str]:
        """Replaces the list; raises `NotFound` for a user or a channel that is not there. Case of the ids is mended."""
        self.get(user_id)
        known: dict[str, str] = {}
        for wanted in channel_ids:
            rows = self._rows("SELECT id FROM channels WHERE folded = ?", wanted.casefold())
            if not rows:
                raise NotFound(f"there is no channel {wanted!r}", id=wanted)
            known[rows[0][0]] = wanted
        connection = self._connections.get()
        with writing(connection):
            connection.execute("DELETE FROM user_favourites WHERE user_id = ?", (user_id,))
            connection.executemany(
                "INSERT INTO user_favourites (user_id, position, channel_id) VALUES (?, ?, ?)",
                [(user_id, at, channel_id) for at, channel_id in enumerate(known)],
            )
        return list(known)

    def _secret(self, password: str) -> dict[str, bytes]:
        salt = secrets.token_bytes(_SALT_BYTES)
        return {"salt": salt, "digest": self._digest(salt, password)}

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with busy_as_unavailable():
            return list(self._connections.get().execute(query, values))


@contextlib.contextmanager
def _unique_name(name: object) -> Iterator[None]:
    """Tells a name that is taken as `Conflict`."""
    try:
        yield
    except apsw.ConstraintError as error:
        raise Conflict(f"there is a user named {name!r} already") from error


def _known(values: Mapping[str, object]) -> dict[str, Any]:
    """The columns to write; unknown names are a bug of the caller."""
    if unknown := set(values) - _WRITABLE:
        raise KeyError(f"not columns of users: {sorted(unknown)}")
    return {name: _stored(name, value) for name, value in values.items()}


def _stored(name: str, value: object) -> object:
    if name == "lineups":
        return None if value is None else json.dumps(value)
    return int(value) if isinstance(value, bool) else value


def _user(row: Sequence[Any]) -> User:
    ident, name, enabled, lineups, limit, expires, priority, library, created, updated = row
    allowed = None if lineups is None else tuple(json.loads(lineups))
    return User(ident, name, bool(enabled), allowed, limit, expires, priority, bool(library), created, updated)
