"""What gunicorn loads in its one web worker, after gevent has patched it."""

import os

from servicekit import logs
from stream_service import wiring
from stream_service.api.live import handover
from stream_service.app import create_app
from stream_service.wiring.for_web import web

_config = wiring.configuration(os.environ.get("AERIAL_CONFIG"))
logs.set_up(_config.shared.logging.level, _config.shared.logging.format)
_parts = web(_config)
app = handover(
    create_app(
        door=_parts.door,
        collaborators=_parts.collaborators,
        relay=_parts.relay,
        checks=_parts.checks,
        metrics=_parts.metrics,
        settings=_parts.settings,
        levels=_parts.levels,
        media=_parts.media,
        accounts=_parts.accounts,
        showing=_parts.showing,
        outlets=_parts.outlets,
        rulebook=_parts.rulebook,
        sourcing=_parts.sourcing,
    )
)
_parts.start()
