"""ffmpeg as an upstream: fed through a socket by an upstream of ours, read through another by the wheel.

    feed (a channel followed, an upstream drained) ──► stdin ─ ffmpeg ─ stdout ──► the wheel drains
    a second one, where the sound stands apart ──► its socket ─┘   └ stderr ──► read by a thread, turned into a reason

No address stands among the arguments: ffmpeg is allowed no protocol but its pipes. Sockets instead of pipes, so that
waiting is the network's kind, which gevent knows. When this process dies, ffmpeg's input ends and ffmpeg with it.
"""

import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Protocol

from servicekit.errors import Unavailable
from servicekit.redact import redact
from stream_service import native
from stream_service.domain.profiles import HARDWARE, SOUND_INPUT, Profile, trial_arguments, video_encoder
from stream_service.relay.upstream import Upstream, drain_socket

log = logging.getLogger(__name__)

TERM_S = 1.0
"""How long a process may take to end when it is asked to, before it is killed."""
_FEED_BYTES = 256 * 1024
_FEED_PAUSE_S = 0.02
_LOOK_S = 0.1
_TRIAL_S = 10.0
_SOCKET_BYTES = 1024 * 1024
_KEPT_LINES = 30
_LINE_BYTES = 1000

_REASONS: tuple[tuple[str, str], ...] = (
    (r"Invalid data found when processing input", "ffmpeg could not read the stream"),
    (r"could not find codec parameters", "ffmpeg could not tell what the stream holds"),
    (r"Unknown encoder '([^']*)'", "this ffmpeg has no encoder {0}"),
    (r"Error while opening encoder|Error initializing output stream", "ffmpeg's encoder did not start"),
    (r"No NVENC capable devices|Cannot load libcuda|No VA display|Failed to initialise VAAPI|MFX session",
     "the hardware encoder cannot be used here"),
    (r"Output file #0 does not contain any stream|Output file does not contain any stream",
     "the stream holds neither picture nor sound that is wanted"),
    (r"does not support stream copying|Could not find tag for codec (\S+)",
     "what the stream holds does not fit into a transport stream as it is"),
    (r"Cannot allocate memory|Out of memory", "ffmpeg ran out of memory"),
    (r"Protocol '?([^' ]*)'? not on whitelist", "the stream names other files or addresses, which is refused"),
)  # fmt: skip


class Programs:
    """The two programs, and which encoders really work here."""

    def __init__(self, *, ffmpeg: str = "ffmpeg", ffprobe: str = "ffprobe") -> None:
        self._names = {"ffmpeg": ffmpeg, "ffprobe": ffprobe}
        self._working: dict[str, bool] = {}
        self._trying = threading.Lock()

    def path(self, program: str) -> str:
        """Where `ffmpeg` or `ffprobe` is; raises `Unavailable` with what to do."""
        found = shutil.which(self._names[program])
        if found is None:
            raise Unavailable(
                f"{program} is not installed ({self._names[program]!r} was not found): install Debian's package "
                f"ffmpeg, or name the program in stream.ffmpeg.{program}",
                retry_after_s=60,
            )
        return found

    def there(self) -> bool:
        """True when ffmpeg can be started."""
        return shutil.which(self._names["ffmpeg"]) is not None

    def encoder(self, profile: Profile) -> str:
        """The encoder of the profile's choice that works here: hardware is tried once, `auto` takes the first.

        Raises `Unavailable` when the one that was asked for does not work.
        """
        if profile.encoder == "software" or profile.video == "mpeg2":
            return video_encoder(profile, "software")
        if profile.encoder != "auto":
            name = video_encoder(profile, profile.encoder)
            if not self.works(name):
                raise Unavailable(f"the encoder {name} does not work on this machine: choose another for the profile")
            return name
        names = [video_encoder(profile, kind) for kind in HARDWARE]
        return next((name for name in names if self.works(name)), video_encoder(profile, "software"))

    def works(self, encoder: str) -> bool:
        """True when a few pictures could be encoded with it; found out once."""
        with self._trying:
            if encoder not in self._working:
                _, code = output_of([self.path("ffmpeg"), *trial_arguments(encoder)], b"", limit_s=_TRIAL_S)
                self._working[encoder] = code == 0
                log.info("encoder %s: %s", encoder, "works" if code == 0 else "does not work here")
            return self._working[encoder]


