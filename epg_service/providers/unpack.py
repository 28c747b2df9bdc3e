"""Guides come packed in anything: what is told of them, and what a guide is called in an archive."""

import re

from epg_service.domain.losses import Losses
from servicekit import unpack
from servicekit.unpack import MAX_RATIO, Readable, Unpacked

_GUIDE = unpack.Wanted("guide", re.compile(r".*\.(?:xml|xmltv)(?:\.(?:gz|xz|bz2|zst))?", re.IGNORECASE | re.DOTALL))


def unpacked(stream: Readable, *, max_bytes: int, losses: Losses, max_ratio: int = MAX_RATIO) -> Unpacked:
    """The bytes inside `stream`; see `servicekit.unpack`. What was wrong with it is warned of in `losses`."""
    return unpack.unpacked(stream, wanted=_GUIDE, max_bytes=max_bytes, told=losses, max_ratio=max_ratio)
