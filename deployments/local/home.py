"""The folder that holds everything of one machine's servers: data, logs, keys, and the record of running servers."""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import stat
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from cluster.errors import HomeBusyError
from deployments.local.state import State

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_SHORT_CHARACTERS = 34
"""Ray adds up to 72 characters to our folder for a Unix socket (`dash_MetricsHead`), and the kernel takes 107."""

_LOCK_POLL_SECONDS = 0.1
_SHORT_FOLDER = "/tmp/darkroom-{uid}"  # noqa: S108 - short on every system; its owner and mode are checked
_PRIVATE_FOLDER = 0o700


class Home:
    """The layout of `.darkroom/`."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.mongodb = self.path / "data" / "mongodb"
        self.redis = self.path / "data" / "redis"
        self.seaweedfs = self.path / "data" / "seaweedfs"
        self.logs = self.path / "logs"
        self.ray = self.path / "ray"
        self.state_file = self.path / "state.json"
        self.secrets_file = self.path / "secrets.json"
        self.mongod_key_file = self.path / "mongod-key"
        self.redis_config_file = self.path / "redis.conf"
        self.s3_identities_file = self.path / "s3-identities.json"
        self.seaweedfs_certificate_file = self.path / "seaweedfs-certificate.pem"
        self.seaweedfs_key_file = self.path / "seaweedfs-key.pem"
        self.ray_token_file = self.path / "ray-auth-token"
        self.api_key_file = self.path / "api-key"
        self.settings_file = self.path / "settings.json"
        self.aws_credentials_file = self.path / "aws-credentials"

    @property
    def url(self) -> str | None:
        """The URL of the service that was started from here. None: none was, or it was stopped.

        Raises:
            ValueError: `state.json` is damaged.
        """
        return State.read(self.state_file).url

    @property
    def api_key(self) -> str | None:
        """The first API key, or None while there is none."""
        return self.api_key_file.read_text().strip() if self.api_key_file.exists() else None

    def create(self) -> None:
        """Make the missing folders. Only their owner can enter them, and Git ignores them.

        Raises:
            OSError: The folder cannot be made or written.
        """
        for folder in (self.path, self.mongodb, self.redis, self.seaweedfs, self.logs, self.ray):
            folder.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
        self.path.chmod(_PRIVATE_FOLDER)
        (self.path / ".gitignore").write_text("*\n")

    def log_file(self, server: str) -> Path:
        """Return the path of the log that a server's output goes to."""
        return self.logs / f"{server}.log"

    @contextmanager
    def locked(self, *, wait_seconds: float = 0) -> Iterator[None]:
        """Keep every other process from starting or stopping these servers during the block.

        Raises:
            HomeBusyError: Another process does so, and has not ended after `wait_seconds`.
        """
        with _held(self.path / "lock", wait_seconds, str(self.path)):
            yield

    def short_path(self) -> Path:
        """Return a path of this folder that is short enough for Unix sockets. It is a link when its own is too long.

        Raises:
            PermissionError: The folder for such links belongs to another user.
        """
        if len(str(self.path)) <= MAX_SHORT_CHARACTERS:
            return self.path
        folder = _own_folder(Path(_SHORT_FOLDER.format(uid=os.getuid())))
        link = folder / hashlib.sha256(str(self.path).encode()).hexdigest()[:8]
        if not link.is_symlink() or link.readlink() != self.path:
            # Servers that start at the same time all come here. A rename replaces the link that another one has made.
            new = link.with_name(f"{link.name}-{secrets.token_hex(4)}")
            new.symlink_to(self.path)
            new.replace(link)
        return link

    def remove_link(self) -> None:
        """Remove the link that `short_path` made."""
        if len(str(self.path)) <= MAX_SHORT_CHARACTERS:
            return
        latest = self.ray / "session_latest"
        if latest.is_symlink():  # Ray's link goes by the short path
            session = latest.readlink().name
            latest.unlink()
            latest.symlink_to(session)
        self.short_path().unlink(missing_ok=True)


@contextmanager
def _held(path: Path, wait_seconds: float, whose: str) -> Iterator[None]:
    deadline = time.monotonic() + wait_seconds
    with path.open("w") as lock:
        while not _is_taken(lock):
            if time.monotonic() > deadline:
                raise HomeBusyError(whose)
            time.sleep(_LOCK_POLL_SECONDS)
        yield


def _is_taken(lock: TextIO) -> bool:
    """Return whether this process has the lock now."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _own_folder(folder: Path) -> Path:
    folder.mkdir(mode=_PRIVATE_FOLDER, exist_ok=True)
    found = folder.lstat()
    writable_by_others = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or writable_by_others:
        problem = f"{folder} belongs to another user, or others can write to it."
        raise PermissionError(f"{problem} Remove it, or use --home with a shorter path.")
    return folder
