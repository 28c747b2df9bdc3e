"""What gunicorn loads in each web worker."""

import os

from epg_service import wiring
from epg_service.app import create_app
from servicekit import logs

_config = wiring.configuration(os.environ.get("AERIAL_CONFIG"))
logs.set_up(_config.shared.logging.level, _config.shared.logging.format)
_parts = wiring.web(_config)
app = create_app(
    door=_parts.door,
    collaborators=_parts.collaborators,
    checks=_parts.checks,
    metrics=_parts.metrics,
    settings=_parts.settings,
    levels=_parts.levels,
)
