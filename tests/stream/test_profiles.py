"""Profiles: checked options, the arguments they become, and that nothing else can become one."""

import string
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from servicekit import web
from servicekit.clock import SystemClock
from servicekit.errors import Conflict, Invalid, NotFound
from servicekit.health import Checks, State
from servicekit.metrics import Metrics
from servicekit.settings import Settings
from servicekit.web import Shape
from stream_service.api.profiles import ProfileQuery, as_asked, blueprint
from stream_service.domain.model import ChannelTarget
from stream_service.domain.profiles import (
    BUILT_IN,
    COPY,
    H264_AAC,
    Codecs,
    Profile,
    arguments,
    profile_of,
    trial_arguments,
    video_encoder,
    wants_encoder,
)
from stream_service.store.connection import open_database
from stream_service.store.profiles import Profiles

H264 = Codecs("h264", "aac")


def after(words: list[str], option: str) -> str:
    return words[words.index(option) + 1]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        pytest.param({"video": "libx264 -f tee"}, "video", id="a codec that is none"),
        pytest.param({"encoder": "/bin/sh"}, "encoder", id="an encoder that is none"),
        pytest.param({"video_kbps": "2000"}, "video_kbps", id="a figure as text"),
        pytest.param({"video_kbps": 1}, "from 100", id="too small a figure"),
        pytest.param({"max_height": True}, "max_height", id="true as a figure"),
        pytest.param({"fps": 1e9}, "fps", id="too large a figure"),
        pytest.param({"deinterlace": "yes"}, "deinterlace", id="text for a switch"),
        pytest.param({"video": "none", "audio": "none"}, "one of them must stay", id="nothing left"),
        pytest.param({"extra": "-y /etc/passwd"}, "no such option", id="an unknown option"),
        pytest.param({"description": "a\nb"}, "description", id="two lines"),
    ],
)
def test_bad_options_are_refused_by_name(options: dict[str, object], says: str) -> None:
    with pytest.raises(Invalid, match=says):
        profile_of("mine", options)


@pytest.mark.parametrize("name", ["", "-y", "a b", "a/b", "x" * 41, "ä", "a\n", "~"])
def test_bad_names_are_refused(name: str) -> None:
    with pytest.raises(Invalid, match="name"):
        profile_of(name, {})


def test_every_fault_is_named() -> None:
    with pytest.raises(Invalid) as caught:
        profile_of("-", {"video": 1, "audio": 2, "fps": 3, "z": 4})
    assert all(word in caught.value.detail for word in ("name", "video", "audio", "fps", "z"))


@given(
    st.dictionaries(
        st.sampled_from(["video", "audio", "encoder", "preset", "video_kbps", "max_height", "fps", "description"]),
        st.one_of(st.text(), st.integers(), st.sampled_from(["copy", "h264", "aac", "none", "-i", "file:/etc/passwd"])),
    )
)
def test_no_typed_text_becomes_an_argument(options: dict[str, object]) -> None:
    try:
        profile = profile_of("mine", options)
    except Invalid:
        return
    encoder = video_encoder(profile, "software") if wants_encoder(profile, Codecs()) else ""
    words = arguments(profile, encoder=encoder)
    assert after(words, "-i") == "pipe:0"
    assert after(words, "-protocol_whitelist") == "pipe"
    assert words[-1] == "pipe:1"
    assert words.count("-i") == 1
    known = set(string.ascii_letters + string.digits + "-_+.,:=()*\\?/ ")
    assert all(set(word) <= known for word in words)
    assert not [word for word in words if "file:" in word or "/etc" in word]


@pytest.mark.parametrize(
    ("codecs", "filters"),
    [
        (Codecs("h264", "aac"), "h264_mp4toannexb,dump_extra=freq=keyframe"),
        (Codecs("hevc", "aac"), "hevc_mp4toannexb,dump_extra=freq=keyframe"),
        (Codecs("mpeg2video", "mp2"), None),
        (Codecs(), None),
    ],
)
def test_a_copied_picture_carries_its_parameter_sets(codecs: Codecs, filters: str | None) -> None:
    words = arguments(COPY, codecs=codecs)
    assert after(words, "-c:v") == "copy"
    assert (after(words, "-bsf:v") if "-bsf:v" in words else None) == filters


