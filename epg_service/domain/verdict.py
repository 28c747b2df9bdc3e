"""Whether what a file held may replace what the guide has. Touches nothing; only looks at the numbers."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Share:
    """How much of something there is."""

    programmes: int
    channels: int
    """Those with a programme."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a file held."""

    complete: bool
    """The end of the document was seen."""
    whole: Share
    """All of it, kept or not."""
    kept: Share
    """What would stand in the guide, after cleaning and retention."""
    latest_stop_s: int


@dataclass(frozen=True, slots=True)
class LastGood:
    """What the last accepted file held."""

    whole: Share
    kept: Share
    same_window: bool
    """Whether both were kept through the same window: else the window may be what makes the difference."""
    same_file: bool = False
    """Whether it is that very file."""


def rejection(found: Found, last: LastGood | None, *, min_share: float, now_s: int) -> str | None:
    """The sentence that says why the file must not replace the last good guide; None when it may.

    Without a last good guide (`last` None) whatever can be used is better than nothing. What was kept through
    different windows is never compared: then the whole files are.
    """
    if found.whole.programmes == 0:
        return "the file holds no programme"
    if found.kept.programmes == 0:
        return f"none of the file's {found.whole.programmes} programmes can be kept (see the losses)"
    if last is None or last.kept.programmes == 0:
        return None
    if not found.complete:
        return "the file breaks off before its end"
    if found.latest_stop_s <= now_s:
        return "every programme of the file is over"
    if last.same_file:
        return None
    if last.same_window:
        return _too_little(found.kept, last.kept, min_share)
    return _too_little(found.whole, last.whole, min_share)


def _too_little(now: Share, before: Share, min_share: float) -> str | None:
    pairs = (("programmes", now.programmes, before.programmes), ("channels", now.channels, before.channels))
    for what, here, there in pairs:
        if here < min_share * there:
            return f"the file holds {here} {what}, the last good one held {there} (at least {min_share:.0%} are needed)"
    return None
