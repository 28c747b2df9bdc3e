"""The start page: how the service is, and the addresses to paste into media servers and players."""

from urllib.parse import urlsplit

from flask import Response, render_template_string, request
from flask_openapi3 import APIBlueprint

from epg_service.api import Collaborators
from servicekit.clock import iso
from servicekit.web import origin_of, the_caller

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Aerial guide</title><style>
body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem;color:#223}
h1{font-size:1.5rem}code{background:#eef;padding:.1rem .3rem;border-radius:.2rem;word-break:break-all}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.3rem .6rem .3rem 0;vertical-align:top}
.bad{color:#a22}</style></head><body>
<h1>Aerial: the guide</h1>
<p>{{ channels }} channels, {{ figures.total_programs }} programmes{% if newest %}, up to {{ newest }}{% endif %}.</p>
<h2>Addresses to paste</h2>
<table>
<tr><th>Plex, Jellyfin, Emby</th><td><code>{{ origin }}/epg.xml.gz</code> (XMLTV)</td></tr>
<tr><th>Kodi, TiviMate</th><td><code>{{ origin }}/epg.xml.gz</code> (XMLTV, EPG)</td></tr>
<tr><th>Everything, under its own ids</th><td><code>{{ origin }}/guide.xml</code></td></tr>
<tr><th>Channels</th><td><a href="{{ stream_url }}/">{{ stream_url }}/</a></td></tr>
</table>
<h2>Providers</h2>
{% if not providers %}<p>None yet. Add one:</p>
<p><code>curl -X POST {{ origin }}/api/v1/providers -H 'Content-Type: application/json'
 -d '{"name": "my guide", "xmltv_url": "https://example.com/guide.xml.gz"}'</code></p>
<p><code>curl -X POST {{ origin }}/api/v1/import/trigger</code></p>{% else %}
<table><tr><th>Name</th><th>Last run</th><th>Programmes</th></tr>
{% for provider, run in providers %}<tr>
<td><bdi>{{ provider.name }}</bdi>{% if not provider.enabled %} (disabled){% endif %}</td>
<td{% if run and run.error_message %} class="bad"{% endif %}>{% if run %}{{ run.status }}{% if run.error_message %}:
 <bdi>{{ run.error_message }}</bdi>{% endif %}{% else %}never imported{% endif %}</td>
<td>{{ provider.good.kept }}</td></tr>{% endfor %}</table>{% endif %}
<p><a href="{{ origin }}/api/v1/swagger">API</a> · <a href="{{ origin }}/health">health</a></p>
</body></html>
"""


def blueprint(it: Collaborators) -> APIBlueprint:
    """`/`."""
    views = APIBlueprint("pages", __name__)

    @views.get("/", summary="State, and the addresses to paste")
    def start() -> Response:
        figures = it.programs.stats()
        text = render_template_string(
            _PAGE,
            origin=origin_of(),
            stream_url=_beside(it.stream_port),
            channels=it.channels.count(),
            figures=figures,
            newest=iso(figures.newest_program) if figures.newest_program else None,
            providers=[
                (one, next(iter(it.imports.latest(limit=1, provider_id=one.id)), None)) for one in it.providers.all()
            ],
        )
        response = Response(text, content_type="text/html; charset=utf-8")
        response.headers["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'"
        return response

    return views


def _beside(port: int) -> str:
    """The stream service's address for whoever asked: behind a proxy both share one address, else it is a port away."""
    used = urlsplit(origin_of())
    if used.netloc != request.host or the_caller().trusted_peer:
        return f"{used.scheme}://{used.netloc}"
    host = f"[{used.hostname}]" if ":" in (used.hostname or "") else used.hostname
    return f"http://{host}:{port}"
