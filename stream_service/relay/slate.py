"""What viewers see while a channel's sources are away: a card with the reason, as an endless stream.

One card per kind of trouble. They are made by ffmpeg, once, into the published files (`make_slates`, a job of the
keeper); until then, or where there is no ffmpeg, the bundled one is shown (`media/away.ts`, made by `media/make.sh`).
"""

import logging
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from servicekit.files import atomic_write
from stream_service.domain.failover import Trouble
from tvkit.mpegts_loop import TICKS_PER_S, LoopedStream, Piece

log = logging.getLogger(__name__)

BUNDLED = Path(__file__).with_name("media") / "away.ts"
_MAKE_LIMIT_S = 60.0
FONTS = (
    Path("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"),
    Path("/usr/share/fonts/truetype/liberation/LiberationSans-Regular.ttf"),
    Path("/usr/share/fonts/dejavu/DejaVuSans.ttf"),
)
WORDS = {
    Trouble.UNREACHABLE: "The provider does not answer",
    Trouble.BROKEN: "The provider has a fault of its own",
    Trouble.REFUSED: "The provider refuses this stream",
    Trouble.CONTENT: "The provider sends no picture",
    Trouble.ENDED: "The provider ended the stream",
    Trouble.STALLED: "The provider has gone silent",
    Trouble.BUSY: "All connections of this provider are in use",
}
"""What each card says."""

SlateOf = Callable[[Trouble], LoopedStream]
"""The slate for a kind of trouble; must not wait."""


class SlatePlayer:
    """A slate running from `began_s` on; when that is past, what would have been seen since comes at once."""

    def __init__(self, slate: LoopedStream, *, began_s: float) -> None:
        self.began_s = began_s
        self._pieces: Iterator[Piece] = slate.pieces(0)
        self._next = next(self._pieces)

    def due(self, now_s: float) -> bytes:
        """The packets that are due by now and were not given before."""
        found = []
        while self._next.due_ticks <= (now_s - self.began_s) * TICKS_PER_S:
            found.append(self._next.data)
            self._next = next(self._pieces)
        return b"".join(found)


class Slates:
    """The slates in a directory; `of` serves from memory, `look` reads what is new there (and may wait)."""

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory
        self._bundled = LoopedStream(BUNDLED.read_bytes())
        self._made: dict[Trouble, LoopedStream] = {}

    def of(self, trouble: Trouble) -> LoopedStream:
        """The card for it, else the bundled one."""
        return self._made.get(trouble, self._bundled)

    def look(self) -> None:
        """Read cards that were made since the last look."""
        if self._directory is None:
            return
        for trouble in set(Trouble) - set(self._made):
            path = self._directory / f"{trouble}.ts"
            try:
                self._made[trouble] = LoopedStream(path.read_bytes())
            except FileNotFoundError:
                continue
            except (OSError, ValueError) as error:
                log.warning("the slate %s cannot be used, the bundled one stays: %s", path, error)


def make_slates(directory: Path) -> int:
    """Make the cards that are missing with ffmpeg; returns how many were made. Without ffmpeg or a font: none.

    A card that cannot be made is logged; the bundled one stands in for it.
    """
    ffmpeg, font = shutil.which("ffmpeg"), next((font for font in FONTS if font.exists()), None)
    missing = [trouble for trouble in Trouble if not (directory / f"{trouble}.ts").exists()]
    if ffmpeg is None or font is None:
        log.info("slates: %s is missing, the bundled one is used", "ffmpeg" if ffmpeg is None else "a font")
        return 0
    made = 0
    for trouble in missing:
        try:
            data = make_card(ffmpeg, font, WORDS[trouble])
            LoopedStream(data)  # raises when it cannot be looped
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            log.warning("the slate for %s was not made, the bundled one is used: %s", trouble, error)
            continue
        directory.mkdir(parents=True, exist_ok=True)
        atomic_write(directory / f"{trouble}.ts", data)
        made += 1
    return made


def make_card(ffmpeg: str, font: Path, words: str) -> bytes:
    """The card as a recording that can be looped: 80 pictures and 150 silent frames of sound, 3.2 s both."""
    with tempfile.TemporaryDirectory(prefix="slate-") as where:
        work = Path(where)
        (work / "words.txt").write_text(words)
        (work / "hint.txt").write_text("The stream goes on by itself as soon as it can")
        text = f"drawtext=fontfile={font}:expansion=none:fontcolor=white:x=(w-tw)/2"
        card = (
            f"color=0x202830:s=1280x720:r=25,{text}:fontsize=48:y=300:textfile=words.txt,"
            f"{text}:fontsize=26:y=390:textfile=hint.txt,format=yuv420p"
        )
        _run(ffmpeg, work, ("-f", "lavfi", "-i", card), ("-frames:v", "80", "-an"), _PICTURE, "picture.ts")
        _run(ffmpeg, work, ("-f", "lavfi", "-i", "anullsrc=r=48000:cl=stereo"), ("-t", "6"), _SOUND, "long.ts")
        _run(ffmpeg, work, ("-i", "long.ts", "-ss", "1"), ("-frames:a", "150"), ("-c", "copy"), "sound.ts")
        _run(ffmpeg, work, ("-i", "picture.ts", "-i", "sound.ts"), ("-map", "0:v", "-map", "1:a"), _JOINED, "card.ts")
        return (work / "card.ts").read_bytes()


_PICTURE = (
    *("-c:v", "libx264", "-threads", "1", "-profile:v", "main", "-preset", "veryfast", "-tune", "stillimage"),
    *("-crf", "30", "-bf", "0", "-g", "20", "-keyint_min", "20", "-sc_threshold", "0", "-flags", "+cgop"),
    *("-x264-params", "aud=1:repeat-headers=1"),
)
_SOUND = ("-c:a", "aac", "-b:a", "32k")
_JOINED = (
    *("-c", "copy", "-bsf:v", "setts=ts=N*3600", "-bsf:a", "setts=ts=N*1920", "-muxdelay", "0.5"),
    *("-pes_payload_size", "1200", "-metadata", "service_provider=Aerial", "-metadata", "service_name=Away"),
)


def _run(ffmpeg: str, work: Path, come: tuple[str, ...], cut: tuple[str, ...], how: tuple[str, ...], to: str) -> None:
    args = [ffmpeg, "-v", "error", "-nostdin", "-y", *come, *cut, *how, "-bitexact", "-f", "mpegts", to]
    done = subprocess.run(args, cwd=work, capture_output=True, timeout=_MAKE_LIMIT_S, check=False)
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip().splitlines()
        raise ValueError(words[-1] if words else f"ffmpeg ended with {done.returncode}")
