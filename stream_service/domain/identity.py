"""Which stream of the last list is which entry of the new one.

A provider's list is thrown over night after night: addresses get new tokens, names change, entries move. A stream that
is the same keeps its permanent id, and with it the channel, its number and everything set by hand. This module decides,
and touches nothing: it is handed what vanished from the list and what is new in it.
"""

import re
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from stream_service.domain.model import StreamKeys

_XTREAM_PATH = re.compile(r"/(live|movie|series)/[^/]+/[^/]+/([0-9]+)(?:\.[A-Za-z0-9]+)?/?$", re.ASCII)

Key = Callable[[StreamKeys], Hashable | None]
"""What a rule compares; None where the rule has nothing to say about a stream."""


@dataclass(frozen=True, slots=True)
class Reconciled:
    """`matches`: place of the new entry -> (permanent stream id, name of the rule that found it)."""

    matches: dict[int, tuple[int, str]]

    def by_rule(self) -> dict[str, int]:
        """How many streams each rule found again."""
        return dict(Counter(rule for _, rule in self.matches.values()))


def provider_id_of(url: str) -> str:
    """The provider's own id as it stands in an Xtream address (`/live/USER/PASSWORD/1234.ts` -> "live:1234"), or ''."""
    if "/live/" not in url and "/movie/" not in url and "/series/" not in url:
        return ""
    found = _XTREAM_PATH.search(_path(url))
    return f"{found[1]}:{found[2]}" if found else ""


def reconcile(
    vanished: Sequence[StreamKeys], new: Sequence[StreamKeys], *, retained: Sequence[StreamKeys] = ()
) -> Reconciled:
    """Find vanished streams again among the new entries.

    The rules are tried in their order; a rule matches where it finds exactly one stream that vanished and exactly one
    entry that is new, so a doubtful pair is left for a later rule or for nobody. `retained` are streams that vanished
    in earlier refreshes and are kept for their return; each rule looks at them after those that vanished now.
    All sequences are in the order of their lists.
    """
    open_new = {entry.id: entry for entry in new}
    pools = [{stream.id: stream for stream in vanished}, {stream.id: stream for stream in retained}]
    matches: dict[int, tuple[int, str]] = {}
    for rule, find in _RULES:
        for pool in pools:
            for stream_id, entry_id in find(list(pool.values()), list(open_new.values())):
                matches[entry_id] = (stream_id, rule)
                del pool[stream_id], open_new[entry_id]
    return Reconciled(matches)


def adopt(orphans: Sequence[tuple[str, StreamKeys]], new: Sequence[StreamKeys]) -> dict[int, str]:
    """Which channels without a stream take which new streams: stream's place -> channel id.

    A source that was deleted and added again, or a channel that another provider carries now, keeps its channel. Ids
    and addresses of one provider say nothing about another's, so only the rules about names take part.
    """
    keys = [StreamKeys(i, "", k.tvg_id, k.name, k.group, "") for i, (_, k) in enumerate(orphans)]
    pool, open_new = {key.id: key for key in keys}, {entry.id: entry for entry in new}
    found: dict[int, str] = {}
    for rule, find in _RULES:
        if rule not in ("kind", "tvg-id"):
            continue
        for place, entry_id in find(list(pool.values()), list(open_new.values())):
            found[entry_id] = orphans[place][0]
            del pool[place], open_new[entry_id]
    return found


Pairs = list[tuple[int, int]]


def _by(key: Key) -> Callable[[Sequence[StreamKeys], Sequence[StreamKeys]], Pairs]:
    """A rule: pairs whose key stands exactly once on either side."""

    def find(old: Sequence[StreamKeys], new: Sequence[StreamKeys]) -> Pairs:
        olds, news = _once(old, key), _once(new, key)
        return [(olds[k], entry_id) for k, entry_id in news.items() if k in olds]

    return find


def _by_kind(old: Sequence[StreamKeys], new: Sequence[StreamKeys]) -> Pairs:
    """Same tvg-id, name and group, and the same place among its likes (providers list one channel several times)."""
    places = {key: stream.id for key, stream in _numbered(old)}
    return [(places[key], entry.id) for key, entry in _numbered(new) if key in places]


def _numbered(streams: Sequence[StreamKeys]) -> list[tuple[Hashable, StreamKeys]]:
    seen: Counter[Hashable] = Counter()
    out: list[tuple[Hashable, StreamKeys]] = []
    for stream in streams:
        kind = (stream.tvg_id, stream.name, stream.group)
        out.append(((kind, seen[kind]), stream))
        seen[kind] += 1
    return out


def _once(streams: Sequence[StreamKeys], key: Key) -> dict[Hashable, int]:
    found: dict[Hashable, int | None] = {}
    for stream in streams:
        k = key(stream)
        if k is not None:
            found[k] = None if k in found else stream.id
    return {k: stream_id for k, stream_id in found.items() if stream_id is not None}


def _path(url: str) -> str:
    try:
        return urlsplit(url).path
    except ValueError:  # a bracket that is no IPv6 address: such an entry simply has no path to compare
        return ""


def _path_key(stream: StreamKeys) -> Hashable | None:
    path = _path(stream.url)
    return path if len(path) > 1 else None


_RULES: tuple[tuple[str, Callable[[Sequence[StreamKeys], Sequence[StreamKeys]], Pairs]], ...] = (
    ("provider-id", _by(lambda s: s.provider_id or None)),
    ("kind", _by_kind),
    ("tvg-id", _by(lambda s: s.tvg_id.casefold() or None)),
    ("name", _by(lambda s: (s.name, s.group))),
    ("path", _by(_path_key)),
)
RULE_NAMES = tuple(name for name, _ in _RULES)