class Feed(Protocol):
    """Where ffmpeg's input comes from: pieces in order, waited for; `close` ends the waiting, from any thread."""

    def __next__(self) -> bytes: ...
    def __iter__(self) -> Iterator[bytes]: ...
    def close(self) -> None: ...


class DrainedFeed(Iterator[bytes]):
    """An upstream of ours as a feed. `ended` says why it ended."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._buffer = memoryview(bytearray(_FEED_BYTES))
        self._closing = threading.Event()

    @property
    def ended(self) -> str | None:
        """Why no more comes."""
        return self._upstream.ended

    def __next__(self) -> bytes:
        while not self._closing.is_set():
            count = self._upstream.drain(self._buffer)
            if count:
                return bytes(self._buffer[:count])
            if self._upstream.ended is not None:
                break
            self._closing.wait(_FEED_PAUSE_S)
        raise StopIteration

    def close(self) -> None:
        self._closing.set()
        self._upstream.close()


class _Pump:
    """Carries a feed into a socket, on a thread of its own."""

    def __init__(self, feed: Feed, sock: socket.socket, *, first: bytes = b"") -> None:
        self.feed = feed
        self.done = threading.Event()
        self._sock = sock
        self._first = first
        native.spawn(self._carry, name="ffmpeg feed")

    def _carry(self) -> None:
        try:
            if self._first:
                self._sock.sendall(self._first)
            for piece in self.feed:
                self._sock.sendall(piece)
        except OSError as error:
            log.debug("ffmpeg takes no more: %s", error)
        with suppress(OSError):  # it may have ended already
            self._sock.shutdown(socket.SHUT_WR)
        self.done.set()

    def stop(self) -> None:
        """Wake whoever waits, on either side."""
        self.feed.close()
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def close(self, limit_s: float) -> None:
        """Wait for the thread, then let go of the socket."""
        self.done.wait(limit_s)
        self._sock.close()


class FfmpegUpstream:
    """A running ffmpeg; `first` goes in before the feed, `sound` into its second input (`SOUND_INPUT`).

    Raises `Unavailable` when it cannot be started.
    """

    def __init__(self, command: Sequence[str], feed: Feed, *, first: bytes = b"", sound: Feed | None = None) -> None:
        self.ended: str | None = None
        self._feed = feed
        self._closing = threading.Event()
        self._read = threading.Event()
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._verdict: str | None = None
        self._at_end = False
        (given, output, self._errors, *more), self._process = _started(command)
        self._out = native.bare_copy(output)
        output.close()
        self._pumps = [_Pump(feed, given, first=first)]
        self._pumps += [_Pump(sound, sock) for sock in more if sound is not None]
        native.spawn(self._listen, name="ffmpeg errors")
        native.spawn(self._mind, name="ffmpeg end")

    def drain(self, into: memoryview) -> int:
        filled = 0
        if not self._at_end:
            try:
                filled, self._at_end = drain_socket(self._out, into)
            except OSError:
                self._at_end = True
        if self._at_end:
            self.ended = self._verdict  # known as soon as the process has been waited for
        return filled

    def close(self) -> None:
        if not self._closing.is_set():
            self._closing.set()
            self._out.close()

    # -- the threads

    def _listen(self) -> None:
        """Read what ffmpeg says, always, since it would stop when nobody did."""
        rest = b""
        with suppress(OSError):
            while piece := self._errors.recv(4096):
                *lines, rest = (rest + piece).replace(b"\r", b"\n").split(b"\n")
                self._note(lines)
                rest = rest[-_LINE_BYTES:]
        self._note([rest])
        self._read.set()

    def _note(self, lines: Sequence[bytes]) -> None:
        for line in lines:
            text = redact(line[:_LINE_BYTES].decode("utf-8", "replace").strip())
            if text:
                self._lines.append(text)
                log.debug("ffmpeg %d: %s", self._process.pid, text)

    def _mind(self) -> None:
        """Wait for the end, ours or the process's; then leave nothing behind."""
        while self._process.poll() is None and not self._closing.wait(_LOOK_S):
            pass
        asked = self._closing.is_set()
        fed = self._pumps[0].done.is_set()
        for pump in self._pumps:
            pump.stop()
        code = end_process(self._process)
        self._read.wait(TERM_S)
        with suppress(OSError):
            self._errors.shutdown(socket.SHUT_RDWR)
        for pump in self._pumps:
            pump.close(TERM_S)
        self._read.wait(TERM_S)
        self._errors.close()
        self._verdict = self._reason(code, asked=asked, fed=fed)
        if not asked:
            log.info("ffmpeg ended: %s", self._verdict)

    def _reason(self, code: int, *, asked: bool, fed: bool) -> str:
        if asked:
            return "closed"
        before = getattr(self._feed, "ended", None)
        if code == 0:
            return before or "the stream that ffmpeg was fed has ended"
        said = reason_of(self._lines)
        return f"{said} (exit status {code})" if not (fed and before) else f"{before}; {said}"


