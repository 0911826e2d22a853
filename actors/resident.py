"""How much memory this process has."""

from __future__ import annotations

import os
from pathlib import Path

_STATM = Path("/proc/self/statm")
_RESIDENT = 1  # the field, in pages; see proc(5)


def resident_bytes() -> int:
    """The resident set size of this process now."""
    return int(_STATM.read_text().split()[_RESIDENT]) * os.sysconf("SC_PAGE_SIZE")
