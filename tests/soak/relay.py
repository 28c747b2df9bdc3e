"""The relay for an hour: zapping, failing providers, slow and rude viewers, at a load that a small machine carries.

    make soak                     an hour;  make soak MINUTES=8
    python -m tests.soak.relay --minutes 8

The service runs as a person starts it. Its provider fails in every way that the tests know. At the end: no fault that
a viewer may never see, memory that did not grow between the second and the last quarter, and no slot, channel, child or
descriptor more than at the beginning. The last line is JSON; exit status 1 when something is wrong.
"""

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from urllib.request import Request, urlopen

import psutil

from benchmarks.relaykit import free_port, started
from tests.soak.viewers import Audience
from tests.stream.relaykit import upstream as words
from tests.stream.relaykit.upstream import ScriptedUpstream, Step

CHANNELS, STREAMS_EACH, SLOTS = 6, 2, 4
SAMPLE_S = 5.0
SETTLE_S = 90.0
GROWTH = 1.10
"""Memory may differ by so much between two quarters of a run: rings fill and empty as channels come and go."""
SCRIPTS_EACH = 400


def troubles(chance: random.Random) -> list[Step]:
    """What one connection to the provider goes through."""
    good = [words.live(every_s=0.04, pictures=chance.randrange(100, 1_500))]
    kinds: list[list[Step]] = [
        [*good, words.ends()],
        [*good, words.resets()],
        [*good, words.hangs(20)],
        [words.chunked(), *good, words.ends()],
        [words.junk(), *good, words.ends()],
        [words.drips(size=188, every_s=0.01, pictures=20), *good, words.ends()],
        [words.html()],
        [words.status("403 Forbidden")],
        [words.status("502 Bad Gateway")],
        [words.junk(b""), words.hangs(10)],
        [words.live(every_s=0.04, pictures=1_000_000)],
    ]
    return chance.choices(kinds, weights=[6, 4, 3, 3, 2, 1, 1, 1, 1, 1, 6])[0]


@contextmanager
def service(directory: Path, provider: ScriptedUpstream, seed: int) -> Iterator[tuple[int, "Popen[bytes]"]]:
    """The stream service with two accounts at the failing provider; its port and its process."""
    chance, port = random.Random(seed), free_port()
    (directory / "import").mkdir()
    for account in range(STREAMS_EACH):
        entries = []
        for n in range(CHANNELS):
            scripts = [troubles(chance) for _ in range(SCRIPTS_EACH)]
            url = provider.script(f"/{account}/{n}", *scripts)
            entries.append(f'#EXTINF:-1 tvg-id="soak{n}.x",Soak {n}\n{url}')
        (directory / "import" / f"{account}.m3u").write_text("\n".join(("#EXTM3U", *entries, "")))
    config = directory / "config.yaml"
    relay = "relay: {first_byte_s: 8, stall_s: 5, grace_s: 3, slate_s: 15, stuck_s: 15, breaker_open_s: 5}"
    config.write_text(f"data_dir: {directory}\nstream:\n  server: {{host: 127.0.0.1, port: {port}}}\n  {relay}\n")
    log = (directory / "log").open("wb")
    with log, started([sys.executable, "-m", "stream_service", str(config)], port, said=log.fileno()) as process:
        for account in range(STREAMS_EACH):
            made = {"name": f"account {account}", "type": "m3u", "url": f"{account}.m3u", "connection_limit": SLOTS}
            post(port, "/api/v1/sources", made)
            post(port, f"/api/v1/sources/{account + 1}/refresh", {})
        yield port, process


def post(port: int, path: str, body: dict[str, object]) -> None:
    asked = Request(
        f"http://127.0.0.1:{port}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}, method="POST"
    )
    urlopen(asked, timeout=30).close()


def get(port: int, path: str) -> dict[str, list[dict[str, object]]]:
    with urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
        found: dict[str, list[dict[str, object]]] = json.load(answer)
        return found


def metrics(port: int) -> dict[str, float]:
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        lines = [line.split() for line in answer.read().decode().splitlines() if line.startswith("aerial_relay_")]
    return {name.removeprefix("aerial_relay_"): float(value) for name, value in lines if "{" not in name}


