"""The C library's allocator, set for a process that makes pictures of megabytes, one after another.

By default glibc gives every large piece back to the kernel when it is freed, and the next picture pays for clean pages
again: a JPEG of 2.5 megapixels took 33 ms instead of 23. Source: mallopt(3).
"""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_MEBIBYTE = 1024 * 1024
_SETTINGS = {
    _M_ARENA_MAX: 1,  # one thread compresses; with an arena a thread, each would keep its own free memory
    _M_MMAP_THRESHOLD: 32 * _MEBIBYTE,  # the most that glibc takes
    _M_TRIM_THRESHOLD: 64 * _MEBIBYTE,  # what may stay free at the top
}


def keep_freed_memory() -> None:
    """Let this process keep some freed memory for the next picture; does nothing where the C library is not glibc."""
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        for parameter, value in _SETTINGS.items():
            library.mallopt(parameter, value)
