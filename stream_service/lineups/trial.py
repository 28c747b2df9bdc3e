"""A rule or a filter tried on the entries that are there, or on records that were sent; nothing is written."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from servicekit.errors import Invalid
from stream_service.domain.lineup import DEFAULT
from stream_service.domain.model import LineupStream
from stream_service.domain.rules import Domain, Filter, Rule
from stream_service.rules.check import FIELDS, check_filter, check_rule
from stream_service.rules.engine import Chain
from stream_service.rules.fields import NO_SOURCE, SourceTexts
from tvkit.expressions import PROGRAMME, Expression, Helpers, compile_expression

WALK_S = 10.0
"""Processor time after which a trial shows what it has found so far."""
LOOK_EVERY = 500

_SHOWN = ("channel_name", "group_title", "programme_title")


class RuleStore(Protocol):
    """What a trial asks of the store of rules."""

    def get(self, rule_id: int) -> Rule: ...
    def all(self, *, domain: Domain | None = None) -> list[Rule]: ...


class FilterStore(Protocol):
    """What a trial asks of the store of filters."""

    def get(self, filter_id: int) -> Filter: ...


@dataclass(slots=True)
class _Found:
    """What a walk finds."""

    tested: int = 0
    matched: int = 0
    changed: int = 0
    complete: bool = True
    too_slow: str | None = None
    sample: list[dict[str, object]] = field(default_factory=list)
    others: list[dict[str, object]] = field(default_factory=list)

    def told(self) -> dict[str, object]:
        return {
            "tested": self.tested, "matched": self.matched, "complete": self.complete, "too_slow": self.too_slow,
            "sample": self.sample,
        }  # fmt: skip


class Trials:
    """Errands `rules-test` and `filters-test`.

    `streams` gives the entries of a lineup's sources (None: of all), `programmes` records of what a lineup shows.
    """

    def __init__(
        self,
        *,
        streams: Callable[[str | None], Iterable[LineupStream]],
        rules: RuleStore,
        filters: FilterStore,
        source_texts: Callable[[], Mapping[int, SourceTexts]],
        programmes: Callable[[str], Iterable[Mapping[str, str]]],
        helpers: Helpers,
    ) -> None:
        self._records_of_guide = programmes
        self._streams = streams
        self._rules = rules
        self._filters = filters
        self._source_texts = source_texts
        self._helpers = helpers

    def rule(self, params: Mapping[str, Any]) -> dict[str, object]:
        """What a rule would do. Raises `Invalid`, `NotFound`."""
        tried = self._rules.get(params["id"]) if params["id"] else _new_rule(params)
        check_rule(tried)
        expression = compile_expression(tried.expression, FIELDS[tried.domain], helpers=self._helpers)
        found, most = _Found(), params["sample"]
        for record, known in self._records(params, tried.domain, expression, found, before=tried):
            was = dict(record)
            applied = expression.apply(record)
            if applied.matched:
                found.matched += 1
                found.changed += bool(applied.changes)
                if len(found.sample) < most and (applied.changes or not expression.writes):
                    names = (*_SHOWN, *(change.field for change in applied.changes))
                    found.sample.append({**known, "before": _part(was, names), "after": _part(record, names)})
        return {"canonical_expression": expression.canonical, **found.told(), "changed": found.changed}

    def filter(self, params: Mapping[str, Any]) -> dict[str, object]:
        """What a filter would match. Raises `Invalid`, `NotFound`."""
        tried = self._filters.get(params["id"]) if params["id"] else _new_filter(params)
        check_filter(tried)
        expression = compile_expression(tried.expression, FIELDS[tried.domain], helpers=self._helpers)
        found, most = _Found(), params["sample"]
        names = (*_SHOWN, *sorted(expression.reads))
        for record, known in self._records(params, tried.domain, expression, found, before=None):
            matched = expression.matches(record)
            found.matched += matched
            shown = found.sample if matched else found.others
            if len(shown) < most:
                shown.append({**known, "record": _part(record, names)})
        told = {**found.told(), "not_matched": found.tested - found.matched, "others": found.others}
        return {"canonical_expression": expression.canonical, **told}

    # ---- walking -----------------------------------------------------------------------------------------------------

    def _records(
        self, params: Mapping[str, Any], domain: Domain, expression: Expression, found: _Found, *, before: Rule | None
    ) -> Iterator[tuple[dict[str, str], dict[str, object]]]:
        """Records to try on, each with what is known of its entry; ends when the trial has had its time."""
        began = time.thread_time()
        for record, known in self._walked(params, domain, before):
            if found.tested % LOOK_EVERY == 0 and time.thread_time() - began > WALK_S:
                found.complete = False
                return
            found.tested += 1
            yield record, known
            if expression.given_up:
                found.too_slow = "a pattern needs ages for some text: make it simpler"
                found.complete = False
                return

    def _walked(
        self, params: Mapping[str, Any], domain: Domain, before: Rule | None
    ) -> Iterator[tuple[dict[str, str], dict[str, object]]]:
        if params["records"] is not None:
            yield from ((_canonical(record, domain), {}) for record in params["records"])
            return
        if domain == "programme":
            yield from self._programmes(params, before)
            return
        only = params["source_id"] or (before.source_id if before else None)
        streams = (one for one in self._streams(params["lineup"]) if only is None or one.stream.source_id == only)
        texts = self._source_texts()
        rules = () if params["raw"] else self._before(domain, params["lineup"], before)
        chain = Chain(rules, helpers=self._helpers)
        for mapped in chain.run(streams, lambda ident: texts.get(ident, NO_SOURCE)):
            if not (mapped.stopped and before is not None):
                one = mapped.stream
                known: dict[str, object] = {
                    "stream_id": one.stream.id, "source_id": one.stream.source_id, "channel_id": one.channel_id,
                }  # fmt: skip
                yield mapped.record, known

    def _programmes(
        self, params: Mapping[str, Any], before: Rule | None
    ) -> Iterator[tuple[dict[str, str], dict[str, object]]]:
        """Programmes of a lineup (the default one, if none is named), as the rules before this one leave them."""
        lineup = params["lineup"] or DEFAULT
        rules = () if params["raw"] else self._before("programme", lineup, before)
        links = [(rule.stop, compile_expression(rule.expression, PROGRAMME, helpers=self._helpers)) for rule in rules]
        for said in self._records_of_guide(lineup):
            record = _canonical(said, "programme")
            stopped = False
            for stop, expression in links:
                stopped = expression.apply(record).matched and stop
                if stopped:
                    break
            if not (stopped and before is not None):
                yield record, {"channel_id": record["channel_id"], "start": record["programme_start"]}

    def _before(self, domain: Domain, lineup: str | None, tried: Rule | None) -> list[Rule]:
        """The rules that an entry meets before it comes to this one: all of them, for one that is new."""
        return [
            rule
            for rule in self._rules.all(domain=domain)
            if rule.enabled
            and rule.lineup in (None, lineup)
            and (tried is None or not tried.id or (rule.position, rule.id) < (tried.position, tried.id))
        ]


def _canonical(record: Mapping[str, str], domain: Domain) -> dict[str, str]:
    """A record that was sent, under the canonical names; raises `Invalid` for a field that is none."""
    named: dict[str, str] = {one.name: "" for one in FIELDS[domain]}
    for word, value in record.items():
        known = FIELDS[domain].find(word)
        if known is None:
            raise Invalid(f"records: there is no field {word!r}; fields are {', '.join(FIELDS[domain].names)}")
        named[known.name] = value
    return named


def _part(record: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    return {name: record.get(name, "") for name in dict.fromkeys(names) if name in record}


def _new_rule(params: Mapping[str, Any]) -> Rule:
    return Rule(id=0, name="tried", expression=params["expression"], domain=params["domain"], stop=True)


def _new_filter(params: Mapping[str, Any]) -> Filter:
    return Filter(id=0, name="tried", expression=params["expression"], domain=params["domain"])
