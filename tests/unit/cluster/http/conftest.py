"""The origin that the tests of HTTP fetch from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.origin import Origin

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as running:
        yield running
