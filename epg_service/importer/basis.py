"""What a provider's file is read with: its zone, its shift, the window that is kept. Under another basis the same file
means another guide."""

import json
import zlib

from epg_service.domain.entities import Provider
from epg_service.domain.retention import Window

READING = 1
"""Another number when the same text comes to be read in another way than by the versions before."""


def basis_of(provider: Provider, window: Window) -> str:
    """The basis as a text, equal only when everything is equal."""
    return json.dumps([provider.default_timezone, provider.shift_minutes, window.past_days, window.future_days])


def moves_times(before: str | None, now: str) -> bool:
    """Whether the same text of a time means another instant under the one basis than under the other. What was read
    before anything (None) moved nowhere."""
    if before is None or before == now:
        return False
    was, is_ = json.loads(before), json.loads(now)
    return bool(was[:2] != is_[:2])


def number_of(provider: Provider) -> int:
    """Tells one way of reading a provider's times from another, beside what need not be read again."""
    return zlib.crc32(json.dumps([READING, provider.default_timezone, provider.shift_minutes]).encode())
