"""`python -m pair run`: both services under one supervisor, and a page of addresses when they are up."""

import sys
from collections.abc import Sequence

from pair.listening import Pair, Place, is_free
from servicekit.errors import Invalid
from servicekit.keys import admin_token
from servicekit.supervise import Child, supervise

GRACE_S = 9.5
"""Longer than the services give their own children (8 s), shorter than the 10 s that are promised."""


def run(pair: Pair) -> int:
    """Start both services and keep them until Ctrl-C, SIGTERM or the end of one; return the exit code."""
    for place, key in ((pair.guide, "epg.server.port"), (pair.streams, "stream.server.port")):
        if not is_free(place):
            raise Invalid(
                f"port {place.port} of {place.host} cannot be used: another program listens there, or it is not this "
                f"machine's address. End that program, or set another {key} in the configuration"
            )
    print(f"Aerial starts; data in {pair.data_dir}", flush=True)
    code = supervise(services(pair), grace_s=GRACE_S, on_ready=lambda: print(welcome(pair), flush=True))
    print("Aerial has ended.", flush=True)
    return code


def services(pair: Pair) -> tuple[Child, Child]:
    """Return the two services as children; each says `epg_service` or `stream_service` when it is up."""
    return _service("epg_service", pair), _service("stream_service", pair)


def _service(package: str, pair: Pair) -> Child:
    command = [sys.executable, "-m", package, *([str(pair.file)] if pair.file else [])]
    return Child(name=package, command=command, env=pair.links, hangup=True)


def welcome(pair: Pair) -> str:
    """Return the addresses to paste into players and media servers, and the key for calls from elsewhere."""
    rows = addresses(guide=pair.guide, streams=pair.streams, public_url=pair.public_url)
    width = max(len(what) for what, _ in rows)
    lines = [f"  {what:<{width}}  {address}" for what, address in rows]
    token = admin_token(pair.data_dir)
    return "\n".join(
        [
            "",
            "Aerial is running. Ctrl-C ends it.",
            *lines,
            "  Changes from outside the home network need this header:",
            f"    Authorization: Bearer {token}",
            "",
        ]
    )


def addresses(*, guide: Place, streams: Place, public_url: str = "") -> Sequence[tuple[str, str]]:
    """Return (what, address) of everything to paste somewhere; a public address stands for both services at once."""
    guide_origin, stream_origin = public_url or guide.home_address, public_url or streams.home_address
    guide_pages = f"{public_url}/guide/" if public_url else f"{guide_origin}/"
    return (
        ("Playlist (M3U)", f"{stream_origin}/playlist.m3u"),
        ("Guide (XMLTV)", f"{guide_origin}/epg.xml"),
        ("Channels, in a browser", f"{stream_origin}/"),
        ("Guide, in a browser", guide_pages),
    )
