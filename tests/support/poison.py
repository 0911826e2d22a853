"""Pictures that crash their decoder, eat all memory or never come out, and the decoder that does so."""

from __future__ import annotations

import io
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.pictures import picture

if TYPE_CHECKING:
    from collections.abc import Iterator

DECODER = Path(__file__).with_name("poisoned")


@contextmanager
def poisonable_decoder() -> Iterator[None]:
    """Let every service that is started within the block have that decoder. All other pictures it does as ever."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(DECODER), *filter(None, [os.environ.get("PYTHONPATH")])]))
        yield


def poison(kind: str, seed: int) -> bytes:
    """Return a picture that does harm of one kind, which `HARM` of that decoder names."""
    file = io.BytesIO()
    picture(seed=seed).save(file, "JPEG", quality=95, comment=f"poison: {kind}".encode())
    return file.getvalue()
