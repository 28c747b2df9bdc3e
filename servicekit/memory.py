"""How the C library deals with memory that was freed."""

import ctypes

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # of glibc's <malloc.h>
KEPT_BYTES = 8 << 20
"""So much that was freed stays with each heap of the process."""
_LARGE_BYTES = 4 << 20
_STEP_BYTES = 1 << 20


def keep_freed() -> bool:
    """Sees to it that memory for pieces of a file is used again; whether the C library knows how.

    Left to itself glibc hands freed memory back to the kernel from 128 KiB on, and gets it again zeroed, a fault a
    page: some 4 % of the work of an import that goes through its file in pieces of 256 KiB. Others (musl, macOS) stay
    as they are.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return False
    values = ((_TRIM_THRESHOLD, KEPT_BYTES), (_TOP_PAD, _STEP_BYTES), (_MMAP_THRESHOLD, _LARGE_BYTES))
    return all([mallopt(name, value) for name, value in values])
