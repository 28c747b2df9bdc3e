"""The ways out: to providers, and to the guide service. Only `wiring` calls it."""

from pathlib import Path

from servicekit.addresses import AddressPolicy, networks
from servicekit.clock import Clock, SystemClock
from servicekit.fetch import Fetcher
from servicekit.store.sqlite import Connections
from stream_service.sources.types import Tools, Ways
from stream_service.store.manual import ManualChannels
from stream_service.wiring.parts import Config, Stores, paths_of

EPG_PORT = 8080


def fetcher_of(config: Config) -> Fetcher:
    """Opens addresses under the configured policy."""
    fetch = config.shared.fetch
    policy = AddressPolicy(networks(fetch.allow), networks(fetch.deny))
    return Fetcher(policy=policy, timeout_s=fetch.timeout_s)


def epg_url_of(config: Config) -> str:
    """Where the guide service answers."""
    return config.own.epg_url or f"http://127.0.0.1:{config.ports.get('epg', EPG_PORT)}"


def ways_to(config: Config, it: Stores) -> Ways:
    """How the lists of sources are got, under the configuration."""
    paths = paths_of(config)
    return ways_of(
        it.connections,
        fetcher=fetcher_of(config),
        import_dir=paths.import_dir,
        spool_dir=paths.work,
        max_bytes=config.shared.fetch.max_bytes,
        clock=SystemClock(),
    )


def ways_of(
    connections: Connections, *, fetcher: Fetcher, import_dir: Path, spool_dir: Path, max_bytes: int, clock: Clock
) -> Ways:
    """How the lists of sources are got."""
    return Ways(
        Tools(
            fetcher=fetcher,
            import_dir=import_dir,
            spool_dir=spool_dir,
            max_bytes=max_bytes,
            clock=clock,
            typed_channels=ManualChannels(connections).of,
        )
    )
