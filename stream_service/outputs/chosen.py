"""Some entries of a published M3U: those of groups, or those that somebody likes. Pure."""

import re
from dataclasses import dataclass

from stream_service.outputs.xtream import Login

_ENTRY = re.compile(rb"#EXTINF:[^\n]*\n[^\n]*\n")
_CHANNEL = re.compile(rb' channel-id="([^"]*)"')
_GROUP = re.compile(rb' group-title="([^"]*)"')


@dataclass(frozen=True, slots=True)
class Chosen:
    """Keeps whole entries, in their order. `channels` (ids) and `groups` (case forgiven): None keeps all.

    `login` then writes them for one user.
    """

    channels: frozenset[str] | None = None
    groups: frozenset[str] | None = None
    login: Login | None = None

    def __call__(self, text: bytes) -> bytes:
        """A part of the list that holds whole entries, with the head line in front of the first."""
        if self.channels is not None or self.groups is not None:
            text = _ENTRY.sub(lambda found: found[0] if self._keeps(found[0]) else b"", text)
        return text if self.login is None else self.login(text)

    def _keeps(self, entry: bytes) -> bool:
        if self.channels is not None and _said(_CHANNEL, entry) not in self.channels:
            return False
        return self.groups is None or _said(_GROUP, entry).strip().casefold() in self.groups


def _said(attribute: "re.Pattern[bytes]", entry: bytes) -> str:
    found = attribute.search(entry)
    return found[1].decode("utf-8", "replace") if found else ""