@pytest.mark.parametrize(
    ("profile", "codecs", "picture", "sound"),
    [
        pytest.param(H264_AAC, H264, "copy", "copy", id="the same already"),
        pytest.param(H264_AAC, Codecs("hevc", "ac3"), "libx264", "aac", id="both differ"),
        pytest.param(H264_AAC, Codecs("h264", "mp2"), "copy", "aac", id="the sound differs"),
        pytest.param(H264_AAC, Codecs(), "libx264", "aac", id="not known"),
        pytest.param(Profile("p", video="h264", max_height=480), H264, "libx264", "copy", id="another size"),
        pytest.param(Profile("p", video="h264", copy_if_same=False), H264, "libx264", "copy", id="never copied"),
        pytest.param(Profile("p", video="hevc", audio="aac", channels=2), H264, "libx265", "aac", id="other channels"),
        pytest.param(
            Profile("p", video="mpeg2", audio="mp2"), Codecs("mpeg2video", "mp2"), "copy", "copy", id="MPEG-2"
        ),
    ],
)
def test_what_is_so_already_is_copied(profile: Profile, codecs: Codecs, picture: str, sound: str) -> None:
    encoder = video_encoder(profile, "software") if wants_encoder(profile, codecs) else ""
    words = arguments(profile, encoder=encoder, codecs=codecs)
    assert (after(words, "-c:v"), after(words, "-c:a")) == (picture, sound)


def test_radio_has_no_picture() -> None:
    words = arguments(H264_AAC, codecs=Codecs("", "mp2"))
    assert not wants_encoder(H264_AAC, Codecs("", "mp2"))
    assert "-vn" in words
    assert "-c:v" not in words


def test_figures_become_arguments() -> None:
    profile = profile_of("p", {"video": "h264", "audio": "aac", "video_kbps": 2000, "audio_kbps": 96, "max_height": 720,
                               "fps": 25, "channels": 2, "deinterlace": True, "keyframe_s": 3})  # fmt: skip
    words = arguments(profile, encoder="libx264", codecs=H264)
    assert after(words, "-b:v") == "2000k"
    assert after(words, "-b:a") == "96k"
    assert after(words, "-r") == "25"
    assert after(words, "-ac") == "2"
    assert "yadif" in after(words, "-vf")
    assert "720" in after(words, "-vf")
    assert after(words, "-force_key_frames") == "expr:gte(t,n_forced*3)"


def test_the_clock_of_files_is_kept_and_that_of_live_streams_is_theirs() -> None:
    assert "-re" in arguments(COPY, realtime=True)
    assert "-re" not in arguments(COPY)


def test_vaapi_needs_its_device_and_uploads() -> None:
    words = arguments(Profile("p", video="h264"), encoder="h264_vaapi")
    assert words.index("-vaapi_device") < words.index("-i")
    assert after(words, "-vf").endswith("hwupload")
    assert "-vaapi_device" in trial_arguments("h264_vaapi")


# ---- stored ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def stored(tmp_path: Path):  # type: ignore[no-untyped-def]
    connections = open_database(tmp_path / "s.db", backups=tmp_path / "b", lock=tmp_path / "lock")
    yield lambda: Profiles(connections, clock=SystemClock())
    connections.close()


def test_profiles_are_kept_and_found_without_regard_to_case(stored) -> None:  # type: ignore[no-untyped-def]
    profiles = stored()
    profiles.create(profile_of("Small", {"video": "h264", "max_height": 480}))
    again = stored()
    assert [one.name for one in again.all()] == list(BUILT_IN)
    again.load()
    assert [one.name for one in again.all()] == [*BUILT_IN, "Small"]
    assert again.find("SMALL").max_height == 480
    changed = again.change("small", {"max_height": None, "audio": "aac"})
    assert (changed.max_height, changed.audio, changed.video) == (None, "aac", "h264")
    again.delete("small")
    assert again.find("small") is None
    with pytest.raises(NotFound):
        again.get("small")


