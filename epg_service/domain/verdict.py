"""Whether what a file held may replace what the guide has. Touches nothing; only looks at the numbers."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Found:
    """What a file held, after cleaning and retention."""

    complete: bool
    """The end of the document was seen."""
    programmes: int
    """Programmes in the file, kept or not."""
    kept: int
    """Programmes that would stand in the guide."""
    channels: int
    """Channels with a programme that would stand in the guide."""
    latest_stop_s: int


@dataclass(frozen=True, slots=True)
class LastGood:
    """What the last accepted file held."""

    kept: int
    channels: int


def rejection(found: Found, last: LastGood | None, *, min_share: float, now_s: int) -> str | None:
    """The sentence that says why the file must not replace the last good guide; None when it may.

    Without a last good guide (`last` None) whatever can be used is better than nothing.
    """
    if found.programmes == 0:
        return "the file holds no programme"
    if found.kept == 0:
        return f"none of the file's {found.programmes} programmes can be kept (see the losses)"
    if last is None or last.kept == 0:
        return None
    if not found.complete:
        return "the file breaks off before its end"
    if found.latest_stop_s <= now_s:
        return "every programme of the file is over"
    for what, now, before in (("programmes", found.kept, last.kept), ("channels", found.channels, last.channels)):
        if now < min_share * before:
            return f"the file holds {now} {what}, the last good one held {before} (at least {min_share:.0%} are needed)"
    return None
