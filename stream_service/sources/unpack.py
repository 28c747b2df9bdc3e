"""Lists come packed in anything, but only a whole one is taken: half a list would take channels away."""

import re
from collections.abc import Iterable, Iterator

from servicekit import unpack
from servicekit.errors import BadAnswer, TooLarge

_STEP_BYTES = 262_144
_LIST = unpack.Wanted("list", re.compile(r".*\.(?:m3u8?|txt)(?:\.(?:gz|xz|bz2|zst))?", re.IGNORECASE | re.DOTALL))
_HARMLESS = frozenset(("trailing_junk", "several_lists"))


def unpacked(chunks: Iterable[bytes], *, max_bytes: int) -> Iterator[bytes]:
    """The plain bytes of a body; see `servicekit.unpack`.

    Raises `BadAnswer` when it is damaged, ends too early, or unpacks to more than `max_bytes`.
    """
    with unpack.unpacked(_Chunks(chunks), wanted=_LIST, max_bytes=max_bytes, told=_Strict()) as plain:
        try:
            while piece := plain.read(_STEP_BYTES):
                yield piece
        except TooLarge as error:
            raise BadAnswer(error.detail) from error


class _Chunks:
    """Pieces as a stream."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)

    def read(self, size: int = -1, /) -> bytes:
        """The next piece that holds anything, whatever the size; b"" at the end."""
        return next((piece for piece in self._chunks if piece), b"")


class _Strict:
    """Refuses what is not whole."""

    def warn(self, kind: str, text: str, /) -> None:
        if kind not in _HARMLESS:
            raise BadAnswer(f"the list is not whole: {text}")
