"""The relay beside its floor: CPU seconds per GB delivered, time to the first byte of a join, the end at SIGTERM.

    python -m benchmarks.relay [--clients 300] [--channels 1] [--mbps 8] [--window 15]

Both carry the same streams to the same number of clients at the same time, on this machine: our relay under gunicorn's
gevent worker, and a fan-out in C (`fanout.c`, compiled on the spot; in Python where no compiler is) that does nothing
but send. The first seconds are not counted: a relay whose ring still fills pays for fresh memory. Differences under
10 % mean nothing.
"""

import argparse
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.relaykit import (
    Clients,
    Side,
    ask,
    cpu_per_gb,
    end_by_sigterm,
    figures,
    floor_command,
    free_port,
    our_relay,
    provider,
    shown,
    started,
)

WARM_UP_S = 16.0
JOINS = 40


def joins(side: Side) -> list[float]:
    """Milliseconds from the connection to the first byte of picture, for viewers who come one after another."""
    found = []
    for _ in range(JOINS):
        began = time.monotonic()
        sock, early = ask(side.port, side.paths()[0])
        if not early:
            sock.recv(1)
        found.append((time.monotonic() - began) * 1000)
        sock.close()
        time.sleep(0.05)
    return sorted(found)


def run(clients: int, channels: int, mbps: float, window_s: float) -> dict[str, object]:
    """Both sides, side by side; the figures by name."""
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        upstream_port = stack.enter_context(provider(mbps))
        floor_port = free_port()
        floor_name, command = floor_command(scratch, floor_port, upstream_port, channels)
        floor = Side(floor_name, floor_port, "/{}", stack.enter_context(started(command, floor_port)))
        ours = stack.enter_context(our_relay(scratch, upstream_port, channels=channels))
        crowds = []
        for side in (floor, ours):
            crowds.append(Clients(side.port, side.paths(channels), clients))
            stack.callback(crowds[-1].close)
        time.sleep(WARM_UP_S)
        figures(ours)
        (floor_cpu, floor_mb), (our_cpu, our_mb) = cpu_per_gb((floor, ours), crowds, window_s)
        late_s = figures(ours)["late_s"]
        first_bytes_ms = joins(ours)
        drain_s, on_boundary = end_by_sigterm(ours, crowds[1])
    return {
        "clients": clients,
        "channels": channels,
        "floor": floor_name,
        "floor_cpu_s_per_gb": round(floor_cpu, 4),
        "floor_mb_per_s": round(floor_mb, 1),
        "relay_cpu_s_per_gb": round(our_cpu, 4),
        "relay_mb_per_s": round(our_mb, 1),
        "ratio": round(our_cpu / floor_cpu, 2),
        "wheel_late_max_ms": round(late_s * 1000, 1),
        "join_first_byte_p50_ms": round(statistics.median(first_bytes_ms), 1),
        "join_first_byte_max_ms": round(first_bytes_ms[-1], 1),
        "sigterm_all_ended_s": round(drain_s, 2),
        "ended_on_packet_boundary": on_boundary,
    }


def main() -> None:
    """Measure and print; the last line is JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clients", type=int, default=300)
    parser.add_argument("--channels", type=int, default=1)
    parser.add_argument("--mbps", type=float, default=8.0)
    parser.add_argument("--window", type=float, default=15.0, metavar="SECONDS")
    given = parser.parse_args()
    if not sys.platform.startswith("linux"):
        raise SystemExit("this benchmark reads /proc and needs Linux")
    found = run(given.clients, given.channels, given.mbps, given.window)
    shown(found)
    print(f"promise: at most 1.1 x the floor at 300 clients; here {found['ratio']} x at {found['clients']}")


if __name__ == "__main__":
    main()
