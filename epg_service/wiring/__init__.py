"""The composition root: the one place that knows the configuration and builds the parts.

`for_web` is left to whoever serves the web: its libraries take longer to load than most commands to run, and are no
weight that a keeper should carry for years.
"""

from epg_service.wiring.for_keeper import importer, indexing, keeper, publishing, rehearse
from epg_service.wiring.parts import Config, Paths, Stores, configuration, paths_of, settings, stores

__all__ = [
    "Config",
    "Paths",
    "Stores",
    "configuration",
    "importer",
    "indexing",
    "keeper",
    "paths_of",
    "publishing",
    "rehearse",
    "settings",
    "stores",
]
