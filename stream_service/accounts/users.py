"""All users in memory: a request's name and password are checked in microseconds, without the database.

The table follows the database: a thread looks whether anything changed and swaps the whole. Passwords are kept as
digests under a key that lies outside the database (`DATA/users.key`, 0600): a copy of the database alone gives no way
to try passwords.
"""

import hmac
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Protocol

from servicekit.errors import AerialError
from stream_service.domain.calls import Call
from stream_service.domain.users import User

EVERY_S = 0.5
SALT_BYTES = 16
DIGEST_BYTES = 32
_NOBODY_SALT = bytes(SALT_BYTES)
_NOBODY_DIGEST = bytes(DIGEST_BYTES)
_log = logging.getLogger("accounts")


@dataclass(frozen=True, slots=True)
class Known:
    """A user and what their password is checked against."""

    user: User
    salt: bytes
    digest: bytes


class UserStore(Protocol):
    """What is asked of the store; see `store.users`."""

    def mark(self) -> int:
        """Another number after every change."""
        ...

    def known(self) -> Sequence[tuple[User, bytes, bytes]]:
        """Every user with salt and digest."""
        ...


def digest_of(key: bytes, salt: bytes, password: str) -> bytes:
    """The digest that a password is checked by."""
    return blake2b(password.encode("utf-8", "surrogatepass"), key=key, salt=salt, digest_size=DIGEST_BYTES).digest()


class Users:
    """Names -> users, case of the names forgiven. `call` takes work with the database off the loop."""

    def __init__(self, store: UserStore, *, key: bytes, call: Call) -> None:
        self._store = store
        self._key = key
        self._call = call
        self._known: Mapping[str, Known] = {}
        self._mark: int | None = None
        self._reading = threading.Lock()
        self._stopping = threading.Event()

    def __len__(self) -> int:
        return len(self._known)

    def check(self, name: str, password: str) -> User | None:
        """The user with that name and password; None for any other. Unknown names cost the same work as known ones."""
        known = self._known.get(name.casefold())
        salt, wanted = (known.salt, known.digest) if known is not None else (_NOBODY_SALT, _NOBODY_DIGEST)
        fits = hmac.compare_digest(digest_of(self._key, salt, password), wanted)
        return known.user if fits and known is not None else None

    def named(self, name: str) -> User | None:
        """The user called so."""
        known = self._known.get(name.casefold())
        return known.user if known is not None else None

    def look(self) -> bool:
        """Swap the table if anything changed in the database; True when it did. One looks at a time."""
        with self._reading:
            mark = self._call(self._store.mark)
            if mark == self._mark:
                return False
            rows = self._call(self._store.known)
            self._known = {user.name.casefold(): Known(user, salt, digest) for user, salt, digest in rows}
            self._mark = mark
            return True

    def follow(self, *, every_s: float = EVERY_S) -> Callable[[], None]:
        """Look again and again on a thread; returns the way to stop it."""
        thread = threading.Thread(target=self._follow, args=(every_s,), name="users", daemon=True)
        thread.start()

        def stop() -> None:
            self._stopping.set()
            thread.join()

        return stop

    def _follow(self, every_s: float) -> None:
        while not self._stopping.wait(every_s):
            try:
                self.look()
            except AerialError as error:
                _log.warning("users are looked up later: %s", error.detail)
