"""Masks secrets in any text: user info, secret query values, the credentials inside Xtream paths, tokens."""

import re

MASK = "***"

_WORDS = (
    r"(?:username|user|login|password|passwd|pass|pwd|token|access_token|auth|api_?key|key|secret|sid|session|"
    r"signature|sig|mac)"
)
_START = r"(?:(?<![a-z0-9])|(?<=%3f)|(?<=%26))"  # `x_token=` and `%3Ftoken%3D` count, `monkey=` does not
# The last `@` before the path ends the user info: passwords hold `@` unescaped more often than one would wish.
_USERINFO = re.compile(r"(?P<scheme>\b[a-z][a-z0-9+.-]{1,15}://)[^/?#\s\"'<>]+@", re.IGNORECASE)
# And a `/` too: then what stands behind the first colon is no port.
_USERINFO_SLASH = re.compile(
    r"(?P<scheme>\b[a-z][a-z0-9+.-]{1,15}://)[^/?#\s\"'<>:@]+:(?!\d{1,5}(?:[/?#\s\"'<>]|$))[^\s\"'<>@]*@", re.IGNORECASE
)
_QUERY = re.compile(rf"(?P<key>{_START}{_WORDS}=)[^&\s\"'<>|#]+", re.IGNORECASE)
_QUERY_CODED = re.compile(rf"(?P<key>{_START}{_WORDS}%3d)(?:(?!%26|%23)[^&\s\"'<>|#])+", re.IGNORECASE)
_JSON = re.compile(rf"(?P<key>[\"']{_WORDS}[\"']\s*:\s*[\"'])[^\"'\r\n]+", re.IGNORECASE)
_XTREAM = re.compile(r"/(?P<kind>live|movie|series|timeshift)/[^/\s\"'<>]+/[^/\s\"'<>]+/(?=[^/\s])", re.IGNORECASE)
_XTREAM_BARE = re.compile(
    r"(?P<origin>://[^/\s\"'<>]+)/[^/\s\"'<>]+/[^/\s\"'<>]+/(?P<id>\d+(?:\.(?:ts|m3u8|mp4|mkv|avi))?)(?![\w./-])",
    re.IGNORECASE,
)
_SCHEME = re.compile(r"(?P<scheme>\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{6,}", re.IGNORECASE)
_HEADER = re.compile(
    r"(?P<name>\b(?:authorization|cookie|x-api-key)[\"']?\s*[:=]\s*[\"']?(?:(?:bearer|basic|digest)\s+)?)[^\"'\s,}]+",
    re.IGNORECASE,
)


def redact(text: str) -> str:
    """The same text without what opens a door: `http://u:p@h/live/u/p/1.ts?token=x` loses u, p and x."""
    if "://" in text:
        text = _USERINFO.sub(rf"\g<scheme>{MASK}@", text)
        text = _USERINFO_SLASH.sub(rf"\g<scheme>{MASK}@", text)
        text = _XTREAM_BARE.sub(rf"\g<origin>/{MASK}/{MASK}/\g<id>", text)
    if "=" in text:
        text = _QUERY.sub(rf"\g<key>{MASK}", text)
    if "%3" in text:
        text = _QUERY_CODED.sub(rf"\g<key>{MASK}", text)
    if ":" in text:
        text = _JSON.sub(rf"\g<key>{MASK}", text)
    if "/" in text:
        text = _XTREAM.sub(rf"/\g<kind>/{MASK}/{MASK}/", text)
    return _HEADER.sub(rf"\g<name>{MASK}", _SCHEME.sub(rf"\g<scheme>{MASK}", text))
