"""Profiles that people made, beside the built-in ones. Read once and kept, since viewers ask for them."""

import json
from dataclasses import replace
from typing import Any

import apsw

from servicekit.clock import Clock
from servicekit.errors import Conflict, NotFound
from servicekit.store.sqlite import Connections, busy_as_unavailable, writing
from stream_service.domain.profiles import BUILT_IN, Profile, profile_of


class Profiles:
    """All profiles by name, case forgiven. `find` and `all` answer from memory."""

    def __init__(self, connections: Connections, *, clock: Clock) -> None:
        self._connections = connections
        self._clock = clock
        self._known: dict[str, Profile] = {name: one for name, one in BUILT_IN.items()}

    def load(self) -> None:
        """Read what is stored; to be called once at the start."""
        with busy_as_unavailable():
            rows = list(self._connections.get().execute("SELECT name, options FROM profiles ORDER BY name"))
        own = [profile_of(name, json.loads(options)) for name, options in rows]
        self._known = {one.name.casefold(): one for one in (*BUILT_IN.values(), *own)}

    def all(self) -> list[Profile]:
        """The built-in ones first."""
        return list(self._known.values())

    def find(self, name: str) -> Profile | None:
        """The profile called so."""
        return self._known.get(name.casefold())

    def get(self, name: str) -> Profile:
        """The profile called so; raises `NotFound`."""
        found = self.find(name)
        if found is None:
            raise NotFound(f"there is no profile {name!r}")
        return found

    def create(self, profile: Profile) -> Profile:
        """Store a new one; raises `Conflict` when the name is taken."""
        if profile.name.casefold() in self._known:
            raise Conflict(f"there is a profile named {profile.name!r} already")
        now = self._clock.now_s()
        connection = self._connections.get()
        try:
            with writing(connection):
                connection.execute(
                    "INSERT INTO profiles (name, options, created_at, updated_at) VALUES (?, ?, ?, ?)",
                    (profile.name, json.dumps(profile.options()), now, now),
                )
        except apsw.ConstraintError as error:
            raise Conflict(f"there is a profile named {profile.name!r} already") from error
        return self._keep(profile)

    def change(self, name: str, values: dict[str, Any]) -> Profile:
        """Change options; raises `NotFound`, `Conflict` (built in), `Invalid`."""
        before = self._own(name)
        changed = profile_of(before.name, {**before.options(), **values})
        connection = self._connections.get()
        with writing(connection):
            connection.execute(
                "UPDATE profiles SET options = ?, updated_at = ? WHERE name = ?",
                (json.dumps(changed.options()), self._clock.now_s(), before.name),
            )
        return self._keep(changed)

    def delete(self, name: str) -> None:
        """Forget one; raises `NotFound`, `Conflict` (built in). Who watches through it goes on."""
        before = self._own(name)
        connection = self._connections.get()
        with writing(connection):
            connection.execute("DELETE FROM profiles WHERE name = ?", (before.name,))
        self._known = {key: one for key, one in self._known.items() if key != before.name.casefold()}

    def _own(self, name: str) -> Profile:
        found = self.get(name)
        if found.name in BUILT_IN:
            raise Conflict(f"the profile {found.name!r} is built in: make another one")
        return found

    def _keep(self, profile: Profile) -> Profile:
        self._known = {**self._known, profile.name.casefold(): replace(profile)}
        return profile
