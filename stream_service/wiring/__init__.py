"""The composition root: the one place that knows the configuration and builds the parts."""

from stream_service.wiring.for_keeper import announcing, errand_runner, keeper, make_cards, source_intake, tidy
from stream_service.wiring.for_web import Collaborators, Web, errands, web
from stream_service.wiring.parts import (
    Config,
    Paths,
    Stores,
    configuration,
    levels,
    paths_of,
    published_files,
    settings,
    stores,
)

__all__ = [
    "Collaborators",
    "Config",
    "Paths",
    "Stores",
    "Web",
    "announcing",
    "configuration",
    "errand_runner",
    "errands",
    "keeper",
    "levels",
    "make_cards",
    "paths_of",
    "published_files",
    "settings",
    "source_intake",
    "stores",
    "tidy",
    "web",
]
