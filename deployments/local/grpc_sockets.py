"""SeaweedFS's Unix sockets, whose paths are built in: `/tmp/seaweedfs-PART-grpc-PORT.sock`.

Containers may share `/tmp` without sharing ports. Then one instance would remove the socket of another one and take its
calls. So a number is claimed in `/tmp`, too, and is not taken while its socket is another one's.
"""

from __future__ import annotations

import fcntl
import os
import socket
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from deployments.local import ports

if TYPE_CHECKING:
    from collections.abc import Mapping

_SOCKET = "/tmp/seaweedfs-{part}-grpc-{number}.sock"  # noqa: S108 - SeaweedFS has this path built in
_LOCK = "/tmp/darkroom-seaweedfs-{number}.lock"  # noqa: S108 - it is opened without following links, and holds nothing
_FOR_ALL_USERS = 0o444


def claimed(part: str, number: int) -> int | None:
    """Return the descriptor of a lock on the number of a socket, or None when another instance has the number.

    The lock ends when all copies of the descriptor are closed.
    """
    path = _LOCK.format(number=number)
    lock = _locked(path)
    if lock is None or _is_free(_SOCKET.format(part=part, number=number)):
        return lock
    _remove(path)
    os.close(lock)
    return None


def remove_sockets(numbers: Mapping[str, int]) -> None:
    """Remove what a SeaweedFS on these ports has left behind. Another instance may have a number since."""
    for port in ports.ALL:
        if port.grpc_part is None or port.name not in numbers:
            continue
        number = numbers[port.name] + ports.GRPC_OFFSET
        lock = claimed(port.grpc_part, number)
        if lock is not None:
            _remove(_SOCKET.format(part=port.grpc_part, number=number))
            _remove(_LOCK.format(number=number))
            os.close(lock)


def _locked(path: str) -> int | None:
    """Return a descriptor that locks the file, which any user may have made."""
    try:
        descriptor = _opened(path)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_there = os.fstat(descriptor).st_ino == Path(path).lstat().st_ino
    except OSError:
        is_there = False
    if is_there:  # else another process has removed it meanwhile, and a third one may lock its successor
        return descriptor
    os.close(descriptor)
    return None


def _opened(path: str) -> int:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with suppress(FileNotFoundError):
        return os.open(path, flags)  # the kernel refuses to "create" a file of another user in /tmp
    with suppress(FileExistsError):
        descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, _FOR_ALL_USERS)
        os.fchmod(descriptor, _FOR_ALL_USERS)  # a umask may have taken rights
        return descriptor
    return os.open(path, flags)


def _remove(path: str) -> None:
    with suppress(OSError):  # it is not there, or another user made it
        Path(path).unlink()


def _is_free(path: str) -> bool:
    """Return whether SeaweedFS can listen there. A socket that nobody answers is removed by SeaweedFS itself."""
    try:
        found = Path(path).lstat()
    except FileNotFoundError:
        return True
    if not stat.S_ISSOCK(found.st_mode) or os.getuid() not in {0, found.st_uid}:
        return False
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except OSError:
            return True
    return False
