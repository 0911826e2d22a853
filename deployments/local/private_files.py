"""Files that hold secrets, or must never be half written."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_PRIVATE_FILE = 0o600


def write_private(path: Path, text: str) -> None:
    """Replace a file by one that only its owner can read. After a crash, the old or the new one is there, whole."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE_FILE)
    with os.fdopen(descriptor, "w") as file:
        os.fchmod(descriptor, _PRIVATE_FILE)  # a umask may have taken the owner's own rights
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    draft.replace(path)
