"""The start page: how things stand, and the addresses to paste into players and media servers."""

from html import escape

from flask import Response
from flask_openapi3 import APIBlueprint

from servicekit.web import origin_of
from stream_service.api import Collaborators

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Aerial: channels</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 46rem; padding: 0 1rem; }}
code {{ background: #8882; padding: .1em .3em; overflow-wrap: anywhere; }}
td, th {{ text-align: left; vertical-align: top; padding: .2rem 1rem .2rem 0; }}
</style>
</head>
<body>
<h1>Aerial: channels</h1>
<p>State: <strong>{status}</strong>. {channels} channels from {sources} sources.</p>
<h2>Addresses to paste</h2>
<table>
<tr><th>Playlist (M3U)</th><td><code>{origin}/playlist.m3u</code></td></tr>
<tr><th>Guide (XMLTV)</th><td><code>{origin}/epg.xml</code>, packed: <code>{origin}/epg.xml.gz</code></td></tr>
</table>
<table>
<tr><th>Plex</th><td>Plex takes the guide address as its XMLTV guide; for channels it needs a tuner.</td></tr>
<tr><th>Jellyfin, Emby</th><td>Live TV, add a tuner of type M3U with the playlist address;
then add a guide provider of type XMLTV with the guide address.</td></tr>
<tr><th>Kodi</th><td>PVR IPTV Simple Client: the playlist address as M3U play list URL.
The guide comes with it.</td></tr>
<tr><th>TiviMate</th><td>Add a playlist, M3U, with the playlist address. The guide comes with it.</td></tr>
<tr><th>VLC, mpv</th><td>Open the playlist address as a network stream.</td></tr>
</table>
<h2>For programs</h2>
<p>The API is described at <a href="{origin}/api/v1/openapi.json">{origin}/api/v1/openapi.json</a>.
The state in detail: <a href="{origin}/health">{origin}/health</a>.</p>
</body>
</html>
"""


def blueprint(it: Collaborators) -> APIBlueprint:
    """`/`."""
    views = APIBlueprint("home", __name__, doc_ui=False)

    @views.get("/")
    def home() -> Response:
        text = _PAGE.format(
            status=escape(it.status()),
            channels=it.call(it.channels.count),
            sources=len(it.call(it.sources.all)),
            origin=escape(origin_of()),
        )
        headers = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
        return Response(text, content_type="text/html; charset=utf-8", headers=headers)

    return views
