"""Profiles: list, look, make, change, delete; and how a request for a stream names one."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from flask import Response
from flask_openapi3 import APIBlueprint
from pydantic import ConfigDict, Field

from servicekit.errors import NotFound
from servicekit.web import Shape, json_answer, no_content
from stream_service.domain.calls import Call
from stream_service.domain.model import ChannelTarget
from stream_service.domain.profiles import BUILT_IN, Audio, Encoder, Preset, Profile, Video, profile_of

_PLAIN = frozenset({"", "relay", "redirect"})

Through = Callable[[ChannelTarget, str], ChannelTarget]
"""A channel as a profile makes it; raises `NotFound`, `Unavailable` (no ffmpeg)."""


def no_profiles(target: ChannelTarget, profile: str) -> ChannelTarget:
    """Where there are none."""
    raise NotFound(f"there is no profile {profile!r}")


class ProfileQuery(Shape):
    """What a request for a stream may say; players add words of their own, which are passed over."""

    model_config = ConfigDict(extra="ignore")
    profile: str = Field("", max_length=40, description="The stream through this profile, instead of the lineup's way.")


def as_asked(target: ChannelTarget, query: ProfileQuery, through: Through) -> ChannelTarget:
    """The channel through the profile that was asked for, else through its lineup's, else as it is."""
    wanted = query.profile or ("" if target.delivery in _PLAIN else target.delivery)
    return through(target, wanted) if wanted else target


class Profiles(Protocol):
    """What the views ask of the store."""

    def all(self) -> Sequence[Profile]: ...
    def get(self, name: str) -> Profile: ...
    def create(self, profile: Profile) -> Profile: ...
    def change(self, name: str, values: dict[str, Any]) -> Profile: ...
    def delete(self, name: str) -> None: ...


class _Path(Shape):
    name: str = Field(max_length=40)


class _Options(Shape):
    video: Video | None = Field(None, description="copy, an encoder's codec, or none.")
    audio: Audio | None = None
    encoder: Encoder | None = Field(
        None, description="auto: the first hardware encoder that works here, else software."
    )
    preset: Preset | None = Field(None, description="Speed of the software encoder.")
    copy_if_same: bool | None = Field(None, description="Copy what has the wanted codec already.")
    video_kbps: int | None = Field(None, ge=100, le=100_000)
    audio_kbps: int | None = Field(None, ge=32, le=640)
    max_height: int | None = Field(None, ge=144, le=4320)
    fps: int | None = Field(None, ge=10, le=120)
    channels: int | None = Field(None, ge=1, le=8)
    deinterlace: bool | None = None
    keyframe_s: int | None = Field(None, ge=1, le=10)
    description: str | None = Field(None, max_length=200)


class _NewProfile(_Options):
    name: str = Field(max_length=40)


_MAY_BE_NONE = frozenset({"video_kbps", "audio_kbps", "max_height", "fps", "channels"})


def blueprint(*, profiles: Profiles, call: Call) -> APIBlueprint:
    """`/api/v1/profiles`."""
    views = APIBlueprint("profiles", __name__, url_prefix="/api/v1")

    @views.get("/profiles", summary="All profiles, the built-in ones first")
    def all_profiles() -> Response:
        return json_answer({"items": [_shown(one) for one in profiles.all()], "next": None})

    @views.get("/profiles/<name>", summary="One profile")
    def one_profile(path: _Path) -> Response:
        return json_answer(_shown(profiles.get(path.name)))

    @views.post("/profiles", summary="A new profile")
    def new_profile(body: _NewProfile) -> Response:
        return json_answer(_shown(call(profiles.create, profile_of(body.name, _given(body)))), 201)

    @views.put("/profiles/<name>", summary="Change the options that are sent; streams that run keep theirs")
    def changed_profile(path: _Path, body: _Options) -> Response:
        return json_answer(_shown(call(profiles.change, path.name, _given(body))))

    @views.delete("/profiles/<name>", summary="Forget a profile; streams that run go on")
    def deleted_profile(path: _Path) -> Response:
        call(profiles.delete, path.name)
        return no_content()

    return views


def _given(body: _Options) -> dict[str, Any]:
    """The options that were sent; null takes away what may be missing and is nothing elsewhere."""
    sent = body.model_dump(exclude_unset=True, exclude={"name"})
    return {key: value for key, value in sent.items() if value is not None or key in _MAY_BE_NONE}


def _shown(one: Profile) -> dict[str, object]:
    return {"name": one.name, "built_in": one.name in BUILT_IN, **one.options()}
