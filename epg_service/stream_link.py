"""Tells the stream service that a guide was imported, so that it fetches its copy now and not in half a minute.

Of a guide that belongs to a panel it is told too, so that it asks that panel for its channels.
"""

import json
import logging
from typing import TYPE_CHECKING, Protocol

from servicekit.errors import AerialError

if TYPE_CHECKING:  # what speaks HTTP is heavy, and an import that changes nothing tells nobody
    from servicekit.fetch import Answer

TIMEOUT_S = 5.0
ANSWER_MAX_BYTES = 1 << 16
_log = logging.getLogger("stream_link")


class Asking(Protocol):
    """How the stream service is asked; see `servicekit.fetch`."""

    def open(
        self,
        url: str,
        *,
        headers: dict[str, str],
        read_timeout_s: float,
        max_bytes: int,
        method: str,
        body: bytes,
    ) -> "Answer": ...


class StreamLink:
    """The one notice that goes this way. It may be lost without harm: the stream service looks by itself as well."""

    def __init__(self, *, asking: Asking, stream_url: str, secret: str) -> None:
        self._asking = asking
        self._url = f"{stream_url}/internal/v1/guide-imported"
        self._headers = {"Aerial-Internal": "1", "Aerial-Secret": secret, "Content-Type": "application/json"}

    def guide_imported(self, *linked: str) -> None:
        """Sends the notice, with the keys of panels' guides; a stream service that is away is no fault."""
        try:
            self._asking.open(
                self._url,
                headers=self._headers,
                read_timeout_s=TIMEOUT_S,
                max_bytes=ANSWER_MAX_BYTES,
                method="POST",
                body=json.dumps({"linked": linked}).encode(),
            ).close()
        except AerialError as error:
            _log.debug("the stream service was not told: %s", error.detail)