def holds(process: "Popen[bytes]") -> dict[str, float]:
    """Memory of the whole tree in MB, descriptors, processes."""
    memory, descriptors, processes = 0, 0, 0
    for one in [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]:
        try:
            memory += one.memory_full_info().pss
            descriptors += one.num_fds()
            processes += 1
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return {"mb": memory / 1e6, "descriptors": descriptors, "processes": processes}


def channels_of(port: int) -> list[str]:
    """The channels' ids, once all have come."""
    until = time.monotonic() + 60
    while len(items := get(port, "/api/v1/channels")["items"]) < CHANNELS:
        if time.monotonic() > until:
            raise SystemExit("the channels did not come")
        time.sleep(0.5)
    time.sleep(2.0)  # the catalogue follows within a second
    return [str(one["id"]) for one in items]


def watched(port: int, process: "Popen[bytes]", minutes: float, seed: int) -> tuple[list[float], Audience]:
    """Viewers come and go for so long; memory at every sample."""
    audience = Audience(port, channels_of(port), seed=seed)
    for behaviour, count in (
        (audience.watches, 6), (audience.zaps, 8), (audience.is_slow, 3), (audience.never_reads, 2),
        (audience.resets, 3), (audience.plays_hls, 2),
    ):  # fmt: skip
        audience.begin(behaviour, count)
    ends, memory = time.monotonic() + minutes * 60, []
    while time.monotonic() < ends:
        time.sleep(SAMPLE_S)
        now = holds(process)
        memory.append(now["mb"])
        if len(memory) % 12 == 0:
            print(f"{len(memory) * SAMPLE_S / 60:5.1f} min  {now}  {dict(audience.seen)}", flush=True)
    audience.stop()
    return memory, audience


def settled(port: int, process: "Popen[bytes]", before: dict[str, float]) -> list[str]:
    """What is still held when everybody has left and the relay has had its time."""
    until = time.monotonic() + SETTLE_S
    while True:
        now, told, sessions = holds(process), metrics(port), get(port, "/api/v1/relay/sessions")["items"]
        left = [f"{name}: {now[name]:g}, before {before[name]:g}" for name in ("descriptors", "processes")
                if now[name] > before[name]]  # fmt: skip
        left += [f"{name}: {told[name]:g}" for name in ("slots", "clients") if told[name]]
        left += [f"channel {one['id']}: {one['state']}" for one in sessions]
        if not left or time.monotonic() > until:
            return left
        time.sleep(1.0)


def run(minutes: float, seed: int) -> dict[str, object]:
    """The figures, and `faults`, which must be empty."""
    with tempfile.TemporaryDirectory() as name, ScriptedUpstream() as provider:
        with service(Path(name), provider, seed) as (port, process):
            watched(port, process, 0.5, seed)  # connections to the database, threads and caches are made once
            time.sleep(20.0)
            before = holds(process)
            memory, audience = watched(port, process, minutes, seed + 1)
            totals = metrics(port)
            left = settled(port, process, before)
        log = (Path(name) / "log").read_text("utf-8", "replace")
        quarter = max(1, len(memory) // 4)
        second, last = statistics.median(memory[quarter : 2 * quarter] or memory), statistics.median(memory[-quarter:])
        faults = [*audience.faults, *left]
        if last > second * GROWTH:
            faults.append(f"memory grew from {second:.0f} to {last:.0f} MB")
        faults += [line for line in log.splitlines() if "Traceback" in line or " ERROR " in line][:20]
    return {
        "minutes": minutes,
        "memory_mb": {"before": round(before["mb"]), "second_quarter": round(second), "last_quarter": round(last)},
        "viewers": dict(audience.seen),
        "relay": {name: value for name, value in totals.items() if name.endswith("_total") and value},
        "faults": faults,
    }


def main() -> int:
    """Run, print, and say by the exit status whether all was well."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    found = run(given.minutes, given.seed)
    print(json.dumps(found))
    return 1 if found["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
