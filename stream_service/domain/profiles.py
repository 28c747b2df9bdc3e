"""Profiles: how a stream is repackaged or encoded anew. Typed options, and the one place where they become arguments.

Pure. Nothing that a person typed becomes an argument as it stands: options are words of fixed lists and numbers within
bounds, so no text can be read as another option, a file or a protocol. The input comes through a pipe and ffmpeg is
allowed no other protocol; no address, and so no secret, stands among the arguments.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from servicekit.errors import Invalid

Video = Literal["copy", "h264", "hevc", "mpeg2", "none"]
Audio = Literal["copy", "aac", "ac3", "mp2", "none"]
Encoder = Literal["auto", "software", "nvenc", "qsv", "vaapi", "videotoolbox"]
Preset = Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium"]

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}", re.ASCII)
HARDWARE: tuple[Encoder, ...] = ("nvenc", "qsv", "vaapi", "videotoolbox")
_SOFTWARE = {"h264": "libx264", "hevc": "libx265", "mpeg2": "mpeg2video"}
_SOUND_ENCODERS = {"aac": "aac", "ac3": "ac3", "mp2": "mp2"}
_BOUNDS = {
    "video_kbps": (100, 100_000),
    "audio_kbps": (32, 640),
    "max_height": (144, 4320),
    "fps": (10, 120),
    "channels": (1, 8),
    "keyframe_s": (1, 10),
}


@dataclass(frozen=True, slots=True)
class Profile:
    """`copy_if_same`: a stream that has the wanted codec already is copied, unless a picture size, frame rate, bit rate
    or deinterlacing asks for an encoder. None means: as the source has it, or the encoder's own choice."""

    name: str
    video: Video = "copy"
    audio: Audio = "copy"
    encoder: Encoder = "auto"
    preset: Preset = "veryfast"
    copy_if_same: bool = True
    video_kbps: int | None = None
    audio_kbps: int | None = None
    max_height: int | None = None
    fps: int | None = None
    channels: int | None = None
    deinterlace: bool = False
    keyframe_s: int = 2
    description: str = ""

    def options(self) -> dict[str, object]:
        """Everything but the name, as it is stored and shown."""
        found = asdict(self)
        del found["name"]
        return found


COPY = Profile("copy", description="The same picture and sound in a clean transport stream; costs next to nothing.")
H264_AAC = Profile("h264-aac", video="h264", audio="aac", description="Plays everywhere; copies what is so already.")
BUILT_IN = {one.name: one for one in (COPY, H264_AAC)}


@dataclass(frozen=True, slots=True)
class Codecs:
    """What a stream holds, in ffmpeg's words; None where it is not known, '' where there is none."""

    video: str | None = None
    audio: str | None = None


def profile_of(name: str, options: Mapping[str, object]) -> Profile:
    """A checked profile; raises `Invalid` with every fault."""
    faults = []
    if not NAME.fullmatch(name):
        faults.append("name: 1 to 40 letters, digits, '.', '_' and '-', the first a letter or digit")
    known = {field.name for field in fields(Profile)} - {"name"}
    faults += [f"{key}: there is no such option" for key in options if key not in known]
    for key, words in (("video", Video), ("audio", Audio), ("encoder", Encoder), ("preset", Preset)):
        if key in options and options[key] not in get_args(words):
            faults.append(f"{key}: one of {', '.join(get_args(words))}")
    for key, (least, most) in _BOUNDS.items():
        value = options.get(key)
        if value is not None and not (type(value) is int and least <= value <= most):
            faults.append(f"{key}: a whole number from {least} to {most}")
    faults += [f"{key}: true or false" for key in ("copy_if_same", "deinterlace")
               if not isinstance(options.get(key, True), bool)]  # fmt: skip
    if options.get("keyframe_s", 2) is None:
        faults.append("keyframe_s: a whole number from 1 to 10")
    if options.get("video") == "none" and options.get("audio") == "none":
        faults.append("video, audio: one of them must stay")
    text = options.get("description", "")
    if not isinstance(text, str) or len(text) > 200 or not (text == "" or text.isprintable()):
        faults.append("description: one line of at most 200 characters")
    if faults:
        raise Invalid("; ".join(faults))
    given: dict[str, Any] = dict(options)
    return Profile(name, **given)


