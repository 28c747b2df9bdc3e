"""A disk that fails: the nth write is refused, once or from then on; no file may grow any more. The guide stays whole.

SQLite's files are opened through a layer of ours (apsw's VFS) that counts writes and refuses the one it is told to.
What else is written (downloads, the redo log, published guides) fails in a process that may write no long files.
"""

import contextlib
import random
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from servicekit.errors import AerialError
from servicekit.store.sqlite import integrity
from tests.epg.guidekit import MIDNIGHT, Station, guide_of, hourly, python

CHANNELS, HOURS = 12, 60
NAME = "refusing"

IMPORT_ON_A_FULL_DISK = """
import contextlib, resource, signal, sys
from pathlib import Path
from tests.epg.guidekit import Station

station = Station(Path(sys.argv[1]))
work = station.keeper()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write beyond the limit is then refused with EFBIG
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
work.work_off()
"""


class Disk(apsw.VFS):
    """Refuses writes from the `first` on, `count` of them; counts all of them."""

    def __init__(self) -> None:
        self.written, self.first, self.count = 0, 0, 0
        self.error: type[apsw.Error] = apsw.FullError
        super().__init__(NAME, "unix", makedefault=True)

    def xOpen(self, name: object, flags: list[int]) -> "File":
        return File(self, name, flags)

    def refuse(self, first: int, *, count: int, error: type[apsw.Error]) -> None:
        self.written, self.first, self.count, self.error = 0, first, count, error

    def heal(self) -> None:
        self.count = 0

    def write(self) -> None:
        self.written += 1
        if 0 <= self.written - self.first < self.count:
            raise self.error("refused by the test")


class File(apsw.VFSFile):
    def __init__(self, disk: Disk, name: object, flags: list[int]) -> None:
        self._disk = disk
        super().__init__("unix", name, flags)  # type: ignore[arg-type]

    def xWrite(self, data: bytes, offset: int) -> None:
        self._disk.write()
        super().xWrite(data, offset)


@pytest.fixture
def disk() -> Iterator[Disk]:
    made = Disk()
    yield made
    made.heal()
    made.unregister()


def guide(word: str) -> bytes:
    return guide_of([one for n in range(CHANNELS) for one in hourly(f"c{n}", MIDNIGHT, HOURS, word)])


def words(station: Station) -> list[set[str]]:
    return [{title.split()[0] for title in station.titles(f"c{n}")} for n in range(CHANNELS)]


def check_whole(station: Station, *, old: str, new: str) -> None:
    found = words(station)
    assert all(one in ({old}, {new}) for one in found), found
    assert all(len(station.titles(f"c{n}")) == HOURS for n in range(CHANNELS))


def work(station: Station) -> None:
    """The keeper's turn. What comes out of it has a kind or is SQLite's own: the process would be started again."""
    with contextlib.suppress(AerialError, apsw.Error):
        station.keeper().work_off()


def asked(station: Station, word: str) -> int:
    station.lay(guide(word))
    return station.it.imports.enqueue(1, reason="manual").id


def settled(station: Station, run_id: int, *, old: str, new: str) -> str:
    """What the next keeper, on a disk that works again, makes of the run; returns the guide's word."""
    check_whole(station, old=old, new=new)
    work(station)
    run = station.it.imports.get(run_id)
    assert run.completed_at is not None, run
    assert run.status == "success" or run.error_message, "a run that did not succeed says why"
    found = words(station)
    assert len(set(map(frozenset, found))) == 1, "in the end the whole guide is old or new"
    assert found[0] in ({old}, {new})
    assert integrity(station.paths.database) == []
    return next(iter(found[0]))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # a refusal while SQLite closes a file
@pytest.mark.parametrize("failures", [40, pytest.param(400, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("count", "error"),
    [(1, apsw.IOError), (1 << 30, apsw.FullError)],
    ids=["one write fails", "the disk is full from then on"],
)
def test_the_nth_write_of_the_database_fails(
    disk: Disk, tmp_path: Path, count: int, error: type[apsw.Error], failures: int
) -> None:
    station = Station(tmp_path)
    station.take(guide("Round0"))
    disk.refuse(0, count=0, error=error)
    asked(station, "Round1")
    work(station)
    writes, word, chance = disk.written, "Round1", random.Random(7)
    for number in range(2, failures + 2):
        run_id = asked(station, wanted := f"Round{number}")
        disk.refuse(chance.randint(1, writes), count=count, error=error)
        work(station)
        disk.heal()
        word = settled(station, run_id, old=word, new=wanted)
    assert station.take(guide("Last")).status == "success"
    assert words(station)[0] == {"Last"}
    station.close()


@pytest.mark.parametrize("most_bytes", [0, 4_096, 20_000, 70_000, 150_000, 400_000])
def test_no_file_may_grow_beyond(tmp_path: Path, most_bytes: int) -> None:
    station = Station(tmp_path)
    station.take(guide("Old"))
    run_id = asked(station, "New")
    python(IMPORT_ON_A_FULL_DISK, str(tmp_path), str(most_bytes)).wait(120)
    settled(station, run_id, old="Old", new="New")
    assert station.take(guide("Last")).status == "success"
    assert words(station)[0] == {"Last"}
    station.close()