def test_names_are_taken_once_and_built_in_profiles_stay(stored) -> None:  # type: ignore[no-untyped-def]
    profiles = stored()
    profiles.create(profile_of("mine", {}))
    for name in ("MINE", "copy", "H264-AAC"):
        with pytest.raises(Conflict):
            profiles.create(profile_of(name, {}))
    with pytest.raises(Conflict, match="built in"):
        profiles.change("copy", {"audio": "aac"})
    with pytest.raises(Conflict, match="built in"):
        profiles.delete("h264-aac")
    with pytest.raises(Invalid):
        profiles.change("mine", {"video": "none", "audio": "none"})


@pytest.mark.parametrize(
    ("asked", "delivery", "wanted"),
    [
        ("", "relay", ""),
        ("", "redirect", ""),
        ("", "h264-aac", "h264-aac"),
        ("copy", "h264-aac", "copy"),
        ("copy", "redirect", "copy"),
    ],
)
def test_a_request_names_a_profile_or_the_lineup_does(asked: str, delivery: str, wanted: str) -> None:
    target = ChannelTarget("a", "1", "A", (), delivery=delivery)
    seen: list[str] = []

    def through(one: ChannelTarget, profile: str) -> ChannelTarget:
        seen.append(profile)
        return one

    assert issubclass(ProfileQuery, Shape)
    as_asked(target, ProfileQuery(profile=asked), through)
    assert seen == ([wanted] if wanted else [])


# ---- over HTTP -------------------------------------------------------------------------------------------------------


@pytest.fixture
def client(stored, tmp_path: Path) -> FlaskClient:  # type: ignore[no-untyped-def]
    app = web.make_app(
        "profiles",
        title="Profiles of the tests",
        door=web.Door(admin_token="t", internal_secret="s"),
        metrics=Metrics("profiles", figures=list),
        settings=Settings(tmp_path / "settings.json", lock=tmp_path / "settings.lock"),
        checks=Checks(state=State, not_ready=lambda: None),
    )
    app.register_api(blueprint(profiles=stored(), call=lambda fn, *words, **named: fn(*words, **named)))
    return app.test_client()


def test_profiles_are_made_changed_and_forgotten_over_http(client: FlaskClient) -> None:
    assert [one["name"] for one in client.get("/api/v1/profiles").get_json()["items"]] == ["copy", "h264-aac"]
    made = client.post("/api/v1/profiles", json={"name": "small", "video": "h264", "max_height": 480})
    assert made.status_code == 201
    assert (made.get_json()["built_in"], made.get_json()["max_height"]) == (False, 480)
    assert client.get("/api/v1/profiles/SMALL").get_json() == made.get_json()
    changed = client.put("/api/v1/profiles/small", json={"max_height": None, "audio": "aac"}).get_json()
    assert (changed["max_height"], changed["audio"], changed["video"]) == (None, "aac", "h264")
    assert client.delete("/api/v1/profiles/small").status_code == 204
    assert client.get("/api/v1/profiles/small").status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("post", "", {"name": "copy"}, 409),
        ("post", "", {"name": "-y"}, 400),
        ("post", "", {"name": "a", "video": "libx264"}, 400),
        ("post", "", {"name": "a", "fps": 5}, 400),
        ("post", "", {"name": "a", "arguments": ["-i", "x"]}, 400),
        ("put", "/copy", {"audio": "aac"}, 409),
        ("put", "/nope", {"audio": "aac"}, 404),
        ("delete", "/copy", None, 409),
        ("delete", "/nope", None, 404),
    ],
)
def test_what_cannot_be_is_refused_over_http(
    client: FlaskClient, method: str, path: str, body: dict[str, object] | None, status: int
) -> None:
    answer = getattr(client, method)(f"/api/v1/profiles{path}", **({} if body is None else {"json": body}))
    assert answer.status_code == status, answer.get_json()
