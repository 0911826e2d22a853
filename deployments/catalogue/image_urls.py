"""The splitting of a cell into its image URLs."""

from __future__ import annotations

import re

# A run of characters that separate URLs. A URL may hold commas, semicolons and pipes too. A badly written one may hold
# spaces.
_RUN = re.compile(r"[,;|\s]+")
_BREAK = re.compile(r"[\r\n]|[,;|]\s")
# It only finds where a URL may begin. `cluster.http.url` alone judges a URL and takes it apart.
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


def split_image_urls(cell: str) -> list[str]:
    """Return the URLs of a cell, as they are written there.

    A line end separates URLs. A comma, semicolon or pipe does if white space follows it. Any run of these characters
    and spaces does if another `scheme://` follows it.
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
