"""What was freed is used again."""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
from servicekit.memory import keep_freed
if sys.argv[1] == "kept":
    assert keep_freed()
for _ in range(500):
    pieces = [bytes(300_000) + b"x" for _ in range(6)]
    del pieces
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has something to be told")
def test_freed_memory_stays_with_the_process() -> None:
    left, kept = (
        int(subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, check=True).stdout)
        for how in ("left", "kept")
    )
    assert kept < left / 10
