"""The keeper's parts, and those of the commands that are the keeper for a while."""

import dataclasses
import logging
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from epg_service.domain.entities import LastGoodFile, Provider
from epg_service.domain.losses import Losses
from epg_service.domain.retention import Window
from epg_service.importer.reading import Limits, Packed, Plain
from epg_service.importer.rehearsal import Rehearsal, Unheard, Unwritten
from epg_service.importer.run import Importer, Log, Visible
from epg_service.importer.times import TimesWatch
from epg_service.indexing import Indexing
from epg_service.keeper import Keeper, Plan
from epg_service.lineups.match import Matching
from epg_service.lineups.publish import Contents, Publishing
from epg_service.providers.ahead import Ahead
from epg_service.providers.download import Progress, Validators
from epg_service.providers.feed import Feed, Feeds
from epg_service.providers.unpack import unpacked
from epg_service.store.applying import Applying
from epg_service.stream_link import StreamLink
from epg_service.wiring.parts import (
    CLOCK,
    Config,
    Paths,
    Stores,
    WayOut,
    feeds,
    levels,
    paths_of,
    published_guides,
    shared_secret,
    stores,
    stream_port,
)
from servicekit.clock import Clock
from servicekit.memory import keep_freed
from servicekit.notify import LoggedEvents, Notifier
from servicekit.supervise import say_ready

UNPACKED_FACTOR = 4


def importer(config: Config, it: Stores, stopping: threading.Event, *, clock: Clock = CLOCK) -> Importer:
    """Runs imports."""
    visible = Applying(it.connections, clock=clock)
    return _importer(
        config, it, stopping, clock, paths=paths_of(config), log=it.imports, visible=visible, notifier=_notifier()
    )


def rehearse(config: Config, it: Stores, provider: Provider, *, force: bool) -> Rehearsal:
    """What an import of the provider would come to; nothing of the guide or its log is changed."""
    rehearsal, clock = Rehearsal(), CLOCK
    with tempfile.TemporaryDirectory(prefix="aerial-rehearsal-") as folder:
        paths = dataclasses.replace(paths_of(config), run=Path(folder))
        visible = Unwritten(rehearsal)
        dry = _importer(
            config, it, threading.Event(), clock, paths=paths, log=rehearsal, visible=visible, notifier=Unheard()
        )
        dry.run(rehearsal.run_for(provider, force=force, now_s=clock.now_s()), provider)
    return rehearsal


def _importer(
    config: Config,
    it: Stores,
    stopping: threading.Event,
    clock: Clock,
    *,
    paths: Paths,
    log: Log,
    visible: Visible,
    notifier: Notifier,
) -> Importer:
    return Importer(
        source=_source(feeds(config)),
        unpacked=_unpacked,
        stored=it.programs,
        mappings=it.channels,
        visible=visible,
        log=log,
        clock=clock,
        notifier=notifier,
        limits=Limits(
            window=window_of(config),
            min_share=config.own.imports.min_share,
            work_dir=paths.work,
            redo_dir=paths.redo,
            max_unpacked_bytes=config.shared.fetch.max_bytes * UNPACKED_FACTOR,
            pieces_dir=paths.pieces if config.own.search.enabled else None,
        ),
        stopping=stopping.is_set,
    )


def keeper(config: Config, stopping: threading.Event, *, clock: Clock = CLOCK) -> Keeper:
    """The keeper with all it does."""
    paths, own, it = paths_of(config), config.own, stores(config, clock=clock)
    keep_freed()
    plan = Plan(
        import_time=own.scheduler.import_time,
        zone=own.scheduler.timezone,
        window=window_of(config),
        log_days=own.imports.log_days,
        min_interval_s=own.imports.min_interval_minutes * 60,
        jitter_s=own.imports.jitter_s,
        heartbeat=paths.heartbeat,
    )
    return Keeper(
        runs=it.imports,
        providers=it.providers,
        imports=importer(config, it, stopping, clock=clock),
        rows=it.programs,
        mappings=it.channels,
        publications=publishing(config, it, clock=clock),
        lineups=it.lineups,
        decisions=it.mappings,
        clock=clock,
        plan=plan,
        imported=_stream_link(config).guide_imported,
        watch_times=TimesWatch(
            mappings=it.channels, programs=it.programs, log=it.imports, clock=clock, notifier=_notifier()
        ).look,
        ready=lambda: say_ready("keeper"),
        look=levels(config).look,
        stopping=stopping,
        behind=indexing(config, it).work if own.search.enabled else lambda _: False,
    )


def indexing(config: Config, it: Stores) -> Indexing:
    """Keeps the search index."""
    from epg_service.store.search_handed import HandedOver
    from epg_service.store.search_index import SearchIndex  # where the search is switched off nothing else needs them
    from epg_service.xmltv import indexed

    paths = paths_of(config)
    index = SearchIndex(
        paths.search,
        it.connections,
        texts=indexed,
        descriptions=config.own.search.descriptions,
        handed=HandedOver(paths.pieces),
    )
    return Indexing(index=index, damaged=paths.search_damaged)


def _stream_link(config: Config) -> StreamLink:
    return StreamLink(
        asking=WayOut(config),
        stream_url=config.own.stream_url or f"http://127.0.0.1:{stream_port(config)}",
        secret=shared_secret(config),
    )


def publishing(config: Config, it: Stores, *, clock: Clock = CLOCK) -> Publishing:
    """Writes the published files."""
    return Publishing(
        contents=Contents(guide=it.guide, lineups=it.lineups),
        lineups=it.lineups,
        matching=Matching(channels=it.channels, lineups=it.lineups),
        published=published_guides(config),
        clock=clock,
        mark=it.browse.mark,
    )


def window_of(config: Config) -> Window:
    """The configured retention."""
    days = config.own.retention
    past = days.days if days.past_days is None else days.past_days
    future = days.days if days.future_days is None else days.future_days
    return Window(past, future)


def _notifier() -> Notifier:
    return LoggedEvents(logging.getLogger("events"))


def _unpacked(stream: Packed, /, *, max_bytes: int, losses: Losses) -> Plain:
    """What is packed is unpacked ahead of the parser, on the other core where there is one."""
    found = unpacked(stream, max_bytes=max_bytes, losses=losses)
    return Ahead(found) if found.kinds else found


def _source(guides: Feeds) -> Callable[[Provider, LastGoodFile, Progress], AbstractContextManager[Feed]]:
    @contextmanager
    def opened(provider: Provider, good: LastGoodFile, progress: Progress) -> Iterator[Feed]:
        asked = Validators(good.etag, good.last_modified)
        first = provider.good.at is None
        with guides.opened(provider.xmltv_url, asked, progress, known=good.digest, part_will_do=first) as feed:
            yield feed

    return opened
