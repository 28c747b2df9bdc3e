"""Streams of a lineup by channel number, as an HDHomeRun gives them: `/auto/vN` and `/tunerK/vN`.

One stream of one client takes one tuner. What is refused says why in `X-HDHomeRun-Error`, which is what clients read.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from flask import Response, g, request
from flask_openapi3 import APIBlueprint
from pydantic import ConfigDict, Field

from servicekit.errors import AerialError, NotFound, Unavailable
from servicekit.web import Shape
from stream_service.api import Collaborators, params
from stream_service.api.hdhr import CORS, Tuned, known_device
from stream_service.api.live import HDHOMERUN_ERROR, Relay, Tuning, hdhomerun_error, watch
from stream_service.api.profiles import ProfileQuery, Through, as_asked
from stream_service.domain.lineup import DEFAULT
from stream_service.domain.model import REDIRECT, ChannelTarget
from stream_service.outputs.hdhr import TUNED_LIKE_A_DEVICE

RESOURCE = "X-HDHomeRun-Resource"
UNKNOWN_CHANNEL = "801 Unknown Channel"
UNKNOWN_PROFILE = "802 Unknown Transcode Profile"


class Tuners(Protocol):
    """See `relay.tuners`."""

    def taking(self, lineup: str, count: int, wanted: int | None = None) -> AbstractContextManager[str]: ...


class Tunable(Tuned, Protocol):
    """What these views are handed; `wiring` builds it."""

    @property
    def tuners(self) -> Tuners: ...
    @property
    def channel(self) -> Callable[[str, str], ChannelTarget | None]:
        """The channel of a lineup (name, number), from memory."""
        ...


class TuneQuery(Shape):
    """Clients add words of their own, which are passed over."""

    model_config = ConfigDict(extra="ignore")
    transcode: str = Field("", max_length=40, description="A device's profile, or one of ours; see docs/hdhomerun.md.")
    duration: float | None = Field(None, gt=0, le=31_536_000, description="End the stream after so many seconds.")


class AutoPath(Shape):
    number: str = Field(max_length=20, description="The channel's number in the lineup.")


class TunerPath(AutoPath):
    tuner: int = Field(ge=0, le=255, description="Counted from 0.")


class LineupAutoPath(AutoPath, params.LineupPath):
    pass


class LineupTunerPath(TunerPath, params.LineupPath):
    pass


def blueprint(it: Collaborators, tunable: Tunable, *, hub: Relay, through: Through) -> APIBlueprint:
    """The streams of the device at the root, and of those of lineups."""
    views = APIBlueprint("tuning", __name__)
    room = _Room(it, tunable, hub, through)

    @views.get("/auto/v<number>", summary="A channel of the default lineup by its number, by any free tuner")
    def auto(path: AutoPath, query: TuneQuery) -> Response:
        return room.tune(DEFAULT, path.number, None, query)

    @views.get("/hdhr/<name>/auto/v<number>", summary="A channel of a lineup by its number, by any free tuner")
    def lineup_auto(path: LineupAutoPath, query: TuneQuery) -> Response:
        return room.tune(path.name, path.number, None, query)

    @views.get("/tuner<int:tuner>/v<number>", summary="The same by this tuner alone")
    def one_tuner(path: TunerPath, query: TuneQuery) -> Response:
        return room.tune(DEFAULT, path.number, path.tuner, query)

    @views.get("/hdhr/<name>/tuner<int:tuner>/v<number>", summary="The same by this tuner alone")
    def lineup_tuner(path: LineupTunerPath, query: TuneQuery) -> Response:
        return room.tune(path.name, path.number, path.tuner, query)

    @views.after_request
    def say_why(response: Response) -> Response:
        reason = g.get("tuner_error")
        if reason and response.status_code >= 400:
            response.headers.setdefault(HDHOMERUN_ERROR, reason)
        response.headers.setdefault(*CORS)
        return response

    return views


class _Room:
    """What a request for a stream goes through."""

    def __init__(self, it: Collaborators, tunable: Tunable, hub: Relay, through: Through) -> None:
        self._it = it
        self._tunable = tunable
        self._hub = hub
        self._through = through

    def tune(self, lineup: str, number: str, wanted: int | None, query: TuneQuery) -> Response:
        """The channel as a stream; raises errors of ours, noted for the header that clients read."""
        try:
            return self._tune(lineup, number, wanted, query)
        except Unavailable as error:
            g.setdefault("tuner_error", hdhomerun_error(error))
            raise

    def _tune(self, lineup: str, number: str, wanted: int | None, query: TuneQuery) -> Response:
        target = self._tunable.channel(lineup, number)
        device = known_device(self._it, lineup, self._tunable)
        if target is None:
            raise _refused(NotFound(f"the lineup {lineup!r} has no channel {number!r}"), UNKNOWN_CHANNEL)
        if wanted is not None and wanted >= device.tuners:
            raise _refused(NotFound(f"there is no tuner {wanted}: the lineup has {device.tuners}"), UNKNOWN_CHANNEL)
        target = self._as_asked(target, query.transcode)
        if target.delivery == REDIRECT or request.method == "HEAD":
            return watch(target, hub=self._hub, lineup=lineup)
        with self._tunable.tuners.taking(lineup, device.tuners, wanted) as tuner:
            resource = {RESOURCE: f"tuner{tuner.rpartition('/')[2]}"}
            tuning = Tuning(tuner, query.duration, resource)
            return watch(target, hub=self._hub, lineup=lineup, tuning=tuning)

    def _as_asked(self, target: ChannelTarget, transcode: str) -> ChannelTarget:
        """Through the profile of that name, where there is one. A device's word that names none is passed over: the
        stream as it is can be shown by whoever asks; any other word is refused."""
        try:
            return as_asked(target, ProfileQuery(profile="" if transcode == "none" else transcode), self._through)
        except NotFound:
            if transcode not in TUNED_LIKE_A_DEVICE:
                words = f"there is no profile {transcode!r} for transcode="
                raise _refused(Unavailable(words), UNKNOWN_PROFILE) from None
            return as_asked(target, ProfileQuery(profile=""), self._through)


def _refused(error: AerialError, reason: str) -> AerialError:
    g.tuner_error = reason
    return error
