"""Image work: bytes of a picture in, bytes of a smaller one out. Knows nothing of Ray or the network."""

from __future__ import annotations

from actors.imaging.allocator import keep_freed_memory
from actors.imaging.compress import compress
from actors.imaging.formats import CONTENT_TYPES, EXTENSIONS
from actors.imaging.gate import Limits
from actors.imaging.outputs import Compressed

__all__ = ["CONTENT_TYPES", "EXTENSIONS", "Compressed", "Limits", "compress", "keep_freed_memory"]
