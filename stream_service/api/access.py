"""The gate before clients' outputs: finds the name and password of a request, and lets the rule of access judge.

Credentials stand in the path (Xtream), in the query or form (`username`, `password`), or in a Basic header. Who may not
come in is told so in the way that the kind of client understands.
"""

import re
from collections.abc import Callable
from typing import Protocol

from flask import Response, abort, g, request

from servicekit.callers import Caller
from servicekit.errors import AerialError, Forbidden, RateLimited, Unauthorized
from servicekit.web import explain, the_caller
from stream_service.domain.users import ANYBODY, Credentials, User, Visitor, is_reserved

USER_LIMIT = "user_limit"
XTREAM_REFUSED = '{"user_info":{"auth":0}}'
AGENT_MAX_CHARS = 200

_XTREAM_PAGES = frozenset(
    {"/player_api.php", "/panel_api.php", "/get.php", "/xmltv.php", "/timeshift.php", "/streaming/timeshift.php"}
)
_TELLS_STALE = frozenset({"/player_api.php", "/panel_api.php"})
_XTREAM_STREAM = re.compile(r"/(?:live|movie|series|timeshift)/([^/]+)/([^/]+)/.+")
_XTREAM_BARE = re.compile(r"/([^/]+)/([^/]+)/\d+(?:\.\w+)?")
_TUNER = re.compile(
    r"(?:/hdhr/[^/]+)?/(?:discover\.json|lineup\.(?:json|xml|m3u|post)|lineup_status\.json|device\.xml|auto/.*|"
    r"tuner\d+/.*)"
)
_OF_LINEUP = re.compile(r"/(?:lineups|hdhr)/([^/]+)/.*")
_STREAM = re.compile(r"/stream/([^/]+)\.(?:ts|m3u8)")
_SEGMENT = re.compile(r"/stream/[^/]+/hls/[^/]+/.*")
_LIBRARY = re.compile(r"/vod/.*")
_LOGO = re.compile(r"/logos/.*")
_DEFAULT = frozenset({"/playlist.m3u", "/epg.xml", "/epg.xml.gz"})
_BASIC = {"WWW-Authenticate": 'Basic realm="Aerial", charset="UTF-8"'}


class Rule(Protocol):
    """The rule of access; see `accounts.access`."""

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
        """Who comes in; raises `Unauthorized`, `Forbidden`, `RateLimited`."""
        ...


class Seats(Protocol):
    """Connection limits; see `accounts.seats`."""

    def make_room(self, user: User | None, *, address: str, user_agent: str) -> None:
        """See that the player can have one more stream; raises `Forbidden`."""
        ...

    def watch_hls(self, user: User | None, *, address: str, user_agent: str) -> None:
        """A player asked for a playlist; raises `Forbidden`."""
        ...


class Gate:
    """Handed to the door: judges every path of a client's output and remembers the visitor for its view."""

    def __init__(self, *, rule: Rule, seats: Seats, in_lineup: Callable[[str, str], bool]) -> None:
        self._rule = rule
        self._seats = seats
        self._in_lineup = in_lineup

    def __call__(self, who: Caller, trusted: bool) -> bool:
        """True: comes in; False: not a path of ours. Raises what the client understands."""
        path = request.path
        if _SEGMENT.fullmatch(path) or _LOGO.fullmatch(path):
            # A segment's token was given to somebody who was let in; a logo is a picture. Players add nothing to them.
            return request.method in ("GET", "HEAD")
        xtream = _is_xtream(path)
        if not (xtream or _is_plain(path)):
            return False
        g.seats = self._seats
        try:
            g.visitor = self._rule.admit(
                _shown(path),
                address=who.address,
                local=who.local,
                trusted=trusted,
                user_needed=xtream,
                stale_ok=path in _TELLS_STALE,
            )
            self._check_lineup(path, g.visitor)
        except (Unauthorized, Forbidden, RateLimited) as error:
            _refuse(path, error)
        return True

    def _check_lineup(self, path: str, visitor: Visitor) -> None:
        """Raises `Forbidden` for a lineup, or a channel of lineups, that is not the user's."""
        user = visitor.user
        if user is None or user.lineups is None:
            return
        if stream := _STREAM.fullmatch(path):
            if not any(self._in_lineup(lineup, stream[1]) for lineup in user.lineups):
                raise Forbidden("this channel is in none of your lineups")
            return
        named = _OF_LINEUP.fullmatch(path)
        if named is not None or path in _DEFAULT or _TUNER.fullmatch(path):
            name = named[1] if named is not None else "default"
            if not visitor.may_watch(name):
                raise Forbidden(f"the lineup {name!r} is not one of yours")


