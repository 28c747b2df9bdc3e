"""`python -m pair demo`: both services on a throw-away data directory, with a provider of our own beside them."""

import contextlib
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

from pair import listening
from pair.listening import Pair, Place, free_port, is_free
from pair.run import GRACE_S, services
from servicekit.errors import Conflict
from servicekit.files import run_lock
from servicekit.supervise import Child, supervise

_PREFIX = "aerial-demo-"
_LOCK = "demo.lock"
_OWN_VARIABLES = ("AERIAL_", "EPG_", "STREAM_")


def demo(host: str, *, guide_port: int, stream_port: int) -> int:
    """Run the demo until Ctrl-C or SIGTERM; return the exit code. Nothing stays behind.

    A port that is taken, or 0, stands for any free one.
    """
    # The reader's own settings are for their own Aerial: the demo runs on what it writes below.
    for name in [name for name in os.environ if name.startswith(_OWN_VARIABLES)]:
        del os.environ[name]
    sweep(Path(tempfile.gettempdir()))
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as folder, run_lock(Path(folder) / _LOCK):
        pair = listening.read(_configuration(Path(folder), _place(host, guide_port), _place(host, stream_port)))
        print(f"The demo starts; everything it writes is in {folder} and goes when it ends.", flush=True)
        code = supervise(_children(pair), grace_s=GRACE_S)
    print("The demo has ended and its data is gone.", flush=True)
    return code


def sweep(directory: Path) -> None:
    """Remove what demos of ours left in `directory` that were killed; a demo that runs holds its folder's lock."""
    for folder in directory.glob(f"{_PREFIX}*"):
        lock = folder / _LOCK
        if lock.is_file() and not folder.is_symlink() and folder.stat().st_uid == os.getuid():
            with contextlib.suppress(Conflict), run_lock(lock):
                shutil.rmtree(folder, ignore_errors=True)


def _configuration(folder: Path, guide: Place, streams: Place) -> Path:
    """Write the demo's config.yaml."""
    text = {
        "data_dir": "data",
        "logging": {"level": "WARNING"},
        "epg": {"server": {"host": guide.host, "port": guide.port}},
        "stream": {"server": {"host": streams.host, "port": streams.port}},
    }
    file = folder / "config.yaml"
    file.write_text(json.dumps(text, indent=2) + "\n")  # JSON is YAML
    return file


def _place(host: str, port: int) -> Place:
    asked = Place(host, port)
    if port and is_free(asked):
        return asked
    other = Place(host, free_port(host))
    if port:
        print(f"Port {port} is taken; the demo uses {other.port} instead.", flush=True)
    return other


def _children(pair: Pair) -> list[Child]:
    port = free_port("127.0.0.1")
    provider = Child(name="provider", command=[sys.executable, "-m", "pair.provider", "--port", str(port)])
    tour = Child(
        name="tour",
        command=[
            *(sys.executable, "-m", "pair.tour"),
            *("--provider", f"http://127.0.0.1:{port}"),
            *("--guide", pair.guide.local_address, "--streams", pair.streams.local_address),
            *("--show-guide", pair.guide.home_address, "--show-streams", pair.streams.home_address),
        ],
    )
    return [provider, *services(pair), tour]
