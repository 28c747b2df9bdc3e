"""The pictures that are kept, as files named by their content, and those drawn of names.

DATA/logos/ab/ab12….png          a picture, named by the hash of its bytes; never written again
DATA/logos/initials/HN-3.png     a picture of a name
DATA/logos/incoming/…            an upload on its way from the web process to the keeper
"""

import secrets
import time
from collections.abc import Collection
from hashlib import blake2b
from pathlib import Path

from servicekit.errors import Invalid
from servicekit.files import atomic_write
from stream_service.logos.address import CONTENT
from stream_service.logos.initials import NAME

KEPT_S = 86_400
"""A picture that nothing leads to any more stays so long: players may have just read its address."""


class Shelf:
    """The files. Several processes read them; the keeper alone writes pictures."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._initials = root / "initials"
        self._incoming = root / "incoming"

    def path(self, picture: str) -> Path | None:
        """Where a picture stands, None for a name that is none."""
        if CONTENT.fullmatch(picture):
            return self._root / picture[:2] / f"{picture}.png"
        return self._initials / f"{picture}.png" if NAME.fullmatch(picture) else None

    def keep(self, png: bytes) -> str:
        """Keep a picture; returns its name."""
        picture = blake2b(png, digest_size=16).hexdigest()
        path = self._root / picture[:2] / f"{picture}.png"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(path, png)
        return picture

    def drawn(self, name: str) -> bool:
        """Whether the picture of a name is there."""
        return (self._initials / f"{name}.png").exists()

    def keep_drawn(self, name: str, png: bytes) -> None:
        """Keep the picture of a name."""
        self._initials.mkdir(parents=True, exist_ok=True)
        atomic_write(self._initials / f"{name}.png", png)

    def leave(self, data: bytes) -> str:
        """Put down an upload; returns the word to `fetch` it by."""
        self._incoming.mkdir(parents=True, exist_ok=True)
        word = secrets.token_hex(16)
        atomic_write(self._incoming / word, data, mode=0o600)
        return word

    def fetch(self, word: str) -> bytes:
        """Take an upload away; raises `Invalid` when it is not there."""
        if CONTENT.fullmatch(word) is None:
            raise Invalid("there is no such upload")
        path = self._incoming / word
        try:
            return path.read_bytes()
        except FileNotFoundError as error:
            raise Invalid("the upload is not there any more; send it again") from error
        finally:
            path.unlink(missing_ok=True)

    def sweep(self, wanted: Collection[str]) -> int:
        """Remove pictures of contents that are not `wanted`, and uploads left behind; returns how many files went."""
        before = time.time() - KEPT_S
        old = [path for path in self._root.glob("[0-9a-f][0-9a-f]/*.png") if path.stem not in wanted]
        gone = 0
        for path in [*old, *self._incoming.glob("*")]:
            if path.stat().st_mtime < before:
                path.unlink(missing_ok=True)
                gone += 1
        return gone
