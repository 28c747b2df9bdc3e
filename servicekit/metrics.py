"""Figures for Prometheus. A service with several web workers shares them through files; one worker keeps its own.

The guide service sets PROMETHEUS_MULTIPROC_DIR before its web workers start (its supervisor empties the directory);
the stream service has one worker and a plain registry.
"""

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

MULTIPROC_DIR = "PROMETHEUS_MULTIPROC_DIR"
CONTENT_TYPE = CONTENT_TYPE_LATEST
_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_ROOM_BYTES = 512 * 1024  # a few times what all routes need; a file that outgrew it would have holes again
_log = logging.getLogger("metrics")

Sample = tuple[str, str, str, dict[str, str], float]
"""Kind (`gauge` or `counter`), name, help, labels, value."""


class Metrics:
    """Counts requests, and asks `figures` (of imports, of the relay) at each scrape."""

    def __init__(self, prefix: str, *, figures: Callable[[], Iterable[Sample]]) -> None:
        self._registry = CollectorRegistry()
        self._figures = figures
        self._counting = _has_room(os.environ.get(MULTIPROC_DIR))
        self._requests = Counter(
            f"{prefix}_http_requests_total",
            "Requests answered.",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            f"{prefix}_http_request_seconds", "Time to answer.", ("route",), buckets=_BUCKETS_S, registry=self._registry
        )

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Counts one answered request under its route's rule (never its path: that is unbounded)."""
        if not self._counting:
            return
        named = method if method in _METHODS else "other"  # a client may invent thousands
        self._requests.labels(named, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def render(self) -> bytes:
        """The text of `/metrics`."""
        shared = os.environ.get(MULTIPROC_DIR)
        registry = self._registry
        if shared:
            registry = CollectorRegistry()
            MultiProcessCollector(registry, shared)  # type: ignore[no-untyped-call]
        asked = CollectorRegistry()
        asked.register(_Asked(self._figures))
        return generate_latest(registry) + generate_latest(asked)


def _has_room(shared: str | None) -> bool:
    """Whether counting is safe: the shared files are mapped memory, and the kernel ends a process (SIGBUS) that writes
    into a hole of one when the disk is full. So their room is written before anything is counted."""
    if not shared:
        return True
    files = [Path(shared) / f"{kind}_{os.getpid()}.db" for kind in ("counter", "histogram")]  # as they are called there
    try:
        for file in files:
            if not file.exists():
                file.write_bytes(bytes(_ROOM_BYTES))
    except OSError as reason:
        _log.warning("requests are not counted: there is no room for the figures (%s)", reason)
        for file in files:
            file.unlink(missing_ok=True)
        return False
    return True


class _Asked(Collector):
    def __init__(self, figures: Callable[[], Iterable[Sample]]) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        families: dict[str, GaugeMetricFamily | CounterMetricFamily] = {}
        for kind, name, text, labels, value in self._figures():
            if name not in families:
                family = CounterMetricFamily if kind == "counter" else GaugeMetricFamily
                families[name] = family(name, text, labels=list(labels))
            families[name].add_metric(list(labels.values()), value)
        yield from families.values()

    def describe(self) -> Iterable[Metric]:
        return ()
