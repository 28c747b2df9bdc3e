"""Files on their way to players, as values: who asks, and what is known of a file."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Player:
    """Who asks: two are the same who come from one address with one name of a program and of a user."""

    address: str
    user_agent: str = ""
    user: str = ""


@dataclass(frozen=True, slots=True)
class Known:
    """What was seen of a file; None and '' where it was not told."""

    length: int | None
    content_type: str
