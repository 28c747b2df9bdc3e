"""The composition root: the one place that knows the configuration and builds the parts.

`for_web` and `for_keeper` are left to whoever serves the web or does the keeper's work: what they stand on takes longer
to load than most commands to run, and is no weight that another process should carry for years.
"""

from stream_service.wiring.parts import (
    Config,
    Paths,
    Stores,
    configuration,
    paths_of,
    published_files,
    settings,
    stores,
)

__all__ = ["Config", "Paths", "Stores", "configuration", "paths_of", "published_files", "settings", "stores"]
