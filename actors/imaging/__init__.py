"""Image work: bytes of an image in, bytes of smaller ones out. It imports neither Ray nor a store."""

from __future__ import annotations

from actors.imaging.allocator import keep_freed_memory
from actors.imaging.compress import compress
from actors.imaging.formats import CONTENT_TYPES, EXTENSIONS
from actors.imaging.gate import Limits
from actors.imaging.outputs import Compressed

__all__ = ["CONTENT_TYPES", "EXTENSIONS", "Compressed", "Limits", "compress", "keep_freed_memory"]
