"""How the guide service is asked: the way out, and the word by which it knows us."""

from collections.abc import Mapping
from typing import Protocol

from servicekit.fetch import Answer


class Asking(Protocol):
    """The way out; see `servicekit.fetch`."""

    def open(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        read_timeout_s: float | None = None,
        max_bytes: int | None = None,
        total_s: float | None = None,
        method: str = "GET",
        body: bytes | None = None,
    ) -> Answer: ...


def internal_headers(secret: str) -> dict[str, str]:
    """The headers that open the guide service's internal addresses."""
    return {"Aerial-Internal": "1", "Aerial-Secret": secret}
