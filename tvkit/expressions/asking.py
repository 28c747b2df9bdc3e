"""The words that begin with @: an address of a logo, a time, a header of the request."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from tvkit.expressions.faults import Findings
from tvkit.expressions.fields import HEADER, Fields, nearest
from tvkit.expressions.nodes import Asked
from tvkit.expressions.quoting import literal
from tvkit.expressions.scalars import span_s, time_of

_LOGO = re.compile(r"@logo:([A-Za-z0-9_-]{1,64})", re.IGNORECASE)
_TIME = re.compile(
    r"@time:(?:(?P<now>now(?:\(\))?)|parse\(\s*(?P<parse>[\"'].*[\"'])\s*\)|(?P<epoch>[0-9]{1,11}))(?P<span>.*)",
    re.IGNORECASE | re.DOTALL,
)
_HEADER = re.compile(r"@dynamic\(\s*request\.headers\s*\):([A-Za-z0-9_.-]{1,100})", re.IGNORECASE)
FORMS: Final[Mapping[str, str]] = MappingProxyType({
    "@logo:ID": "address of a stored logo; empty when there is none of that id",
    "@time:now": "epoch seconds of this moment; @time:now+2h and @time:now-30m too (s m h d w)",
    '@time:parse("2026-11-21 20:15")': "epoch seconds of a time that is written out; no offset means UTC",
    "@dynamic(request.headers):name": "a header of the request, in expressions about requests",
})  # fmt: skip
"""Every form, and what it stands for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookups:
    """Who answers the @ words. `logo` gives an id's address or an empty text, `now` the epoch seconds."""

    logo: Callable[[str], str] = lambda ident: ""
    now: Callable[[], int] = lambda: 0

    def text_of(self, wish: Asked, record: Mapping[str, str]) -> str:
        """What an @ word stands for at this moment and for this record."""
        if wish.kind == "logo":
            return self.logo(wish.argument)
        if wish.kind == "header":
            return record.get(HEADER + wish.argument, "")
        return str((int(wish.argument) if wish.argument else int(self.now())) + wish.offset_s)


def asked(text: str, position: int, fields: Fields, found: Findings) -> Asked | None:
    """What an @ word asks for; None after a fault."""
    if (logo := _LOGO.fullmatch(text)) is not None:
        if fields.logos:
            return Asked("logo", logo[1])
        found.add("value", "unavailable_here", f"{text} stands in expressions about streams only", position)
        return None
    if (time := _TIME.fullmatch(text)) is not None:
        return _time(time, position, found)
    if (header := _HEADER.fullmatch(text)) is not None:
        if fields.headers:
            return Asked("header", header[1].lower())
        found.add("value", "unavailable_here", f"{text} stands in expressions about requests only", position)
        return None
    head = text.partition(":")[0].partition("(")[0].lower()
    close = next((form for form in FORMS if form.startswith(head)), "") or nearest(text, tuple(FORMS))
    found.add("value", "unknown_helper", f"Unknown helper {text}", position,
              details=f"Helpers are {', '.join(FORMS)}.", suggestion=close or next(iter(FORMS)))  # fmt: skip
    return None


def _time(form: re.Match[str], position: int, found: Findings) -> Asked | None:
    offset_s = span_s(form["span"])
    if offset_s is None:
        found.add("value", "invalid_time", f"{form['span'].strip()!r} is no span of time", position,
                  details="Spans are numbers with s, m, h, d or w.", suggestion="+2h")  # fmt: skip
        return None
    if form["now"]:
        return Asked("time", "", offset_s)
    text = form["epoch"] or literal(form["parse"]).literal
    moment = time_of(text)
    if moment is None:
        found.add("value", "invalid_time", f"{text!r} is no time", position, suggestion='"2026-11-21 20:15"')
        return None
    return Asked("time", str(int(moment)), offset_s)
