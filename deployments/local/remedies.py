"""What to do when a server does not start, read from how it ended and from what it wrote."""

from __future__ import annotations

import re
import signal

INSTALL = (
    "Run `make up` in a checkout of Darkroom, which installs these servers, or name stores of your own: "
    "DARKROOM_MONGO_URL, DARKROOM_REDIS_URL, DARKROOM_S3_ENDPOINT_URL or DARKROOM_S3_BUCKET."
)

PORT_TAKEN = "Its port was taken while it started: run `darkroom up` again, which finds a free one."

_PACKAGES = {
    "libcrypto.so.3": "libssl3",
    "libcurl.so.4": "libcurl4",
    "libgcc_s.so.1": "libgcc-s1",
    "liblzma.so.5": "liblzma5",
    "libresolv.so.2": "libc6",
    "libsasl2.so.2": "libsasl2-2",
    "libssl.so.3": "libssl3",
    "libstdc++.so.6": "libstdc++6",
    "libz.so.1": "zlib1g",
}
_MISSING_LIBRARY = re.compile(r"error while loading shared libraries: (\S+): cannot open shared object file")

_NO_AVX = (
    "Its program has instructions that this CPU lacks (MongoDB 5 and later need AVX): run on another machine, or set "
    "DARKROOM_MONGO_URL to a MongoDB elsewhere."
)
_NO_MEMORY = "The system ran out of memory: free some, or stop another program."

_BY_TEXT = (
    (
        r"version `(?:GLIBC|GLIBCXX|OPENSSL)_[\w.]+' not found",
        (
            "The system is too old for the bundled program: use Debian 12, Ubuntu 22.04 or later, or put a suitable "
            "one on PATH."
        ),
    ),
    (r"Illegal instruction", _NO_AVX),
    (
        r"address (?:is )?already in use|already occupied|EADDRINUSE|SocketException.*in use",
        PORT_TAKEN,
    ),
    (
        r"no space left on device|ENOSPC|disk (?:is )?full",
        "The disk is full: make room on the one that holds its data.",
    ),
    (
        r"UPGRADE PROBLEM|Wrong mongod version|featureCompatibilityVersion|unsupported WiredTiger file version",
        (
            "Its data was written by another version of MongoDB: put that version's mongod on PATH, or move "
            "`data/mongodb` away to start empty."
        ),
    ),
    (
        r"Can't handle RDB format version",
        (
            "Its data was written by a newer Redis: put that version's redis-server on PATH, or move `data/redis` "
            "away; nothing but progress is in it, and that is rebuilt."
        ),
    ),
    (
        r"DBPathInUse|Unable to (?:lock the lock|acquire .*lock)|resource temporarily unavailable.*LOCK",
        "Another process uses its data: end that one first.",
    ),
    (r"cannot allocate memory|out of memory", _NO_MEMORY),
    (
        r"permission denied|EACCES|Operation not permitted",
        (
            "Its files belong to another user: run as the user who started it the first time, or give them to this one "
            "with `sudo chown -R $USER .darkroom`."
        ),
    ),
)
_BY_SIGNAL = {-signal.SIGILL: _NO_AVX, -signal.SIGKILL: _NO_MEMORY}


def remedy(exit_code: int | None, log_tail: str) -> str:
    """What to do, in one sentence.

    Args:
        exit_code: How the server ended (negative for a signal); None when it lives but does not answer.
        log_tail: The last lines it wrote.
    """
    library = _MISSING_LIBRARY.search(log_tail)
    if library:
        return _install_library(library.group(1))
    for pattern, text in _BY_TEXT:
        if re.search(pattern, log_tail, re.IGNORECASE):
            return text
    if exit_code in _BY_SIGNAL:
        return _BY_SIGNAL[exit_code]
    if exit_code is None:
        return "It runs but did not answer in time: the machine may be busy; run `darkroom up` again, or see the log."
    return "See the log."


def _install_library(library: str) -> str:
    package = _PACKAGES.get(library)
    if package is None:
        return (
            f"A library is missing, {library}: find its package with `apt-file search {library}` "
            "(https://packages.debian.org has the same search) and install that."
        )
    return f"A library is missing, {library}: `sudo apt install {package}`."
