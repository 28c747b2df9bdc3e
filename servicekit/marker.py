"""A word between processes that holds nothing but "now": a file whose time stamp says when it was last touched."""

from pathlib import Path


class Marker:
    """One side touches, the other asks whether it was touched since it last asked. A touch may be lost without harm."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = self._stamp()

    def touch(self) -> None:
        """Says "now"."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.touch()

    def touched(self) -> bool:
        """True once after each touch."""
        stamp = self._stamp()
        changed, self._seen = stamp != self._seen, stamp
        return changed

    def _stamp(self) -> int:
        try:
            return self._path.stat().st_mtime_ns
        except FileNotFoundError:
            return 0
