"""Rules and filters at work: a chain that changes texts, a sieve that chooses, both compiled once for a build.

    streams > chain (each rule sees what the ones before did) > sieve (the last filter that matches decides) > streams

A rule may not eat a build: the processor time of each is measured, and one that is over its budget is taken out. The
build then begins anew without it, so that no lineup is half of one rule and half of none.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from operator import itemgetter
from typing import TypeVar

from servicekit.errors import AerialError
from stream_service.domain.model import LineupStream
from stream_service.domain.rules import Action, Attached, Filter, Rule
from stream_service.rules.fields import NO_SOURCE, SourceTexts, record_of, with_texts
from tvkit.expressions import STREAM, Applied, Change, Expression, ExpressionError, Helpers, compile_expression

BUDGET_S = 5.0
"""Processor time that one rule or filter may take in one build: a hundred times what an honest one takes for 100,000
entries."""
CHUNK = 64
"""Entries between two looks at the clock."""
LOOK_BACK_AFTER = 500
"""Entries after which a rule that met mostly different values stops remembering them."""

_NO_HELPERS = Helpers()
T = TypeVar("T")


class OverBudget(AerialError):
    """A rule or filter that takes too long, or a pattern of it that gave up on a text; `culprit` says which."""

    def __init__(self, culprit: Rule | Filter) -> None:
        super().__init__(f"{culprit.name!r} takes too long: a pattern of it needs ages for some text; make it simpler")
        self.culprit = culprit


@dataclass(slots=True)
class Count:
    """What a rule or filter did in a run: how many entries it matched and changed (a filter: decided), how long."""

    matched: int = 0
    changed: int = 0
    spent_s: float = 0.0


@dataclass(slots=True)
class Mapped:
    """A stream on its way: as it is now, and the record of it that the language sees."""

    stream: LineupStream
    record: dict[str, str]
    source: SourceTexts = NO_SOURCE
    written: set[str] = field(default_factory=set)
    stopped: bool = False

    def done(self) -> LineupStream:
        """The stream with all that was written."""
        return with_texts(self.stream, self.record, self.written) if self.written else self.stream


@dataclass(frozen=True, slots=True)
class Step:
    """What one rule did to one stream. `applies`: it is for streams of that source, and none before it stopped."""

    rule: Rule
    applies: bool
    matched: bool = False
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a stream stays, and the filter that said so; None when none matched."""

    kept: bool
    by: Attached | None = None


class _Link:
    """A rule in its chain.

    What an expression does depends on the fields that it names alone. Where few different values come (groups, mostly),
    what came of them is remembered: looking that up costs a third of doing it again.
    """

    def __init__(self, rule: Rule, expression: Expression) -> None:
        self.rule = rule
        self.expression = expression
        self.count = Count()
        self._key = itemgetter(*names) if (names := sorted(expression.reads | expression.writes)) else None
        self._known: dict[object, Applied] = {}

    def apply_to(self, chunk: Sequence[Mapped], records: Sequence[dict[str, str]]) -> None:
        """These entries, and the records of them, through this rule."""
        count, stop = self.count, self.rule.stop
        matched = self._remembered(self._key, records) if self._key else self.expression.apply_all(records)
        count.matched += len(matched)
        for place, (_, changes) in matched:
            one = chunk[place]
            one.stopped = stop
            if changes:
                count.changed += 1
                one.written.update([change[0] for change in changes])

    def _remembered(self, key: "itemgetter[object]", records: Sequence[dict[str, str]]) -> list[tuple[int, Applied]]:
        """As `Expression.apply_all`."""
        known, apply, found = self._known, self.expression.apply, []
        for place, said in enumerate(map(key, records)):
            applied = known.get(said)
            if applied is None:
                applied = known[said] = apply(records[place])
            elif applied.changes:
                record = records[place]
                for field_name, _, after in applied.changes:
                    record[field_name] = after
            if applied.matched:
                found.append((place, applied))
        return found

    def look_back(self, entries: int) -> None:
        """Stop remembering where it does not help."""
        if self._key is not None and len(self._known) * 4 > entries > LOOK_BACK_AFTER:
            self._key, self._known = None, {}


