"""The remedies for a server that does not start, found by its exit code and its log."""

from __future__ import annotations

import re
import signal

INSTALL = (
    "Run `make up` in a checkout of Darkroom: it installs the servers. Or use stores of your own: set "
    "DARKROOM_MONGO_URL, DARKROOM_REDIS_URL, and DARKROOM_S3_ENDPOINT_URL or DARKROOM_S3_BUCKET."
)

PORT_TAKEN = "Another program took its port while it started. Run `darkroom up` again: it finds a free port."

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
    "Its program needs instructions that this CPU lacks (MongoDB 5 and later need AVX). Use another machine, or set "
    "DARKROOM_MONGO_URL to a MongoDB elsewhere."
)
_NO_MEMORY = "The system ran out of memory. Stop another program, or add memory."

_BY_TEXT = (
    (
        r"version `(?:GLIBC|GLIBCXX|OPENSSL)_[\w.]+' not found",
        (
            "This system is too old for the bundled program. Use Debian 12, Ubuntu 22.04 or later, or put a suitable "
            "program on PATH."
        ),
    ),
    (r"Illegal instruction", _NO_AVX),
    (
        r"address (?:is )?already in use|already occupied|EADDRINUSE|SocketException.*in use",
        PORT_TAKEN,
    ),
    (
        r"no space left on device|ENOSPC|disk (?:is )?full",
        "The disk is full. Make room on the disk that holds its data.",
    ),
    (
        r"UPGRADE PROBLEM|Wrong mongod version|featureCompatibilityVersion|unsupported WiredTiger file version",
        (
            "Its data was written by another version of MongoDB. Put the mongod of that version on PATH, or move "
            "`data/mongodb` away to start empty."
        ),
    ),
    (
        r"Can't handle RDB format version",
        (
            "Its data was written by a newer Redis. Put the redis-server of that version on PATH, or move "
            "`data/redis` away: it holds only progress, which is rebuilt."
        ),
    ),
    (
        r"DBPathInUse|Unable to (?:lock the lock|acquire .*lock)|resource temporarily unavailable.*LOCK",
        "Another process uses its data. End that process first.",
    ),
    (r"cannot allocate memory|out of memory", _NO_MEMORY),
    (
        r"permission denied|EACCES|Operation not permitted",
        (
            "Its files belong to another user. Run as the user of the first start, or give them to this user: "
            "`sudo chown -R $USER .darkroom`."
        ),
    ),
)
_BY_SIGNAL = {-signal.SIGILL: _NO_AVX, -signal.SIGKILL: _NO_MEMORY}


def remedy(exit_code: int | None, log_tail: str) -> str:
    """Return the remedy for a server that did not start, in a sentence or two.

    Args:
        exit_code: The server's exit code (negative for a signal), or None when it lives but does not answer.
        log_tail: The last lines that it wrote.
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
        return "It runs but did not answer in time: the machine may be busy. Run `darkroom up` again, or see the log."
    return "The reason is not known. See the log."


def _install_library(library: str) -> str:
    package = _PACKAGES.get(library)
    if package is None:
        return (
            f"The library {library} is missing. Find its package by `apt-file search {library}` or on "
            "https://packages.debian.org, and install it."
        )
    return f"The library {library} is missing. Install it: `sudo apt install {package}`."
