"""What this process holds: descriptors, threads, children. After a test there must be no more of it than before."""

import gc
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.waiting import until


@contextmanager
def leaves_nothing() -> Iterator[None]:
    """Fails when something is still held after the body that was not held before it."""
    gc.collect()  # what earlier tests forgot to close is not this one's
    before = held()
    yield
    until(lambda: not more_than(before), what=f"what is held to go: {dict(more_than(before))}")


def more_than(before: Counter[str]) -> Counter[str]:
    """What is held now and was not then."""
    found = held() - before
    if found:
        gc.collect()
        found = held() - before
    return found


def held() -> Counter[str]:
    """Open descriptors by what they are, live threads by name, children by number."""
    found = Counter(f"thread {thread.name}" for thread in threading.enumerate())
    if not sys.platform.startswith("linux"):
        return found
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # the listing's own descriptor
            found[f"open {str(entry.readlink()).split(':')[0]}"] += 1
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):
            found.update(f"child {child}" for child in (task / "children").read_text().split())
    return found
