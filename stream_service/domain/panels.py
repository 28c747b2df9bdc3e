"""Addresses of Xtream panels as people paste them. Pure."""

from urllib.parse import parse_qsl, urlsplit

_PAGES = ("/player_api.php", "/panel_api.php", "/get.php", "/xmltv.php", "/c", "/index.php")


def panel_of(typed: str) -> tuple[str, str, str]:
    """An address as it was pasted: (the panel's own, user name, password), the latter '' where it names none.

    People paste `http://host:8080/get.php?username=U&password=P&type=m3u_plus` as often as `http://host:8080/`.
    """
    parts = urlsplit(typed.strip())
    path = parts.path.rstrip("/")
    for page in _PAGES:
        if path.lower().endswith(page):
            path = path[: -len(page)].rstrip("/")
            break
    said = dict(parse_qsl(parts.query))
    return f"{parts.scheme}://{parts.netloc}{path}", said.get("username", ""), said.get("password", "")
