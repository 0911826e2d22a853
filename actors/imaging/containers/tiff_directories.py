"""The directories of a TIFF or BigTIFF: its pages, and the pictures that belong to a page.

Sources: Adobe, "TIFF, revision 6.0" and "TIFF Technical Note 1" (`SubIFDs`), and libtiff, "BigTIFF".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from actors.imaging.header import MAX_BLOCKS, corrupt, unpack
from cluster.errors import ImageError

KIND, OLD_KIND, WIDTH, HEIGHT, COMPRESSION, PHOTOMETRIC, SAMPLES = 254, 255, 256, 257, 259, 262, 277
TILE_WIDTH, TILE_HEIGHT, DNG_VERSION = 322, 323, 50706
_INNER = 330  # the directories that belong to this one
_TAGS = frozenset(
    {
        *(KIND, OLD_KIND, WIDTH, HEIGHT, COMPRESSION, PHOTOMETRIC, SAMPLES),
        *(TILE_WIDTH, TILE_HEIGHT, DNG_VERSION, _INNER),
    },
)
_BIG = 43  # the version of BigTIFF
_LAYOUTS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}  # the field types that these tags use
_MAX_INNER = 100


@dataclass(slots=True)
class Directory:
    """One picture.

    Attributes:
        fields: The values of the tags that matter.
        inner: The positions of the directories that belong to it.
        following: The position of the next page, or 0.
    """

    fields: dict[int, int] = field(default_factory=dict)
    inner: tuple[int, ...] = ()
    following: int = 0

    @property
    def width(self) -> int:
        """The width in pixels."""
        return self.fields.get(WIDTH, 0)

    @property
    def height(self) -> int:
        """The height in pixels."""
        return self.fields.get(HEIGHT, 0)


@dataclass(frozen=True, slots=True)
class Directories:
    """The pictures of a file.

    Attributes:
        pages: The pages in their order, the first one always among them.
        parts: The pictures that belong to a page: other sizes of it, masks, or the data of a camera.
    """

    pages: list[Directory]
    parts: list[Directory]


def read_directories(data: bytes) -> Directories:
    """Read all directories. A broken one behind the first page ends the list.

    Raises:
        ImageError: `corrupt_image`, when the first page is missing or broken, or the directories are too long.
    """
    return _Reader(data).read()


class _Reader:
    """Reads the directories of one file. The number of its steps is bounded."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._order = "<" if data[:2] == b"II" else ">"
        is_big = self._unpack("H", 2)[0] == _BIG
        self._first = 8 if is_big else 4
        self._offset, self._offset_bytes = ("Q", 8) if is_big else ("I", 4)
        self._counter, self._counter_bytes = ("Q", 8) if is_big else ("H", 2)
        self._entry_bytes = 4 + 2 * self._offset_bytes
        self._entries = 0

    def read(self) -> Directories:
        found = Directories([], [])
        seen: set[int] = set()
        at = self._unpack(self._offset, self._first)[0]
        while at and at not in seen and (page := self._read_page(at, is_first=not seen)):
            seen.add(at)
            found.pages.append(page)
            inner = (self._read_page(start, is_first=False) for start in page.inner)
            found.parts.extend(part for part in inner if part)
            at = page.following
        if not found.pages:
            raise corrupt("it has no picture in it")
        return found

    def _unpack(self, layout: str, at: int) -> tuple[Any, ...]:
        return unpack(self._order + layout, self._data, at)

    def _read_page(self, start: int, *, is_first: bool) -> Directory | None:
        try:
            return self._directory(start)
        except ImageError:
            if is_first or self._entries > MAX_BLOCKS:
                raise
            return None

    def _directory(self, start: int) -> Directory:
        count = self._unpack(self._counter, start)[0]
        self._entries += count
        if self._entries > MAX_BLOCKS:
            raise corrupt("its directory is too long")
        directory = Directory()
        first = start + self._counter_bytes
        end = first + count * self._entry_bytes
        for at in range(first, end, self._entry_bytes):
            self._read_entry(at, directory)
        if end + self._offset_bytes <= len(self._data):
            directory.following = self._unpack(self._offset, end)[0]
        return directory

    def _read_entry(self, at: int, directory: Directory) -> None:
        tag, kind = self._unpack("HH", at)
        if tag not in _TAGS or kind not in _LAYOUTS:
            return
        value_at = at + 4 + self._offset_bytes
        if tag == _INNER:
            directory.inner = self._values(at + 4, kind, value_at)
            return
        value = self._unpack(_LAYOUTS[kind], value_at)[0]
        directory.fields[tag] = max(value, directory.fields.get(tag, 0))  # a decoder may take either of two

    def _values(self, counter_at: int, kind: int, value_at: int) -> tuple[int, ...]:
        """Return the first values of a field. They stand elsewhere when the field has no room for them."""
        count = self._unpack(self._offset, counter_at)[0]
        if count > 1:
            value_at = self._unpack(self._offset, value_at)[0]
        return self._unpack(f"{min(count, _MAX_INNER)}{_LAYOUTS[kind]}", value_at)
