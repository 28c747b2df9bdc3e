"""Addresses of logos in a lineup: what is ours, what may be fetched, what a rule or a person names. Pure."""

import re
from functools import lru_cache
from urllib.parse import urlsplit

HELPER = "@logo:"
"""`@logo:ID` names a logo that somebody uploaded."""
PREFIX = "/logos/"
CONTENT = re.compile(r"[0-9a-f]{32}", re.ASCII)
"""The name of a picture by its content."""
UPLOADED = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?", re.ASCII)
"""The id of an uploaded logo."""
MAX_CHARS = 2_000
_RESERVED = frozenset({"addresses"})
"""Words of the API's own."""


def served(picture: str) -> str:
    """The address of a picture of ours, without our origin (`outputs.origin.logo` puts it in)."""
    return f"{PREFIX}{picture}.png"


def can_be_fetched(address: str) -> bool:
    """Whether it is an http address of a usable length."""
    return address[:8].lower().startswith(("http://", "https://")) and len(address) <= MAX_CHARS


def host_of(address: str) -> str:
    """The host (and port) it names, '' when it cannot be read. A playlist names few hosts a hundred thousand times."""
    scheme, slashes, rest = address.partition("//")
    return _host_of(f"{scheme}{slashes}{rest.partition('/')[0]}")


@lru_cache(maxsize=1_024)
def _host_of(address: str) -> str:
    try:
        return urlsplit(address).netloc.rpartition("@")[2].lower()
    except ValueError:
        return ""


def id_of(name: str, taken: set[str]) -> str:
    """An id for an uploaded logo, made of its name: "Harbour News" is "harbour-news", the next one "harbour-news-2"."""
    base = re.sub(r"[^a-z0-9]+", "-", name.lower(), flags=re.ASCII).strip("-")[:34].strip("-") or "logo"
    number, ident = 1, base
    while ident in taken or ident in _RESERVED:
        number += 1
        ident = f"{base}-{number}"
    return ident
