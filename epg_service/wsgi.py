"""What gunicorn loads in each web worker."""

import os

from epg_service import wiring
from epg_service.api import Collaborators
from epg_service.app import create_app
from epg_service.wiring.for_web import web
from servicekit import logs

_config = wiring.configuration(os.environ.get("AERIAL_CONFIG"))
logs.set_up(_config.shared.logging.level, _config.shared.logging.format)
_parts = web(_config)
app = create_app(
    door=_parts.door,
    collaborators=Collaborators(
        providers=_parts.stores.providers,
        imports=_parts.stores.imports,
        channels=_parts.stores.channels,
        programs=_parts.stores.programs,
        guide=_parts.stores.guide,
        lineups=_parts.stores.lineups,
        mappings=_parts.stores.mappings,
        browse=_parts.stores.browse,
        search=_parts.search,
        published=_parts.published,
        variants=_parts.variants,
        feeds=_parts.feeds,
        clock=_parts.clock,
        main_guide=_parts.main_guide,
        max_upload_bytes=_parts.max_upload_bytes,
        stream_port=_parts.stream_port,
    ),
    checks=_parts.checks,
    metrics=_parts.metrics,
    settings=_parts.settings,
    levels=_parts.levels,
)
