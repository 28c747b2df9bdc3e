"""What a newcomer would do by hand, done by the demo: add a guide and a playlist, wait for both, say how to watch.

    python -m pair.tour --provider URL --guide URL --streams URL [--show-guide URL --show-streams URL]

A process of its own beside the services, which it speaks to over their API alone. When done it waits for a signal.
"""

import argparse
import http.client
import json
import re
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from servicekit.errors import AerialError
from servicekit.supervise import die_with_parent

_PATIENCE_S = 90.0
_PAUSE_S = 0.25


class Stuck(AerialError):
    """The demo does not come to where it should be; the text says what was waited for and what was seen."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, read whole."""

    status: int
    body: bytes

    def json(self) -> Any:
        """Return the body as JSON; raises ValueError when it is none."""
        return json.loads(self.body)


def ask(method: str, address: str, body: object = None) -> Answer:
    """Make one request, with a JSON body if one is given; raises OSError or HTTPException when nobody answers."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    try:
        text = None if body is None else json.dumps(body).encode()
        connection.request(method, parts.path or "/", text, {"Content-Type": "application/json"} if text else {})
        response = connection.getresponse()
        return Answer(response.status, response.read())
    finally:
        connection.close()


def wait_until(what: str, look: Callable[[], str | None], *, patience_s: float = _PATIENCE_S) -> None:
    """Look again and again until `look` returns None instead of what is missing; after `patience_s` raise `Stuck`."""
    end = time.monotonic() + patience_s
    while True:
        try:
            missing = look()
        except (OSError, http.client.HTTPException) as error:
            missing = f"no answer yet ({error})"
        if missing is None:
            return
        if time.monotonic() > end:
            raise Stuck(f"waited {patience_s:g} s for {what}: {missing}")
        time.sleep(_PAUSE_S)


def add_everything(*, provider: str, guide: str, streams: str) -> None:
    """Add the provider's guide and playlist to the services and start fetching both; raises `Stuck` when refused."""
    for name, origin in (("guide service", guide), ("stream service", streams)):
        wait_until(f"the {name}", lambda at=f"{origin}/ready": _ok(ask("GET", at)))  # type: ignore[misc]
    _done(ask("POST", f"{guide}/api/v1/providers", {"name": "Demo guide", "xmltv_url": f"{provider}/guide.xml"}))
    _done(ask("POST", f"{guide}/api/v1/import/trigger"))
    source = {"name": "Demo channels", "type": "m3u", "url": f"{provider}/playlist.m3u"}
    number = _done(ask("POST", f"{streams}/api/v1/sources", source)).json()["id"]
    _done(ask("POST", f"{streams}/api/v1/sources/{number}/refresh"))


def wait_for_everything(*, guide: str, streams: str) -> list[str]:
    """Wait until each channel of the playlist has programmes in the guide; return the channels' ids in their order."""
    ids: list[str] = []

    def playlist() -> str | None:
        ids[:] = re.findall(r'^#EXTINF:.*?tvg-id="([^"]+)"', ask("GET", f"{streams}/playlist.m3u").body.decode(), re.M)
        return None if ids else "the playlist has no channel yet"

    def listings() -> str | None:
        text = ask("GET", f"{guide}/epg.xml").body.decode()
        bare = [one for one in ids if not re.search(rf'<programme [^>]*channel="{re.escape(one)}"', text)]
        return f"no programme yet for {', '.join(bare)}; imports: {_imports(guide)}" if bare else None

    wait_until("channels in the playlist", playlist)
    wait_until("programmes in the guide", listings)
    return ids


def how_to_watch(*, guide: str, streams: str, channel: str) -> str:
    """Return what to type and what to click."""
    playlist, listings = f"{streams}/playlist.m3u", f"{guide}/epg.xml"
    return f"""
The demo is running: six channels with pictures, sound and a guide. Ctrl-C ends it.

  Playlist (M3U)          {playlist}
  Guide (XMLTV)           {listings}
  Channels, in a browser  {streams}/
  Guide, in a browser     {guide}/

Watch one channel:        ffplay {streams}/stream/{channel}.ts
All channels, with names: mpv {playlist}
                          vlc {playlist}
In Kodi: Add-ons > PVR clients > PVR IPTV Simple Client > Configure;
  M3U playlist URL {playlist}
  XMLTV URL        {listings}
"""


def _ok(answer: Answer) -> str | None:
    return None if answer.status == 200 else f"status {answer.status}"


def _done(answer: Answer) -> Answer:
    if answer.status not in {200, 201, 202}:
        raise Stuck(f"the demo's request was refused with {answer.status}: {answer.body.decode(errors='replace')}")
    return answer


def _imports(guide: str) -> str:
    runs = ask("GET", f"{guide}/api/v1/import/status").json().get("runs", [])
    return ", ".join(f"{run.get('status')} {run.get('error_message') or ''}".strip() for run in runs) or "none"


def main(arguments: Sequence[str] | None = None) -> int:
    """Give the tour, then wait for the end; 1 when something did not work."""
    parser = argparse.ArgumentParser(prog="python -m pair.tour", description="Fill the demo and say how to watch it.")
    for name in ("provider", "guide", "streams"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--show-guide")
    parser.add_argument("--show-streams")
    options = parser.parse_args(arguments)
    die_with_parent()
    try:
        wait_until("the demo's provider", lambda: _ok(ask("GET", f"{options.provider}/playlist.m3u")))
        add_everything(provider=options.provider, guide=options.guide, streams=options.streams)
        channels = wait_for_everything(guide=options.guide, streams=options.streams)
    except Stuck as trouble:
        print(f"The demo did not work: {trouble}", flush=True)
        return 1
    shown = {"guide": options.show_guide or options.guide, "streams": options.show_streams or options.streams}
    print(how_to_watch(**shown, channel=channels[0]), flush=True)
    signal.pause()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
