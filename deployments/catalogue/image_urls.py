"""The image URLs of one cell."""

from __future__ import annotations

import re

# A run of what separates URLs. Commas, semicolons and pipes are in URLs as well, and spaces in badly written ones.
_RUN = re.compile(r"[,;|\s]+")
_BREAK = re.compile(r"[\r\n]|[,;|]\s")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


def split_image_urls(cell: str) -> list[str]:
    """The URLs of a cell, as they are written there.

    One ends before a line end, before a comma, semicolon or pipe that white space follows, and before a run of all
    these and spaces when another `scheme://` follows it.
    """
    urls = []
    start = 0
    for run in _RUN.finditer(cell):
        ends = run.end() == len(cell) or _SCHEME.match(cell, run.end()) or _BREAK.search(run[0])
        if ends or run.start() == 0:
            urls.append(cell[start : run.start()])
            start = run.end()
    urls.append(cell[start:])
    return [url for url in urls if url]