def visitor() -> Visitor:
    """Who asks; somebody without a user where no gate judged."""
    found: Visitor = g.get("visitor", ANYBODY)
    return found


def player() -> tuple[str, str]:
    """The address and the name of the program that asks."""
    return the_caller().address, request.headers.get("User-Agent", "")[:AGENT_MAX_CHARS]


def take_seat() -> None:
    """See that the visitor may have one more stream; raises `Forbidden` (`code` is "user_limit")."""
    _seated(lambda seats, user, address, agent: seats.make_room(user, address=address, user_agent=agent))


def keep_hls_seat() -> None:
    """The same for a player of HLS, which asks again and again."""
    _seated(lambda seats, user, address, agent: seats.watch_hls(user, address=address, user_agent=agent))


def _seated(take: Callable[[Seats, User, str, str], None]) -> None:
    user, seats = visitor().user, g.get("seats")
    if user is not None and seats is not None:
        take(seats, user, *player())


def xtream_refusal(status: int = 401, body: str = XTREAM_REFUSED) -> Response:
    """What an Xtream panel says to whom it does not know."""
    return Response(body, status=status, content_type="application/json", headers={"Cache-Control": "no-store"})


def mark_refused_tuner(response: Response) -> Response:
    """After a request: a tuner's client reads a header, not a body."""
    if response.status_code in (401, 403, 429) and _TUNER.fullmatch(request.path):
        full = g.get("full", False)
        response.headers.setdefault("X-HDHomeRun-Error", "805 All Tuners In Use" if full else "806 Tune Failed")
        if full:
            response.status_code = 503  # as the device does
    return response


def note_full(error: AerialError) -> None:
    """Remember that a connection limit was the reason."""
    g.full = error.extra.get("code") == USER_LIMIT


def _is_xtream(path: str) -> bool:
    if path in _XTREAM_PAGES or _XTREAM_STREAM.fullmatch(path):
        return True
    bare = _XTREAM_BARE.fullmatch(path)
    return bare is not None and not is_reserved(bare[1])


def _is_plain(path: str) -> bool:
    patterns = (_TUNER, _OF_LINEUP, _STREAM, _LIBRARY)
    return path in _DEFAULT or any(one.fullmatch(path) for one in patterns)


def _shown(path: str) -> Credentials | None:
    """The credentials of the present request; None when it shows none. An empty name or password is a wrong one."""
    found = _XTREAM_STREAM.fullmatch(path) or (_XTREAM_BARE.fullmatch(path) if _is_xtream(path) else None)
    if found is not None:
        return Credentials(found[1], found[2])
    values = request.args
    if path in _XTREAM_PAGES and request.method == "POST" and "username" not in values:
        values = request.form
    if "username" in values or "password" in values:
        return Credentials(values.get("username", ""), values.get("password", ""))
    basic = request.authorization
    if basic is not None and basic.type == "basic":
        return Credentials(basic.username or "", basic.password or "")
    return None


def _refuse(path: str, error: AerialError) -> None:
    """Raises the answer that the client understands."""
    if isinstance(error, RateLimited):
        raise error
    if _is_xtream(path):
        if path not in _XTREAM_PAGES and isinstance(error, Forbidden):
            raise error
        abort(xtream_refusal())
    if isinstance(error, Unauthorized):
        answer = explain(error)
        answer.headers.update(_BASIC)
        abort(answer)
    raise error
