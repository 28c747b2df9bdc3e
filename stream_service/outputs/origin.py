"""Our own address in published texts: a token where it stands, put in for each address that clients call us by."""

LOGOS = "/logos/"
"""How the address of a logo of ours begins where it stands without our origin."""
ORIGIN = "\x01origin\x01"
"""Stands for `http://host:port[/prefix]`. Values are cleaned of control characters, so nothing else can spell it."""


def with_origin(text: bytes, origin: str) -> bytes:
    """The text as the clients of `origin` (without a slash at the end) get it."""
    return text.replace(ORIGIN.encode(), origin.encode())


def logo(address: str) -> str:
    """The address of a channel's logo as it is written: our origin goes before one of ours, others stay."""
    return ORIGIN + address if address.startswith(LOGOS) else address
