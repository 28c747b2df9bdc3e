"""Asking an Xtream panel: one request at a time of an account, the typed host first and then its backups.

    login (says how the account is) > live > movies > series, each with its categories

Panels ban who asks too often. So nothing is asked twice: a panel that says "later" (429) is left alone until then, a
login that is refused is not tried again on the spot, and a list that fails costs its own kind alone: without the
movies there are channels all the same.
"""

import contextlib
import json
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import blake2b
from pathlib import Path
from urllib.parse import urlencode

from servicekit.addresses import checked_url
from servicekit.clock import Clock, iso
from servicekit.errors import AerialError, BadAnswer, Invalid, RateLimited, Unavailable, Unreachable
from servicekit.fetch import Answer, Fetcher
from servicekit.redact import redact
from stream_service.domain.account import Account
from stream_service.domain.entities import Source
from stream_service.domain.losses import Losses
from stream_service.domain.panels import panel_of
from stream_service.domain.titles import Episode
from stream_service.sources.objects import START
from stream_service.sources.telling import Telling, Untold, percent_of
from stream_service.sources.unpack import unpacked
from stream_service.sources.xtream import Login, PanelListing, account_of, details_of, episodes_of

CHUNK_BYTES = 262_144
SMALL_MAX_BYTES = 32 << 20
UNPACKED_FACTOR = 4
SINGLE_WAIT_S = 20.0
LATER_S = 900
"""How long a panel is left alone that says "too many requests" and not until when."""
_LISTS = {"live": "get_live_streams", "vod": "get_vod_streams", "series": "get_series"}


@dataclass(frozen=True, slots=True)
class PanelFetched:
    """What a panel gave: its lists as files.

    `failed`: kinds whose lists were not had, and why. `same`: kinds of titles that are what they were last time.
    """

    unchanged: bool
    login: Login
    private: bool
    digest: str | None
    parts: Mapping[str, Path]
    max_bytes: int
    failed: Mapping[str, str] = field(default_factory=dict)
    same: frozenset[str] = frozenset()
    etag: str | None = None
    last_modified: str | None = None
    trusted: bool = False

    def listing(self, losses: Losses, telling: Telling) -> PanelListing:
        """The lists, to be read once."""
        made = PanelListing({action: partial(self._read, path) for action, path in self.parts.items()},
                            self.login, losses)  # fmt: skip
        made.kept.update("movie" if kind == "vod" else "series" for kind in (*self.same, *self.failed))
        for kind, why in self.failed.items():
            made.warnings.append(f"{kind}: {why}; what there was is kept")
        return made

    def _read(self, path: Path) -> Iterator[bytes]:
        with path.open("rb") as stream:
            yield from unpacked(
                iter(partial(stream.read, CHUNK_BYTES), b""), max_bytes=UNPACKED_FACTOR * self.max_bytes
            )