def reason_of(lines: Sequence[str] | deque[str]) -> str:
    """What ffmpeg's messages mean, in a sentence; its own last error where nothing is known of it."""
    for line in reversed(lines):
        for pattern, meaning in _REASONS:
            if found := re.search(pattern, line):
                return meaning.format(*(group or "" for group in found.groups()))
    errors = [line for line in lines if "[error]" in line or "[fatal]" in line]
    told = errors[-1] if errors else (lines[-1] if lines else "")
    return f"ffmpeg failed: {told[:200]}" if told else "ffmpeg failed without a word"


def end_process(process: "subprocess.Popen[bytes]", *, term_s: float = TERM_S) -> int:
    """End a process that leads its own session, and all it started: asked first, then killed. Returns its status."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
        until_s = time.monotonic() + term_s
        while process.poll() is None and time.monotonic() < until_s:
            time.sleep(0.02)
    while process.poll() is None:
        time.sleep(0.02)  # killed: the kernel takes its time
    return int(process.returncode)


def output_of(
    command: Sequence[str], given: bytes, *, limit_s: float, most_bytes: int = 4_000_000
) -> tuple[bytes, int]:
    """What a program writes when it is given these bytes, and its exit status; killed when it takes too long.

    Raises `Unavailable` when it cannot be started.
    """
    (feed, out, errors), process = _started(command)

    def write() -> None:
        with suppress(OSError):
            feed.sendall(given)
        with suppress(OSError):
            feed.shutdown(socket.SHUT_WR)

    gone = threading.Event()
    native.spawn(_finally(write, gone.set), name="program feed")
    heard = threading.Event()
    native.spawn(_finally(lambda: _swallow(errors), heard.set), name="program errors")
    found = bytearray()
    out.settimeout(limit_s)
    until_s = time.monotonic() + limit_s
    with suppress(OSError):
        while len(found) < most_bytes and time.monotonic() < until_s and (piece := out.recv(65_536)):
            found += piece
    while process.poll() is None and time.monotonic() < until_s:
        time.sleep(0.01)
    code = end_process(process)
    for sock in (feed, errors):
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
    gone.wait(TERM_S)
    heard.wait(TERM_S)
    for sock in (feed, out, errors):
        sock.close()
    return bytes(found), code


def _finally(work: Callable[[], None], after: Callable[[], None]) -> Callable[[], None]:
    def both() -> None:
        try:
            work()
        finally:
            after()

    return both


def _swallow(sock: socket.socket) -> None:
    with suppress(OSError):
        while sock.recv(65_536):
            pass


_Started = tuple[list[socket.socket], "subprocess.Popen[bytes]"]


def _started(command: Sequence[str]) -> _Started:
    """Our ends of a process's input, output and errors, and of its second input when it has one; and the process."""
    pairs = [socket.socketpair() for _ in range(4 if SOUND_INPUT in command else 3)]
    try:
        for ours, theirs in pairs:
            for sock in (ours, theirs):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BYTES)
        stdin, stdout, stderr, *more = (theirs.fileno() for _, theirs in pairs)
        words = [f"pipe:{more[0]}" if word == SOUND_INPUT else word for word in command]
        process = native.start_process(words, stdin=stdin, stdout=stdout, stderr=stderr, more=more)
    except OSError as error:
        for ours, _ in pairs:
            ours.close()
        raise Unavailable(f"{command[0]} cannot be started: {error.strerror or error}") from error
    finally:
        for _, theirs in pairs:
            theirs.close()
    return [ours for ours, _ in pairs], process
