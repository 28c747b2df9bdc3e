"""A child of the supervisor that writes what happens to it into a file: `child NAME LOG [behaviour …]`.

Behaviours: `ready` says that it is up, `stubborn` ignores SIGTERM, `crash` ends at once with 3, `end` ends with 0 when
it is told so by a line of the file LOG.end, `grandchild` starts a process of its own.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

from servicekit.supervise import die_with_parent, say_ready


def main(name: str, log: Path, behaviours: set[str]) -> int:
    def write(word: str) -> None:
        with log.open("a") as stream:
            stream.write(f"{name} {os.getpid()} {word}\n")

    def told(number: int, frame: FrameType | None) -> None:
        write(signal.Signals(number).name)
        if number == signal.SIGTERM and "stubborn" not in behaviours:
            sys.exit(0)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, told)
    if "grandchild" in behaviours:
        parent = os.getpid()
        small = subprocess.Popen(["sleep", "600"], preexec_fn=lambda: die_with_parent(parent))  # noqa: PLW1509 - one thread
        with log.open("a") as stream:
            stream.write(f"grandchild {small.pid} start\n")
    write("start")
    if "crash" in behaviours:
        return 3
    if "ready" in behaviours:
        say_ready(name)
    while True:
        if "end" in behaviours and log.with_name("end").exists():
            return 5
        signal.sigtimedwait([], 0.02)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), set(sys.argv[3:])))
