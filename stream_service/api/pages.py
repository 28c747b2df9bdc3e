"""The start page: how the service is, and the addresses to paste into players and media servers."""

from flask import Response, render_template_string
from flask_openapi3 import APIBlueprint

from servicekit.web import origin_of
from stream_service.api import Collaborators

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Aerial channels</title><style>
body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem;color:#223}
h1{font-size:1.5rem}code{background:#eef;padding:.1rem .3rem;border-radius:.2rem;word-break:break-all}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.3rem .6rem .3rem 0;vertical-align:top}
.bad{color:#a22}</style></head><body>
<h1>Aerial: the channels</h1>
<p>State: {{ state }}. {{ channels }} channels.</p>
<h2>Addresses to paste</h2>
<table>
<tr><th>Jellyfin, Emby</th><td><code>{{ origin }}/playlist.m3u</code> as an M3U tuner,
 <code>{{ origin }}/epg.xml.gz</code> as an XMLTV guide</td></tr>
<tr><th>Kodi (PVR IPTV Simple), TiviMate</th><td><code>{{ origin }}/playlist.m3u</code>;
 the guide comes with it</td></tr>
<tr><th>Plex, Emby, Channels</th><td><code>{{ origin }}</code> as the address of an HDHomeRun tuner,
 <code>{{ origin }}/epg.xml.gz</code> as the guide</td></tr>
<tr><th>TiviMate, IPTV Smarters, XCIPTV</th><td>an Xtream login: server <code>{{ origin }}</code>, name and
 password of a user; make one: <code>curl -X POST {{ origin }}/api/v1/users -H 'Content-Type: application/json'
 -d '{"name": "ann", "password": "eight-or-more"}'</code></td></tr>
<tr><th>VLC, mpv</th><td><code>{{ origin }}/playlist.m3u</code></td></tr>
</table>
<h2>Sources</h2>
{% if not sources %}<p>None yet. Add one:</p>
<p><code>curl -X POST {{ origin }}/api/v1/sources -H 'Content-Type: application/json'
 -d '{"name": "my channels", "type": "m3u", "url": "https://example.com/list.m3u"}'</code></p>
<p><code>curl -X POST {{ origin }}/api/v1/sources/1/refresh</code></p>{% else %}
<table><tr><th>Name</th><th>Last refresh</th><th>Streams</th></tr>
{% for source, run in sources %}<tr><td>{{ source.name }}{% if not source.enabled %} (disabled){% endif %}</td>
<td{% if run and run.error_message %} class="bad"{% endif %}>{% if run %}{{ run.status }}{% if run.error_message %}:
 {{ run.error_message }}{% endif %}{% else %}never refreshed{% endif %}</td>
<td>{{ source.good.entries }}</td></tr>{% endfor %}</table>{% endif %}
<p><a href="{{ origin }}/api/v1/swagger">API</a> · <a href="{{ origin }}/health">health</a></p>
</body></html>
"""


def blueprint(it: Collaborators) -> APIBlueprint:
    """`/`."""
    views = APIBlueprint("pages", __name__, doc_ui=False)

    @views.get("/")
    def start() -> Response:
        sources = it.call(it.sources.all)
        last = it.call(it.runs.last_of_each, [one.id for one in sources])
        text = render_template_string(
            _PAGE,
            state=it.status(),
            channels=it.call(it.channels.count),
            sources=[(one, last.get(one.id)) for one in sources],
            origin=origin_of(),
        )
        headers = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
        return Response(text, content_type="text/html; charset=utf-8", headers=headers)

    return views
