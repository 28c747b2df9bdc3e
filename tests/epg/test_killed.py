"""kill -9 of a process that imports, at random and at chosen instants: the guide is old or new, channel by channel."""

import random
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from servicekit.store.sqlite import integrity
from tests.epg.guidekit import MIDNIGHT, Station, guide_of, hourly, python
from tests.waiting import until

CHANNELS, HOURS = 40, 120

IMPORT = """
import sys, threading
from pathlib import Path
from tests.epg.guidekit import Station

station = Station(Path(sys.argv[1]))
work = station.keeper()
print("up", flush=True)
sys.stdin.readline()
work.work_off()
print("done", flush=True)
"""

# The same, ending itself where the argument says: inside a collaborator that the test wraps.
IMPORT_AND_DIE = """
import os, signal, sys
from pathlib import Path
from epg_service.importer.redo import RedoLog
from epg_service.store import applying
from tests.epg.guidekit import Station

where = sys.argv[2]
applying.LOCK_S = 0.0

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

decide, days, remove, replace = RedoLog.decide, RedoLog.days, RedoLog.remove, applying.replace_days
count = 0

def replaced(*arguments):
    global count
    count += 1
    if count == 20:  # channels, of 40
        die()
    return replace(*arguments)

if where == "before the verdict is kept":
    RedoLog.decide = die
elif where == "after the verdict is kept":
    RedoLog.decide = lambda self, decided: (decide(self, decided), die())
elif where == "in the midst of a transaction":
    applying.replace_days = replaced
elif where == "before the end is told":
    applying.Applying.finish = die
elif where == "before the log is removed":
    RedoLog.remove = die
station = Station(Path(sys.argv[1]))
station.keeper().work_off()
"""


def guide(word: str) -> bytes:
    return guide_of([one for n in range(CHANNELS) for one in hourly(f"c{n}", MIDNIGHT, HOURS, word)])


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    made = Station(tmp_path)
    made.take(guide("Old"))
    yield made
    made.close()


def words(station: Station) -> list[set[str]]:
    return [{title.split()[0] for title in station.titles(f"c{n}")} for n in range(CHANNELS)]


def whole(station: Station) -> bool:
    return all(len(one) == 1 for one in words(station)) and all(
        len(station.titles(f"c{n}")) == HOURS for n in range(CHANNELS)
    )


def taken_over(station: Station, run_id: int) -> str:
    """What the next keeper makes of the run, checked."""
    assert integrity(station.paths.database) == []
    assert whole(station), "killed: each channel is old or new"
    station.keeper().work_off()
    status = station.it.imports.get(run_id).status
    assert integrity(station.paths.database) == []
    assert whole(station), "taken over: each channel is old or new"
    assert {len(one) for one in words(station)} == {1}
    assert len(set.union(*words(station))) == 1, "the whole guide is old or new"
    assert not any(station.paths.redo.glob("*"))
    return status


@pytest.mark.parametrize(
    ("where", "status", "word"),
    [
        ("before the verdict is kept", "interrupted", "Old"),
        ("after the verdict is kept", "success", "New"),
        ("in the midst of a transaction", "success", "New"),
        ("before the end is told", "success", "New"),
        ("before the log is removed", "success", "New"),
    ],
)
def test_a_kill_at_a_chosen_instant(station: Station, where: str, status: str, word: str) -> None:
    station.lay(guide("New"))
    run = station.it.imports.enqueue(1, reason="manual")
    child = python(IMPORT_AND_DIE, str(station.folder), where)
    assert child.wait(60) == -signal.SIGKILL
    assert taken_over(station, run.id) == status
    assert words(station)[0] == {word}
    station.take(guide("Next"))
    assert words(station)[0] == {"Next"}, "the next import works as ever"


@pytest.mark.parametrize("kills", [12, pytest.param(300, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])])
def test_kills_at_random_instants_leave_a_guide_that_is_whole(station: Station, kills: int) -> None:
    chance = random.Random(20260310)
    ends: dict[str, int] = {}
    for number in range(kills):
        station.lay(guide(f"Round{number}"))
        run = station.it.imports.enqueue(1, reason="manual")
        child = python(IMPORT, str(station.folder), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert child.stdin
        assert child.stdout
        assert child.stdout.readline() == b"up\n"
        killing = threading.Timer(chance.uniform(0.002, 0.12), child.kill)
        child.stdin.write(b"go\n")
        child.stdin.flush()
        killing.start()
        child.wait(60)
        killing.join()
        child.stdin.close()
        child.stdout.close()
        status = taken_over(station, run.id)
        ends[status] = ends.get(status, 0) + 1
        assert status in ("success", "interrupted"), ends
    assert sum(ends.values()) == kills
    until(lambda: station.it.imports.running() == [], what="no run to be left running")
