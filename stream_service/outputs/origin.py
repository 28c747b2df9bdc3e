"""Our own address in published texts: a token where it stands, put in for each address that clients call us by."""

ORIGIN = "\x01origin\x01"
"""Stands for `http://host:port[/prefix]`. Values are cleaned of control characters, so nothing else can spell it."""


def with_origin(text: bytes, origin: str) -> bytes:
    """The text as the clients of `origin` (without a slash at the end) get it."""
    return text.replace(ORIGIN.encode(), origin.encode())
