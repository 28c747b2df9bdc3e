"""A scripted Xtream panel: what a real one answers, and each way in which panels fail.

with FakePanel(live=[channel(1, "One")]) as panel:
    source = house.add(panel.base, type="xtream", username="u", password="p")
    panel.break_action("get_vod_streams", status=503)
"""

import json
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from tests.providerkit import HTML, Asked, Reply, ScriptedProvider

USER, PASSWORD = "u@home", "S3CR3T/xyz"
EXPIRES_S = 1_900_000_000


def channel(ident: Any, name: Any, category: Any = "1", **more: Any) -> dict[str, Any]:
    """A live stream as panels write it."""
    return {
        "num": ident, "name": name, "stream_type": "live", "stream_id": ident, "stream_icon": "",
        "epg_channel_id": None,
        "added": "1524588788", "category_id": category, "custom_sid": "", "tv_archive": 0, "direct_source": "",
        "tv_archive_duration": 0, **more,
    }  # fmt: skip


def movie(ident: Any, name: str, **more: Any) -> dict[str, Any]:
    """A movie."""
    return channel(ident, name, "9", stream_type="movie", container_extension="mkv", rating="6.8") | more


def show(ident: Any, name: str, **more: Any) -> dict[str, Any]:
    """A series."""
    return {"num": 1, "name": name, "series_id": ident, "cover": "", "plot": "P", "category_id": "7"} | more


class FakePanel:
    """A panel on a port of its own; everything it says may be changed while it runs."""

    def __init__(self, *, live: Any = None, vod: Any = None, series: Any = None, prefix: str = "") -> None:
        self.provider = ScriptedProvider()
        self.prefix = prefix
        self.user: dict[str, Any] = {
            "username": USER, "password": PASSWORD, "message": "", "auth": 1, "status": "Active",
            "exp_date": str(EXPIRES_S), "is_trial": "0", "active_cons": "0", "created_at": "1531894803",
            "max_connections": "3", "allowed_output_formats": ["m3u8", "ts"],
        }  # fmt: skip
        self.server: dict[str, Any] = {"url": "elsewhere.example", "port": "80", "timezone": "America/New_York"}
        self.answers: dict[str, Any] = {
            "get_live_categories": [{"category_id": "1", "category_name": "News", "parent_id": 0}],
            "get_live_streams": live if live is not None else [channel(1, "One"), channel(2, "Two")],
            "get_vod_categories": [{"category_id": "9", "category_name": "Films", "parent_id": 0}],
            "get_vod_streams": vod if vod is not None else [],
            "get_series_categories": [{"category_id": "7", "category_name": "Shows", "parent_id": 0}],
            "get_series": series if series is not None else [],
        }
        self.broken: dict[str, Callable[[], Reply]] = {}
        self.guide = b'<?xml version="1.0"?><tv></tv>'

    @property
    def base(self) -> str:
        """Its address as people type it."""
        return self.provider.url(self.prefix)

    def __enter__(self) -> Self:
        self.provider.script(f"{self.prefix}/player_api.php", self._answer)
        self.provider.script(f"{self.prefix}/xmltv.php", self._guide)
        self.provider.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.provider.stop()

    def actions(self) -> list[str]:
        """What was asked for so far; '' is the login."""
        return [_said(asked).get("action", "") for asked in self.provider.requests if "player_api" in asked.path]

    def break_action(self, action: str, *, status: int = 503, headers: Mapping[str, str] | None = None,
                     body: bytes = b"") -> None:  # fmt: skip
        """From now on this action ('' is the login) is answered so."""
        self.broken[action] = lambda: Reply(status=status, headers=dict(headers or {}), body=body)

    def page(self, action: str) -> None:
        """From now on this action gets a web page."""
        self.break_action(action, status=200, headers={"Content-Type": "text/html"}, body=HTML)

    def mend(self) -> None:
        """Everything is answered as it should be again."""
        self.broken.clear()

    def _answer(self, asked: Asked) -> Reply:
        said = _said(asked)
        action = said.get("action", "")
        if action in self.broken:
            return self.broken[action]()
        if (said.get("username"), said.get("password")) != (USER, PASSWORD):
            return _json({"user_info": {"auth": 0}})
        if not action:
            return _json({"user_info": self.user, "server_info": self.server})
        found = self.answers.get(action, [])
        return found if isinstance(found, Reply) else _json(found(said) if callable(found) else found)

    def _guide(self, asked: Asked) -> Reply:
        said = _said(asked)
        if (said.get("username"), said.get("password")) != (USER, PASSWORD):
            return Reply(status=403)
        return Reply(headers={"Content-Type": "application/xml"}, body=self.guide)


def _said(asked: Asked) -> dict[str, str]:
    return {key: values[0] for key, values in parse_qs(urlsplit(asked.path).query).items()}


def _json(value: Any) -> Reply:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return Reply(headers={"Content-Type": "application/json"}, body=body)
