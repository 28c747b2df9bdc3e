"""The file that viewers are served from, put together of a part for each lineup (`catalogue` reads it).

A channel stands whole where it comes first; a lineup further down that has it too says only its number there.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import orjson

from servicekit.files import atomic_file
from stream_service.domain.lineup import LineupView
from stream_service.domain.model import LineupChannel

PART = "catalogue.part"
_LINE = orjson.OPT_APPEND_NEWLINE
MODE = 0o600
"""It holds the providers' addresses."""


def part(view: LineupView) -> Iterator[bytes]:
    """A lineup's part, line by line: its name, its channels, and where ids that were merged away lead."""
    yield orjson.dumps({"lineup": view.name, "delivery": view.delivery}, option=_LINE)
    yield from (_line(channel) for channel in view.channels)
    for ident, to in sorted(view.aliases.items()):
        yield orjson.dumps((ident, None, to, view.alias_numbers.get(ident, 0)), option=_LINE)


def assemble(parts: Sequence[Path], catalogue: Path) -> None:
    """Put the catalogue together anew, by atomic rename. Parts that are not there yet are left out."""
    there = [path for path in parts if path.exists()]
    if len(there) == 1:
        linked = catalogue.with_name(".catalogue.linked")
        linked.unlink(missing_ok=True)
        os.link(there[0], linked)
        linked.replace(catalogue)
        return
    with atomic_file(catalogue, mode=MODE) as out:
        out.writelines(_joined(there))


def _joined(parts: Iterable[Path]) -> Iterator[bytes]:
    told: set[bytes] = set()
    leads: list[bytes] = []
    for path in parts:
        with path.open("rb") as lines:
            for line in lines:
                if line[:1] == b"{":
                    yield line
                    continue
                ident, _, rest = line[2:].partition(b'",')
                if rest[:4] == b"null":
                    leads.append(line)
                elif ident in told:
                    yield orjson.dumps(orjson.loads(line)[:2]) + b"\n"
                else:
                    told.add(ident)
                    yield line
    yield from leads


def _line(channel: LineupChannel) -> bytes:
    streams = [
        (s.id, s.source_id, s.url, _plain(s.headers), s.private_ok, s.connection_limit, _plain(s.timeouts))
        for s in channel.streams
    ]
    line = (channel.id, channel.number, channel.name, streams, channel.delivery, channel.xtream_id)
    return orjson.dumps(line, option=_LINE)


def _plain(mapping: Mapping[str, object]) -> Mapping[str, object]:
    """As JSON's writer takes it."""
    return mapping if type(mapping) is dict else dict(mapping)