def arguments(
    profile: Profile,
    *,
    encoder: str = "",
    codecs: Codecs | None = None,
    container: str = "mpegts",
    realtime: bool = False,
    vaapi_device: str = "/dev/dri/renderD128",
) -> list[str]:
    """ffmpeg's arguments, without the program's name: from standard input to a transport stream on standard output.

    `encoder`: the video encoder's name, when the picture is to be encoded (`video_encoder` says which).
    `container`: the input's, in ffmpeg's words; given, so that ffmpeg never guesses at text that names other files.
    `realtime`: the input comes faster than it plays (a file).
    """
    codecs = codecs or Codecs()
    picture = _picture(profile, codecs, encoder)
    device = ["-vaapi_device", vaapi_device] if encoder.endswith("_vaapi") and "copy" not in picture else []
    return [
        *("-hide_banner", "-nostdin", "-nostats", "-loglevel", "level+warning"),
        *device,
        # Faults of the input are passed over; what has no times gets some. Reconnecting is the relay's, not ffmpeg's.
        *("-fflags", "+genpts+discardcorrupt", "-err_detect", "ignore_err"),
        *("-probesize", "1000000", "-analyzeduration", "2000000", "-thread_queue_size", "512"),
        *(("-re",) if realtime else ()),
        *("-protocol_whitelist", "pipe", "-f", container, "-i", "pipe:0"),
        *("-map", "0:v:0?", "-map", "0:a?", "-sn", "-dn", "-map_metadata", "-1"),
        *picture,
        *_sound(profile, codecs),
        *_MUXER,
    ]


SOUND_INPUT = "pipe:sound"
"""Stands for the second input among arguments, until its descriptor is known."""


def joined_arguments(codecs: Codecs, *, container: str, sound_container: str, sound_later_s: float = 0.0) -> list[str]:
    """ffmpeg's arguments: the picture of standard input and the sound of `SOUND_INPUT` in one transport stream, copied.

    Both keep the clock of their source, which is one for the two. `sound_later_s` is added to the sound's.
    """
    read = ("-probesize", "1000000", "-analyzeduration", "2000000", "-thread_queue_size", "512")
    return [
        *("-hide_banner", "-nostdin", "-nostats", "-loglevel", "level+warning", "-copyts"),
        *("-fflags", "+genpts+discardcorrupt", "-err_detect", "ignore_err", *read),
        *("-protocol_whitelist", "pipe", "-f", container, "-i", "pipe:0"),
        *("-fflags", "+genpts+discardcorrupt", "-err_detect", "ignore_err", *read),
        *(("-itsoffset", f"{sound_later_s:.6f}") if sound_later_s else ()),
        *("-protocol_whitelist", "pipe", "-f", sound_container, "-i", SOUND_INPUT),
        *("-map", "0:v:0", "-map", "1:a:0", "-sn", "-dn", "-map_metadata", "-1"),
        *_picture(COPY, codecs, ""),
        *("-c:a", "copy"),
        *_MUXER,
    ]


_MUXER = (
    # A clock every 20 ms, tables twice a second, every packet at once, and sound that is late holds nothing up for over
    # a second. No fixed rate: it would cut what is above it.
    *("-max_muxing_queue_size", "4096", "-max_interleave_delta", "1000000", "-muxdelay", "0", "-muxpreload", "0"),
    *("-f", "mpegts", "-pcr_period", "20", "-pat_period", "0.5", "-flush_packets", "1", "pipe:1"),
)


def wants_encoder(profile: Profile, codecs: Codecs) -> bool:
    """True when the picture has to be encoded anew."""
    if profile.video in ("copy", "none"):
        return False
    changed = profile.deinterlace or profile.max_height or profile.fps or profile.video_kbps
    same = codecs.video == {"mpeg2": "mpeg2video"}.get(profile.video, profile.video)
    return bool(changed) or not (profile.copy_if_same and same) if codecs.video != "" else False