class Chain:
    """Rules in their order, compiled. A rule that cannot be compiled is left out and named in `faults`.

    One that takes too long is left out from there on and named in `slow`: whoever needs all entries to be treated alike
    begins anew without it.
    """

    def __init__(self, rules: Iterable[Rule], *, helpers: Helpers = _NO_HELPERS, budget_s: float = BUDGET_S) -> None:
        self.faults: dict[int, str] = {}
        self.slow: dict[int, str] = {}
        self._links: list[_Link] = []
        for rule in rules:
            if (compiled := _compiled(rule, helpers, self.faults)) is not None:
                self._links.append(_Link(rule, compiled))
        self._budget_s = budget_s
        self.counts = {link.rule.id: link.count for link in self._links}

    def apply(self, stream: LineupStream, source: SourceTexts = NO_SOURCE) -> Mapped:
        """One stream through the chain."""
        return next(self.run([stream], lambda _: source))

    def run(self, streams: Iterable[LineupStream], source_of: Callable[[int], SourceTexts]) -> Iterator[Mapped]:
        """Streams through the chain, in their order."""
        entries = 0
        for some in _chunks(streams):
            chunk = [_entered(stream, source_of) for stream in some]
            entries += len(chunk)
            going_on, records = chunk, [one.record for one in chunk]
            for link in tuple(self._links):
                began, source_id = time.thread_time(), link.rule.source_id
                if source_id is None:
                    link.apply_to(going_on, records)
                else:
                    own = [one for one in going_on if one.stream.stream.source_id == source_id]
                    link.apply_to(own, [one.record for one in own])
                if link.rule.stop:
                    going_on = [one for one in going_on if not one.stopped]
                    records = [one.record for one in going_on]
                link.look_back(entries)
                if _spent_all(link.expression, link.count, began, self._budget_s):
                    self.slow[link.rule.id] = str(OverBudget(link.rule))
                    self._links.remove(link)
            yield from chunk

    def explain(self, stream: LineupStream, source: SourceTexts = NO_SOURCE) -> tuple[Mapped, list[Step]]:
        """One stream through the chain, with what each rule did."""
        mapped = _entered(stream, lambda _: source)
        steps = []
        for link in self._links:
            rule = link.rule
            if mapped.stopped or rule.source_id not in (None, stream.stream.source_id):
                steps.append(Step(rule, applies=False))
                continue
            applied = link.expression.apply(mapped.record)
            mapped.written.update(change.field for change in applied.changes)
            mapped.stopped = applied.matched and rule.stop
            steps.append(Step(rule, applies=True, matched=applied.matched, changes=applied.changes))
        return mapped, steps


class Sieve:
    """A lineup's filters, compiled.

    Without an include filter a lineup begins with everything, else with nothing. Then the filters speak in their order:
    an include lets in what it matches, an exclude takes it out. So the last one that matches decides.
    """

    def __init__(
        self, filters: Iterable[Attached], *, helpers: Helpers = _NO_HELPERS, budget_s: float = BUDGET_S
    ) -> None:
        self.faults: dict[int, str] = {}
        active = [one for one in filters if one.active]
        self._begins_full = all(one.action == "exclude" for one in active)
        self._from_last: list[tuple[Attached, Expression]] = []
        for one in reversed(active):
            if (compiled := _compiled(one.filter, helpers, self.faults)) is not None:
                self._from_last.append((one, compiled))
        self._budget_s = budget_s
        self.counts = {one.filter.id: Count() for one, _ in self._from_last}

    def keeps(self, record: Mapping[str, str]) -> bool:
        """Whether a stream of that record stays."""
        return self.verdict(record).kept

    def verdict(self, record: Mapping[str, str]) -> Verdict:
        """Whether it stays, and why."""
        for one, expression in self._from_last:
            if expression.matches(record):
                return Verdict(one.action == "include", one)
        return Verdict(self._begins_full)

    def run(self, streams: Iterable[Mapped]) -> Iterator[Mapped]:
        """Those that stay, in their order. Raises `OverBudget`."""
        for chunk in _chunks(streams):
            said: list[Action | None] = [None] * len(chunk)
            open_places = list(range(len(chunk)))
            for one, expression in self._from_last:
                began, matches = time.thread_time(), expression.matches
                found = [place for place in open_places if matches(chunk[place].record)]
                count = self.counts[one.filter.id]
                count.matched += len(found)
                for place in found:
                    said[place] = one.action
                open_places = [place for place in open_places if said[place] is None]
                if _spent_all(expression, count, began, self._budget_s):
                    raise OverBudget(one.filter)
            default: Action = "include" if self._begins_full else "exclude"
            yield from (one for one, word in zip(chunk, said, strict=True) if (word or default) == "include")


def _chunks(items: Iterable[T]) -> Iterator[list[T]]:
    source = iter(items)
    while chunk := list(islice(source, CHUNK)):
        yield chunk


def _entered(stream: LineupStream, source_of: Callable[[int], SourceTexts]) -> Mapped:
    source = source_of(stream.stream.source_id)
    return Mapped(stream, record_of(stream, source), source)


def _spent_all(expression: Expression, count: Count, began: float, budget_s: float) -> bool:
    """Counts the time since `began`; whether that is too much, or a pattern gave up on a text."""
    count.spent_s += time.thread_time() - began
    return count.spent_s > budget_s or expression.given_up > 0


def _compiled(one: Rule | Filter, helpers: Helpers, faults: dict[int, str]) -> Expression | None:
    try:
        return compile_expression(one.expression, STREAM, helpers=helpers)
    except ExpressionError as error:
        faults[one.id] = str(error)
        return None
