"""A compressor whose decoder does harm on demand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.compressing import compressing
from tests.support.poison import DECODER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from actors.worker.compressor import Compressor


@pytest.fixture
def poisonable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every compressor of the test has the poisonable decoder."""
    monkeypatch.syspath_prepend(DECODER)


@pytest.fixture
def compressor(poisonable: None) -> Iterator[Compressor]:
    """A compressor with that decoder."""
    with compressing() as compressor:
        yield compressor