class Panels:
    """Asks panels. One of it serves a process, so that nobody asks an account twice at a time."""

    def __init__(self, *, fetcher: Fetcher, spool_dir: Path, max_bytes: int, clock: Clock, total_s: float = 3600):
        self._fetcher = fetcher
        self._spool_dir = spool_dir
        self._max_bytes = max_bytes
        self._clock = clock
        self._total_s = total_s
        self._lock = threading.Lock()
        self._accounts: dict[tuple[str, str], threading.Lock] = {}

    def check_address(self, url: str) -> None:
        """Raises `Invalid` unless `url` may be a panel's."""
        checked_url(url)

    @contextlib.contextmanager
    def get(self, source: Source, *, force: bool = False, telling: Telling | None = None) -> Iterator[PanelFetched]:
        """Its lists while the block runs. Raises `BadAnswer`, `Unreachable`, `Refused`, `RateLimited`, `Invalid`."""
        telling = telling or Untold()
        self._spool_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._spool_dir, prefix="panel-") as spool:
            with self._alone(source):
                login, private = self._logged_in(source, force=force, telling=telling)
                fetched = self._lists(source, login, private, Path(spool), force=force, telling=telling)
            yield fetched

    def series(self, source: Source, provider_id: str) -> tuple[list[Episode], dict[str, str]]:
        """A series' episodes and details, asked for now. Raises as `get`."""
        answer = self._one(source, "get_series_info", series_id=provider_id.rpartition(":")[2])
        return episodes_of(answer, provider_id, Losses())

    def movie(self, source: Source, provider_id: str) -> dict[str, str]:
        """A movie's details, asked for now. Raises as `get`."""
        answer = self._one(source, "get_vod_info", vod_id=provider_id.rpartition(":")[2])
        info = answer.get("info") if isinstance(answer, dict) else None
        return details_of(info) if isinstance(info, dict) else {}

    def guide_url(self, source: Source) -> str:
        """Where the panel's guide is: the address holds the login."""
        return f"{source.account.base_url or self._bases(source)[0]}/xmltv.php?{urlencode(_who(source))}"

    def has_guide(self, source: Source) -> bool:
        """Whether that address begins like a guide. Raises `Unreachable`, `BadAnswer`, `Refused`, `RateLimited`."""
        self._leave_alone(source)
        url = self.guide_url(source)
        with self._alone(source, wait_s=SINGLE_WAIT_S), self._open(source, url, total_s=60) as answer:
            pieces = answer.chunks(4096)
            head = b""
            with contextlib.suppress(BadAnswer):  # what is cut off here on purpose looks cut short
                for piece in unpacked(pieces, max_bytes=self._max_bytes):
                    head += piece
                    if len(head) >= 1024:
                        break
        return any(word in head[:4096].lower() for word in (b"<tv", b"<?xml", b"<!doctype tv"))

    # ---- the account -------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _alone(self, source: Source, *, wait_s: float = -1) -> Iterator[None]:
        """While the block runs nobody else asks this account; raises `Unavailable` when it is not free in time."""
        key = (self._bases(source)[0], source.username or "")
        with self._lock:
            own = self._accounts.setdefault(key, threading.Lock())
        if not own.acquire(timeout=wait_s):
            raise Unavailable("the panel is being asked for its lists; try again in a moment", retry_after_s=30)
        try:
            yield
        finally:
            own.release()

    def _bases(self, source: Source) -> list[str]:
        return [panel_of(url)[0] for url in (source.url, *source.backup_urls)]

    def _logged_in(self, source: Source, *, force: bool, telling: Telling) -> tuple[Login, bool]:
        """The first host that answers, and whether it is a private one."""
        if not source.username or not source.password:
            raise Invalid("an Xtream source needs a username and a password")
        before = source.account
        if before.wait_until > self._clock.now_s() and not force:
            raise RateLimited(
                f"the panel asked to be left alone until {iso(before.wait_until)}; refresh with force to ask anyway",
                retry_after_s=before.wait_until - self._clock.now_s(),
            )
        failures: list[AerialError] = []
        for base in self._bases(source):
            telling.stage("login")
            try:
                account, private = self._ask_account(source, base)
            except (BadAnswer, Unreachable) as error:
                if isinstance(error, BadAnswer) and error.status == 429:
                    raise self._later(before, error, telling) from error
                failures.append(error)
                continue
            telling.account(account)
            _refuse_unusable(account)
            extension = "m3u8" if "m3u8" in account.formats and "ts" not in account.formats else "ts"
            return Login(base, source.username, source.password, extension), private
        if len(failures) == 1:
            raise failures[0]
        said = "; ".join(redact(one.detail) for one in failures)
        raise type(failures[0])(f"none of {len(failures)} hosts can be used: {said}")

    def _ask_account(self, source: Source, base: str) -> tuple[Account, bool]:
        with self._open(source, _api(source, base), total_s=60, max_bytes=SMALL_MAX_BYTES) as answer:
            return account_of(_json(answer), base_url=base, now_s=self._clock.now_s()), answer.private

    def _later(self, before: Account, error: BadAnswer, telling: Telling) -> RateLimited:
        pause_s = error.retry_after_s or LATER_S
        until = self._clock.now_s() + pause_s
        telling.account(replace(before, status="limited", checked_at=self._clock.now_s(), wait_until=until))
        return RateLimited(f"the panel asks for fewer requests (429): nothing is asked before {iso(until)}",
                           retry_after_s=pause_s)  # fmt: skip

    # ---- lists -------------------------------------------------------------------------------------------------------

    def _lists(
        self, source: Source, login: Login, private: bool, spool: Path, *, force: bool, telling: Telling
    ) -> PanelFetched:
        before = _digests_of(source.good.digest)
        digests: dict[str, str] = {}
        parts: dict[str, Path] = {}
        failed: dict[str, str] = {}
        same: set[str] = set()
        for kind, action in _LISTS.items():
            if not source.options.get(kind, True):
                continue
            try:
                digests[kind] = self._download(source, login, kind, spool, telling)
            except (BadAnswer, Unreachable) as error:
                if kind == "live":
                    if isinstance(error, BadAnswer) and error.status == 429:
                        raise self._later(source.account, error, telling) from error
                    raise
                failed[kind] = redact(error.detail)
                continue
            if kind != "live" and not force and digests[kind] == before.get(kind):
                same.add(kind)
            else:
                parts |= {one: spool / one for one in (f"get_{kind}_categories", action)}
        return PanelFetched(
            unchanged=not force and not failed and digests == before,
            login=login,
            private=private,
            digest=json.dumps(digests),
            parts=parts,
            max_bytes=self._max_bytes,
            failed=failed,
            same=frozenset(same),
        )

    def _download(self, source: Source, login: Login, kind: str, spool: Path, telling: Telling) -> str:
        """A kind's categories and list as files; what tells them from others. Live streams differ by their host too."""
        asked = f"{login.base_url}\0{login.extension}\0{source.username}\0{source.password}" if kind == "live" else kind
        digest = blake2b(asked.encode(), digest_size=12)
        for action in (f"get_{kind}_categories", _LISTS[kind]):
            digest.update(action.encode())
            url = _api(source, login.base_url, action=action)
            with self._open(source, url, total_s=self._total_s) as answer, (spool / action).open("wb") as stream:
                if answer.status != 200:
                    raise BadAnswer(f"the panel answered {answer.status}; only 200 holds a list", status=answer.status)
                done, whole = 0, answer.left_bytes
                for chunk in answer.chunks(CHUNK_BYTES):
                    digest.update(chunk)
                    stream.write(chunk)
                    done += len(chunk)
                    telling.stage(f"fetching {kind}", percent=percent_of(done, whole), bytes=done)
        return digest.hexdigest()

    def _one(self, source: Source, action: str, **said: str) -> object:
        base = source.account.base_url or self._bases(source)[0]
        self._leave_alone(source)
        url = _api(source, base, action=action, **said)
        with (
            self._alone(source, wait_s=SINGLE_WAIT_S),
            self._open(source, url, total_s=25, max_bytes=SMALL_MAX_BYTES) as answer,
        ):
            return _json(answer)

    def _leave_alone(self, source: Source) -> None:
        left_s = source.account.wait_until - self._clock.now_s()
        if left_s > 0:
            raise RateLimited("the panel asked to be left alone for a while", retry_after_s=left_s)

    def _open(self, source: Source, url: str, *, total_s: float, max_bytes: int | None = None) -> Answer:
        headers = {**({"User-Agent": source.user_agent} if source.user_agent else {}), **source.headers}
        return self._fetcher.open(
            url,
            headers=headers,
            typed=True,
            timeout_s=source.timeouts.get("connect_s"),
            read_timeout_s=source.timeouts.get("read_s"),
            total_s=source.timeouts.get("total_s", total_s),
            max_bytes=max_bytes or self._max_bytes,
        )


