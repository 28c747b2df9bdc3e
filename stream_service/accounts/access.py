"""The one rule of who gets a client's output: playlist, guide, stream, tuner, Xtream, logo, library.

credentials shown > right, enabled, not expired > that user, with the lineups that are theirs
none shown        > in the home network, where that is switched on (or with the administrator's token) > anybody
otherwise         > refused
"""

from collections.abc import Callable

from servicekit.clock import Clock
from servicekit.errors import Forbidden, Unauthorized
from stream_service.accounts.throttle import Throttle
from stream_service.accounts.users import Users
from stream_service.domain.users import ANYBODY, Credentials, User, Visitor

SETTING = "access_lan_without_user"


class Access:
    """`lan_without_user` is asked at each request: it may be changed while the service runs."""

    def __init__(self, *, users: Users, throttle: Throttle, lan_without_user: Callable[[], bool], clock: Clock) -> None:
        self._users = users
        self._throttle = throttle
        self._lan_without_user = lan_without_user
        self._clock = clock

    def admit(
        self,
        given: Credentials | None,
        *,
        address: str,
        local: bool,
        trusted: bool = False,
        user_needed: bool = False,
        stale_ok: bool = False,
    ) -> Visitor:
        """Who comes in. `trusted`: the administrator's token was shown; `user_needed`: nobody enters without a user;
        `stale_ok`: disabled and expired users come in too, to be told so.

        Raises `Unauthorized` (no credentials, wrong ones), `Forbidden` (disabled, expired), `RateLimited`.
        """
        if given is not None:
            user = self.login(given, address=address)
            if not stale_ok:
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
            self._throttle.failed(address, f"{given.name}\0{given.password}")
            raise Unauthorized("wrong name or password")
        return user

    def _refuse_stale(self, user: User) -> None:
        status = user.status(self._clock.now_s())
        if status != "Active":
            raise Forbidden(f"the user {user.name} is {status.lower()}", code="user_" + status.lower())
