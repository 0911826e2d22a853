"""libvips, set up for untrusted files. Every other module of imaging takes `pyvips` from here.

libvips knows these settings only for the whole process:

- no operation cache, which would hold pictures of earlier calls;
- one thread a picture, since a Ray task owns one core;
- no loader that libvips itself does not trust;
- no warnings, of which a hostile file can cause thousands. The ones that matter are errors by `fail_on`.

pyvips (3.2) hands the messages of libvips to `logging`. While one is handled, the garbage collector may free a picture,
and libvips may have a message about that, too. GLib aborts the process because of the recursion. Damaged files did this
within seconds, so the handler is removed.
"""

from __future__ import annotations

import os
from typing import Any, TypeAlias

os.environ["VIPS_WARNING"] = "0"  # any value silences; libvips reads it once, when it is loaded

import pyvips

pyvips._remove_log_handler()  # noqa: SLF001 - there is no public way
pyvips.block_untrusted_set(True)  # noqa: FBT003 - the signature is of pyvips
pyvips.cache_set_max(0)
pyvips.concurrency_set(1)

VipsImage: TypeAlias = Any
"""The type of a `pyvips.Image`, for which pyvips has no annotations."""

__all__ = ["VipsImage", "pyvips"]