def _digests_of(kept: str | None) -> dict[str, str]:
    """What told the last lists of each kind from others."""
    try:
        found = json.loads(kept or "{}")
    except ValueError:  # the source was of another type
        return {}
    return found if isinstance(found, dict) else {}


def _who(source: Source) -> dict[str, str]:
    return {"username": source.username or "", "password": source.password or ""}


def _api(source: Source, base: str, **said: str) -> str:
    return f"{base}/player_api.php?{urlencode({**_who(source), **said})}"


def _refuse_unusable(account: Account) -> None:
    said = f" (it says: {account.message!r})" if account.message else ""
    if account.status == "refused":
        raise BadAnswer(f"the panel refuses the login: user name or password is wrong, or the account is gone{said}")
    if account.status == "expired":
        on = f" on {iso(account.expires_at)}" if account.expires_at else ""
        raise BadAnswer(f"the account has expired{on}{said}")
    if account.status in ("banned", "disabled"):
        raise BadAnswer(f"the panel has {account.status} the account{said}")


def _json(answer: Answer) -> object:
    """A small answer as JSON, whatever PHP wrote around it; raises `BadAnswer`."""
    if answer.status != 200:
        raise BadAnswer(f"the panel answered {answer.status}", status=answer.status)
    body = b"".join(unpacked(answer.chunks(), max_bytes=SMALL_MAX_BYTES))
    return json_of(body)


def json_of(body: bytes) -> object:
    """The first JSON value of a body: a mark or a warning in front and junk behind are forgiven."""
    said = body.decode("utf-8-sig", "replace")
    found = START.search(said)
    low = said.lstrip()[:100].lower()
    if found is None or low.startswith(("<!doctype", "<html", "<head")):
        what = "is empty" if not said.strip() else "is a web page" if low.startswith("<") else "is no JSON"
        raise BadAnswer(f"the panel's answer {what}" + (f": {said.strip()[:80]!r}" if what == "is no JSON" else ""))
    try:
        value, _ = json.JSONDecoder().raw_decode(said, found.start())
    except (ValueError, RecursionError) as error:
        raise BadAnswer(f"the panel's answer is broken JSON: {str(error)[:80]}") from error
    told: object = value
    return told
