"""Logos as values: what was uploaded, what sources name, what became of an address."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Logo:
    """An uploaded logo. `picture`: the name of its content, which changes when it is replaced; `id` never does."""

    id: str
    name: str
    picture: str
    width: int
    height: int
    size_bytes: int
    created_at: int
    updated_at: int


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of an address. `picture`: '' until there is one. `gone`: its server says there is none."""

    url: str
    picture: str
    gone: bool
    private_ok: bool
    wanted_at: int


@dataclass(frozen=True, slots=True)
class Due:
    """An address to be fetched now; `failures` in a row before."""

    url: str
    host: str
    private_ok: bool
    picture: str
    gone: bool
    failures: int
    etag: str
    last_modified: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an attempt brought: a picture, or the reason why not; and when to ask again."""

    picture: str = ""
    due_at: int = 0
    failures: int = 0
    gone: bool = False
    reason: str = ""
    etag: str = ""
    last_modified: str = ""


@dataclass(frozen=True, slots=True)
class AddressRow:
    """An address as it is listed."""

    url: str
    picture: str
    failures: int
    reason: str
    due_at: int
