"""Text as it stands in XML: what means something is escaped, what XML 1.0 forbids is left out."""

import re

from epg_service.xmltv.elements import folded
from epg_service.xmltv.repair import without_illegal

_CONTROLS = re.compile("[\x7f-\x9f]")


def clean(text: str) -> str:
    """The text of an element, blanks as they are."""
    text = text if text.isascii() and text.isprintable() else _CONTROLS.sub("", without_illegal(text))
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def text(text: str) -> str:
    """The text of an element, blanks folded."""
    return folded(clean(text))


def attribute(text: str) -> str:
    """The text of an attribute that stands in double quotes, blanks folded."""
    return folded(clean(text)).replace('"', "&quot;")
