"""Programmes as rules for programmes see them, asked of the guide service: what such rules are tried on."""

import json
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlencode

from servicekit.clock import Clock
from servicekit.errors import AerialError, Unavailable
from stream_service.guide.asking import Asking, internal_headers

AT_A_TIME = 20
"""Channels of one question."""
WINDOW_S = 86_400
EACH = 50
TIMEOUT_S = 20.0
ANSWER_MAX_BYTES = 32 << 20


class GuideRecords:
    """Records of what the channels of a lineup show from now to a day later, before any rule."""

    def __init__(self, *, asking: Asking, epg_url: str, secret: str, clock: Clock) -> None:
        self._asking = asking
        self._base = f"{epg_url}/internal/v1/lineups"
        self._headers = {**internal_headers(secret), "Accept-Encoding": "identity"}
        self._clock = clock

    def of(self, lineup: str, channel_ids: Sequence[str]) -> Iterator[dict[str, str]]:
        """Field -> text of each programme, channel by channel; raises `Unavailable` when the guide is away."""
        for place in range(0, len(channel_ids), AT_A_TIME):
            for item in self._asked(lineup, channel_ids[place : place + AT_A_TIME]):
                yield from (one["record"] for one in item["programs"])

    def _asked(self, lineup: str, channel_ids: Sequence[str]) -> list[dict[str, Any]]:
        now_s = self._clock.now_s()
        window = {"start": now_s, "end": now_s + WINDOW_S, "limit": EACH, "record": "true"}
        query = urlencode({"channels": ",".join(channel_ids), **window})
        try:
            with self._asking.open(
                f"{self._base}/{lineup}/listings?{query}",
                headers=self._headers,
                read_timeout_s=TIMEOUT_S,
                max_bytes=ANSWER_MAX_BYTES,
            ) as answer:
                items: list[dict[str, Any]] = json.loads(b"".join(answer.chunks()))["items"]
                return items
        except (AerialError, OSError, ValueError, KeyError) as error:
            said = error.detail if isinstance(error, AerialError) else str(error)
            raise Unavailable(
                f"programmes live in the guide service, which cannot be asked now ({said}): send some records instead"
            ) from error
