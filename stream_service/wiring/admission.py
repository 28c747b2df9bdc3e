"""The part of the composition that decides who may watch: users, the rule of access, seats. Only `wiring` calls it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from servicekit.clock import Clock
from servicekit.keys import users_key
from servicekit.settings import Settings
from servicekit.store.sqlite import Connections
from stream_service import native
from stream_service.accounts.access import SETTING, Access
from stream_service.accounts.seats import Relay, Seats
from stream_service.accounts.throttle import Throttle
from stream_service.accounts.users import Users as Table
from stream_service.accounts.users import digest_of
from stream_service.store.users import Users


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """What the views are handed; `api.users` and `api.access` say what they ask of it."""

    users: Users
    table: Table
    rule: Access
    seats: Seats
    in_lineup: Callable[[str, str], bool]
    known_lineup: Callable[[str], object]
    clock: Clock

    def favourites(self, name: str) -> list[str]:
        """The favourite channels of the user called so; raises `NotFound`."""
        return self.users.favourites(self.users.named(name).id)

    @property
    def changed(self) -> Callable[[], object]:
        """Lets the table in memory follow at once."""
        return self.table.look

    @property
    def used(self) -> Callable[[str], int]:
        """How many streams of a user run."""
        return self.seats.used

    @property
    def now_s(self) -> Callable[[], int]:
        return self.clock.now_s


def user_store(connections: Connections, *, data_dir: Path, clock: Clock) -> Users:
    """The store of users, with the key that passwords are digested under."""
    key = users_key(data_dir)
    return Users(connections, clock=clock, digest=lambda salt, password: digest_of(key, salt, password))


def accounts(
    connections: Connections,
    *,
    data_dir: Path,
    settings: Settings,
    relay: Relay,
    in_lineup: Callable[[str, str], bool],
    known_lineup: Callable[[str], object],
    clock: Clock,
) -> Accounts:
    """Users and what is decided by them."""
    store = user_store(connections, data_dir=data_dir, clock=clock)
    table = Table(store, key=users_key(data_dir), call=native.call)
    rule = Access(
        users=table,
        throttle=Throttle(clock=clock),
        lan_without_user=lambda: bool(settings.get(SETTING)),
        clock=clock,
    )
    seats = Seats(relay=relay, clock=clock)
    return Accounts(
        users=store, table=table, rule=rule, seats=seats, in_lineup=in_lineup, known_lineup=known_lineup, clock=clock
    )
