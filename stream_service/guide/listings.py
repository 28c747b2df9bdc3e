"""What runs on a channel, asked of the guide service when an Xtream app asks us; kept for a minute.

The guide service being away is no fault: there is no listing then, and it is not asked again for some seconds, so that
nobody's app waits for it over and over.
"""

import json
import logging
import threading
from collections import OrderedDict
from typing import Any
from urllib.parse import urlencode

from servicekit.clock import Clock
from servicekit.errors import AerialError
from stream_service.guide.asking import Asking, internal_headers

KEPT_S = 60.0
AWAY_S = 10.0
MOST_KEPT = 2_000
TIMEOUT_S = 5.0
ANSWER_MAX_BYTES = 4 << 20
_log = logging.getLogger("listings")

Programmes = list[dict[str, Any]]


class GuideListings:
    """Programmes of lineup channels. Waits for the network alone, so under gevent the loop goes on meanwhile."""

    def __init__(self, *, asking: Asking, epg_url: str, secret: str, clock: Clock) -> None:
        self._asking = asking
        self._base = f"{epg_url}/internal/v1/lineups"
        self._headers = internal_headers(secret)
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, str, int, int, int], tuple[float, Programmes]] = OrderedDict()
        self._away_until_s = 0.0

    def of(self, lineup: str, channel_id: str, *, start_s: int, end_s: int, limit: int) -> Programmes:
        """Programmes by start: `id start stop title subtitle description`; the one running at the start included.

        Windows begin on a whole minute, so that what is kept serves everybody who asks within it.
        """
        key = (lineup, channel_id, start_s // 60 * 60, end_s // 60 * 60, limit)
        now_s = self._clock.monotonic()
        with self._lock:
            until_s, kept = self._kept.get(key, (0.0, []))
            if until_s > now_s or self._away_until_s > now_s:
                return kept
        found = self._asked(*key)
        with self._lock:
            if found is None:
                self._away_until_s = self._clock.monotonic() + AWAY_S
                return kept
            self._kept[key] = (now_s + KEPT_S, found)
            self._kept.move_to_end(key)
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        return found

    def _asked(self, lineup: str, channel_id: str, start_s: int, end_s: int, limit: int) -> Programmes | None:
        """The answer; None when there is none."""
        query = urlencode({"channels": channel_id, "start": start_s, "end": end_s, "limit": limit})
        try:
            with self._asking.open(
                f"{self._base}/{lineup}/listings?{query}",
                headers={**self._headers, "Accept-Encoding": "identity"},
                read_timeout_s=TIMEOUT_S,
                total_s=TIMEOUT_S,
                max_bytes=ANSWER_MAX_BYTES,
            ) as answer:
                items = json.loads(b"".join(answer.chunks()))["items"]
            return list(items[0]["programs"]) if items else []
        except (AerialError, OSError, ValueError, KeyError, TypeError) as error:
            _log.info("the guide service tells no listings: %s", error)
            return None