def video_encoder(profile: Profile, kind: Encoder) -> str:
    """The name of the encoder of this kind ("software", "nvenc" …) for the profile's codec."""
    if kind in ("software", "auto"):
        return _SOFTWARE[profile.video]
    return f"{profile.video}_{kind}"


def trial_arguments(encoder: str, *, vaapi_device: str = "/dev/dri/renderD128") -> list[str]:
    """Arguments that encode a few made-up pictures: they succeed where the encoder really works."""
    upload = ["-vf", "format=nv12,hwupload"] if encoder.endswith("_vaapi") else ["-pix_fmt", "yuv420p"]
    return [
        *("-hide_banner", "-nostdin", "-loglevel", "error"),
        *(("-vaapi_device", vaapi_device) if encoder.endswith("_vaapi") else ()),
        *("-f", "lavfi", "-i", "testsrc=size=320x240:rate=25", "-frames:v", "5"),
        *upload,
        *("-c:v", encoder, "-f", "null", "-"),
    ]


def _picture(profile: Profile, codecs: Codecs, encoder: str) -> list[str]:
    if profile.video == "none" or codecs.video == "":
        return ["-vn"]
    if not wants_encoder(profile, codecs):
        # Without the filters a copied H.264 or HEVC picture out of another container stays black on many players, and
        # who joins later has no parameter sets.
        filters = {
            "h264": "h264_mp4toannexb,dump_extra=freq=keyframe",
            "hevc": "hevc_mp4toannexb,dump_extra=freq=keyframe",
        }
        chosen = filters.get(codecs.video or "")
        return ["-c:v", "copy", *(("-bsf:v", chosen) if chosen else ())]
    rate = [f"-b:v {profile.video_kbps}k -maxrate {profile.video_kbps}k -bufsize {2 * profile.video_kbps}k"] if (
        profile.video_kbps) else []  # fmt: skip
    return [
        *("-c:v", encoder),
        *(word for text in rate for word in text.split()),
        *_filters(profile, encoder),
        *(("-r", str(profile.fps)) if profile.fps else ()),
        *("-force_key_frames", f"expr:gte(t,n_forced*{profile.keyframe_s})"),
        *_encoder_options(profile, encoder),
    ]


def _encoder_options(profile: Profile, encoder: str) -> list[str]:
    if encoder == "libx264":
        return ["-preset", profile.preset, "-tune", "zerolatency", "-profile:v", "high", "-pix_fmt", "yuv420p",
                "-x264-params", "repeat-headers=1"]  # fmt: skip
    if encoder == "libx265":
        return ["-preset", profile.preset, "-tune", "zerolatency", "-pix_fmt", "yuv420p", "-tag:v", "hvc1",
                "-x265-params", "repeat-headers=1:log-level=error"]  # fmt: skip
    if encoder == "mpeg2video":
        return ["-pix_fmt", "yuv420p", *(() if profile.video_kbps else ("-q:v", "4"))]
    return ["-bf", "0"]


def _filters(profile: Profile, encoder: str) -> list[str]:
    chain = ["yadif=deint=interlaced"] if profile.deinterlace else []
    if profile.max_height:
        chain.append(f"scale=-2:min({profile.max_height}\\,trunc(ih/2)*2)")
    if encoder.endswith("_vaapi"):
        chain += ["format=nv12", "hwupload"]
    return ["-vf", ",".join(chain)] if chain else []


def _sound(profile: Profile, codecs: Codecs) -> list[str]:
    if profile.audio == "none" or codecs.audio == "":
        return ["-an"]
    changed = profile.audio_kbps or profile.channels
    if profile.audio == "copy" or (profile.copy_if_same and codecs.audio == profile.audio and not changed):
        return ["-c:a", "copy"]
    return [
        *("-c:a", _SOUND_ENCODERS[profile.audio]),
        *(("-b:a", f"{profile.audio_kbps}k") if profile.audio_kbps else ()),
        *(("-ac", str(profile.channels)) if profile.channels else ()),
        *("-af", "aresample=async=1000"),
    ]
