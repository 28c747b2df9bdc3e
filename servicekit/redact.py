"""Masks secrets in any text: user info, secret query values, the credentials inside Xtream paths, tokens."""

import re

MASK = "***"

_USERINFO = re.compile(r"(?P<scheme>\b[a-z][a-z0-9+.-]{1,15}://)[^/\s@\"'<>]+@", re.IGNORECASE)
_QUERY = re.compile(
    r"(?P<key>\b(?:username|user|login|password|passwd|pass|pwd|token|access_token|auth|api_?key|key|secret|sid|"
    r"session|signature|sig|mac)=)[^&\s\"'<>|#]+",
    re.IGNORECASE,
)
_XTREAM = re.compile(r"/(?P<kind>live|movie|series|timeshift)/[^/\s]+/[^/\s]+/(?=[^/\s])", re.IGNORECASE)
_BEARER = re.compile(r"(?P<scheme>\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{6,}", re.IGNORECASE)


def redact(text: str) -> str:
    """The same text without what opens a door: `http://u:p@h/live/u/p/1.ts?token=x` loses u, p and x."""
    if "://" in text:
        text = _USERINFO.sub(rf"\g<scheme>{MASK}@", text)
    if "=" in text:
        text = _QUERY.sub(rf"\g<key>{MASK}", text)
    if "/" in text:
        text = _XTREAM.sub(rf"/\g<kind>/{MASK}/{MASK}/", text)
    return _BEARER.sub(rf"\g<scheme>{MASK}", text)
