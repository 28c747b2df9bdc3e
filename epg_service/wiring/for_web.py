"""The parts of a web worker."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from epg_service.domain.entities import Provider
from epg_service.lineups.publish import Contents
from epg_service.lineups.published import PublishedGuides
from epg_service.lineups.variants import Variants
from epg_service.providers.feed import Feeds
from epg_service.store.search import Search
from epg_service.wiring.parts import (
    CLOCK,
    Config,
    Paths,
    Stores,
    feeds,
    levels,
    paths_of,
    published_guides,
    settings,
    shared_secret,
    stores,
    stream_port,
)
from servicekit.addresses import networks
from servicekit.callers import in_container
from servicekit.clock import Clock
from servicekit.errors import AerialError
from servicekit.health import Checks, State, alive
from servicekit.keys import admin_token
from servicekit.levels import LevelFollower
from servicekit.metrics import Metrics, Sample
from servicekit.settings import Settings
from servicekit.web import Door


@dataclass(frozen=True, slots=True)
class Web:
    """What a web worker is made of."""

    stores: Stores
    search: Search | None
    published: PublishedGuides
    variants: Variants
    feeds: Feeds
    clock: Clock
    main_guide: str
    max_upload_bytes: int
    stream_port: int
    door: Door
    checks: Checks
    metrics: Metrics
    settings: Settings
    levels: LevelFollower


def web(config: Config, *, clock: Clock = CLOCK) -> Web:
    """The parts of a web worker."""
    paths, it = paths_of(config), stores(config, clock=clock)
    shared, own = config.shared, config.own
    published = published_guides(config)
    door = Door(
        admin_token=admin_token(config.data_dir),
        internal_secret=shared_secret(config),
        public_url=shared.public_url,
        trusted_proxies=networks(shared.trusted_proxies),
        cors_origins=own.server.cors_origins if own.server.cors_enabled else (),
        debug=own.server.debug,
        in_container=in_container(),
    )
    return Web(
        stores=it,
        search=Search(paths.search, paths.database, damaged=paths.search_damaged) if own.search.enabled else None,
        published=published,
        variants=Variants(published=published, rendered=Contents(guide=it.guide, lineups=it.lineups)),
        feeds=feeds(config),
        clock=clock,
        main_guide=own.guide.main,
        max_upload_bytes=shared.fetch.max_bytes,
        stream_port=stream_port(config),
        door=door,
        checks=_checks(it, paths),
        metrics=Metrics("aerial_epg", figures=_figures(it)),
        settings=settings(config),
        levels=levels(config),
    )


def _checks(it: Stores, paths: Paths) -> Checks:
    def state() -> State:
        try:
            providers = it.providers.all()
            failing = [one.name for one in providers if one.enabled and _last_failed(it, one)]
        except AerialError as error:
            return State(usable=False, reasons=(error.detail,))
        reasons = [f"the last import of {name} did not succeed" for name in failing]
        if not alive(paths.heartbeat):
            reasons.append("the keeper is not running: nothing is imported")
        return State(reasons=tuple(reasons), detail={"service": "epg", "providers": len(providers)})

    def not_ready() -> str | None:
        return None if alive(paths.heartbeat) else "the keeper is not up yet"

    return Checks(state=state, not_ready=not_ready)


def _last_failed(it: Stores, provider: Provider) -> bool:
    runs = [run for run in it.imports.latest(limit=5, provider_id=provider.id) if run.completed_at is not None]
    return bool(runs) and runs[0].status in ("failed", "rejected", "interrupted")


def _figures(it: Stores) -> Callable[[], list[Sample]]:
    """Figures of imports, read from the store; those of the whole guide are read at most once in half a minute."""
    kept: list[tuple[float, list[Sample]]] = []

    def figures() -> list[Sample]:
        if not kept or time.monotonic() - kept[0][0] > 30:
            kept[:] = [(time.monotonic(), _read_figures(it))]
        return kept[0][1]

    return figures


def _read_figures(it: Stores) -> list[Sample]:
    stats = it.programs.stats()
    found: list[Sample] = [
        ("gauge", "aerial_epg_programs", "Programmes in the guide.", {}, stats.total_programs),
        ("gauge", "aerial_epg_channels_with_programs", "Channels with programmes.", {}, stats.channels_with_epg),
    ]
    for one in it.providers.all():
        labels = {"provider": str(one.id)}
        at = float(one.good.at or 0)
        found.append(("gauge", "aerial_epg_last_good_import_seconds", "Epoch of the last good import.", labels, at))
        for run in it.imports.latest(limit=1, provider_id=one.id):
            imported, skipped = float(run.programs_imported), float(run.programs_skipped)
            found.append(("gauge", "aerial_epg_run_imported", "Programmes of the last run.", labels, imported))
            found.append(("gauge", "aerial_epg_run_skipped", "Programmes the last run left out.", labels, skipped))
    return found
