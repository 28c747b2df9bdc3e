"""A lineup as a build would make it, without writing anything: what previews and explanations look at.

    load > map > filter > merge > number

The stages are those of a build (`lineups.build` draws its pipe); what is left out is all that publishes or remembers.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from stream_service.domain.lineup import LineupOptions, Override
from stream_service.domain.merging import Merged, RuleKey, merged
from stream_service.domain.model import LineupStream, StreamKeys
from stream_service.domain.rules import Attached, Rule
from stream_service.lineups.linking import linked
from stream_service.lineups.numbers import Numbered, numbered
from stream_service.rules.fields import NO_SOURCE, SourceTexts
from stream_service.rules.selection import Selection, select
from stream_service.store.lineup_channels import Standing
from stream_service.store.lineups import Lineup
from tvkit.expressions import Helpers


class StreamStore(Protocol):
    """What a draft reads of the store of channels."""

    def streams(self, source_ids: Sequence[int] | None = None) -> Iterator[LineupStream]: ...
    def taken_ids(self) -> set[str]: ...
    def orphans(self) -> list[tuple[str, StreamKeys]]: ...
    def xtream_ids(self, channel_ids: Iterable[str]) -> Mapping[str, int]: ...


class ChannelStore(Protocol):
    """What a draft reads of the channels of a lineup."""

    def standing(self, lineup: str) -> Standing: ...
    def overrides(self, lineup: str) -> dict[str, Override]: ...


@dataclass(frozen=True, slots=True)
class Drafted:
    """A lineup that could be. `selection`: the streams behind rules and filters; `numbered`: its channels."""

    standing: Standing
    entered: int
    selection: Selection
    merged: Merged
    numbered: Numbered


class Drafts:
    """Makes drafts. Reads only, so several may be made at a time, and beside a build."""

    def __init__(
        self,
        *,
        channels: StreamStore,
        lineup_channels: ChannelStore,
        source_texts: Callable[[], Mapping[int, SourceTexts]],
        rule_keys: Callable[[Sequence[str]], RuleKey],
        helpers: Helpers,
    ) -> None:
        self._channels = channels
        self._lineup_channels = lineup_channels
        self._source_texts = source_texts
        self._rule_keys = rule_keys
        self.helpers = helpers

    def draft(
        self, lineup: Lineup, options: LineupOptions, rules: Sequence[Rule], filters: Sequence[Attached]
    ) -> Drafted:
        """The lineup with these options, rules and filters. Raises `Invalid` for what a build could not use."""
        standing = self._lineup_channels.standing(lineup.name)
        streams, _ = linked(_Unwritten(self._channels), list(self._channels.streams(options.sources)))
        selection = select(
            streams,
            rules=rules if options.rules else (),
            filters=filters,
            source_of=self.source_of(),
            helpers=self.helpers,
        )
        joined, _ = merged(
            selection.streams, options, aliases=standing.aliases, shown=standing.present, rule_keys=self._rule_keys
        )
        renumbered = lineup.renumber or options.numbering != lineup.options.numbering
        done = numbered(
            joined.channels,
            standing=Standing() if renumbered else standing,
            overrides=self._lineup_channels.overrides(lineup.name),
            options=options,
            xtream_ids=dict.fromkeys(joined.channels, 0),
            delivery=lineup.delivery,
        )
        return Drafted(standing, len(streams), selection, joined, done)

    def streams(self, options: LineupOptions) -> Iterator[LineupStream]:
        """The entries of a lineup's sources."""
        return self._channels.streams(options.sources)

    def standing(self, lineup: str) -> tuple[Standing, dict[str, Override]]:
        """What a lineup holds now, and what people set of its channels."""
        return self._lineup_channels.standing(lineup), self._lineup_channels.overrides(lineup)

    def source_of(self) -> Callable[[int], SourceTexts]:
        """What the language may ask of a source, by its id."""
        known = self._source_texts()
        return lambda ident: known.get(ident, NO_SOURCE)


class _Unwritten:
    """The store of channels as linking sees it, where nothing is written: new channels have no whole number yet."""

    def __init__(self, channels: StreamStore) -> None:
        self.taken_ids = channels.taken_ids
        self.orphans = channels.orphans

    def link(self, links: Iterable[tuple[LineupStream, str]]) -> dict[str, int]:
        return {channel_id: 0 for _, channel_id in links}

    def xtream_ids(self, channel_ids: Iterable[str]) -> Mapping[str, int]:
        return dict.fromkeys(channel_ids, 0)
