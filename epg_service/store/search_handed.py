"""Reads what imports handed over for the search index (`domain.pieces`)."""

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TypeAlias

from epg_service.domain.pieces import Said, unframed
from servicekit.store.sqlite import Connections, typed
from servicekit.uncached import UncachedStream

DaysSaid: TypeAlias = Mapping[int, tuple[int, list[Said]]]
"""Day -> its `identity_digest`, and what its programmes say."""


class HandedOver:
    """The files of a directory, each under the number of its provider."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def mappings(self, guide: Connections) -> Iterator[tuple[int, DaysSaid]]:
        """Each mapping of which something was handed over, in the order of the files."""
        for path in sorted(self._directory.glob("*")):
            query = "SELECT provider_channel_id, id FROM channel_mappings WHERE provider_id = ?"
            known: dict[str, int] = dict(typed(guide.get().execute(query, (path.name,))))
            with contextlib.suppress(OSError), UncachedStream(path) as stream:
                for handed in iter(partial(unframed, stream.read), None):
                    if mapping := known.get(handed.channel):
                        yield mapping, handed.by_day()

    def forget(self) -> None:
        """Removes them all."""
        shutil.rmtree(self._directory, ignore_errors=True)
