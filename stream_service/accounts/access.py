"""The one rule of who gets a client's output: playlist, guide, stream, tuner, Xtream, logo, library.

credentials shown > right, enabled, not expired > that user, with the lineups that are theirs
none shown        > in the home network, where that is switched on (or with the administrator's token) > anybody
otherwise         > refused
"""

from collections.abc import Callable
from dataclasses import dataclass

from servicekit.clock import Clock
from servicekit.errors import Forbidden, Unauthorized
from stream_service.accounts.throttle import Throttle
from stream_service.accounts.users import Users
from stream_service.domain.users import Credentials, User

SETTING = "access_lan_without_user"


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who was let in: a user, or somebody of the home network without one (None)."""

    user: User | None = None
    password: str = ""
    """What the user showed; stands in the addresses that are handed to them."""

    @property
    def name(self) -> str:
        """The user's name, '' without one."""
        return self.user.name if self.user is not None else ""

    @property
    def priority(self) -> int:
        return self.user.priority if self.user is not None else 0

    def may_watch(self, lineup: str) -> bool:
        """Whether the lineup is one of theirs."""
        return self.user is None or self.user.may_watch(lineup)


ANYBODY = Visitor()


class Access:
    """`lan_without_user` is asked at each request: it may be changed while the service runs."""

    def __init__(self, *, users: Users, throttle: Throttle, lan_without_user: Callable[[], bool], clock: Clock) -> None:
        self._users = users
        self._throttle = throttle
        self._lan_without_user = lan_without_user
        self._clock = clock

    def admit(
        self, given: Credentials | None, *, address: str, local: bool, trusted: bool = False, user_needed: bool = False
    ) -> Visitor:
        """Who comes in. `trusted`: the administrator's token was shown; `user_needed`: nobody enters without a user.

        Raises `Unauthorized` (no credentials, wrong ones), `Forbidden` (disabled, expired), `RateLimited`.
        """
        if given is not None:
            user = self.login(given, address=address)
            self._refuse_stale(user)
            return Visitor(user, given.password)
        if not user_needed and (trusted or (local and self._lan_without_user())):
            return ANYBODY
        raise Unauthorized("a name and a password are needed here")

    def login(self, given: Credentials, *, address: str) -> User:
        """The user, expired or not; raises `Unauthorized`, `RateLimited`. Tries are counted by address."""
        self._throttle.check(address)
        user = self._users.check(given.name, given.password)
        if user is None:
            self._throttle.failed(address)
            raise Unauthorized("wrong name or password")
        return user

    def _refuse_stale(self, user: User) -> None:
        status = user.status(self._clock.now_s())
        if status != "Active":
            raise Forbidden(f"the user {user.name} is {status.lower()}", code="user_" + status.lower())
