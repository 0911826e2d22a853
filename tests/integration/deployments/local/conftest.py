"""Homes for real servers, of which nothing is left after the test."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from deployments.local import Home
from tests.integration.deployments.local.houses import House

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    MakeHouse = Callable[[str], House]


@pytest.fixture(autouse=True, scope="package")
def _no_settings() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("DARKROOM_", "AWS_", "RAY_"))]:
            patch.delenv(name)
        yield


@pytest.fixture
def make_house(tmp_path: Path) -> Iterator[MakeHouse]:
    houses: list[House] = []

    def make(name: str) -> House:
        house = House(Home(tmp_path / name / ".darkroom"))
        houses.append(house)
        return house

    yield make
    for house in houses:
        house.stop()


@pytest.fixture
def house(make_house: MakeHouse) -> House:
    return make_house("house")
