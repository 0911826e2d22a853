"""libvips, set up for pictures of strangers; every other module takes `pyvips` from here.

Process-wide, because libvips knows it no other way: no operation cache (it would hold pictures of earlier calls), one
thread a picture (a Ray task owns one core), no loader that libvips itself does not trust, and no warnings: a hostile
file can cause thousands, and those that matter are errors by `fail_on`.

pyvips (3.2) hands libvips' messages to `logging`. While a message is handled the garbage collector may free a picture,
libvips may have a message about that, too, and GLib aborts the process because of the recursion. Damaged files did
this within seconds, so the handler is taken off.
"""

from __future__ import annotations

import os
from typing import Any, TypeAlias

os.environ["VIPS_WARNING"] = "0"  # its presence silences; read once, when the library starts

import pyvips

pyvips._remove_log_handler()  # noqa: SLF001 - there is no public way
pyvips.block_untrusted_set(True)  # noqa: FBT003 - the signature is of pyvips
pyvips.cache_set_max(0)
pyvips.concurrency_set(1)

VipsImage: TypeAlias = Any
"""A `pyvips.Image`; pyvips has no types."""

__all__ = ["VipsImage", "pyvips"]
