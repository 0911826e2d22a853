"""No coordinator has two requests, even when an answer of MongoDB was lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from actors import registry
from actors.messages import NO_SHARE
from actors.queue.coordinators import Coordinators
from actors.registry import Pingable
from cluster.errors import StoreUnavailableError
from cluster.mongo.requests import OpenRequest
from cluster.records import utc_now
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from cluster.settings import Settings


def open_request(coordinator: str) -> OpenRequest:
    now = utc_now()
    return OpenRequest("req_1", "key", 5, 1, coordinator, now, now, frees_place=False)


@pytest.fixture
async def coordinators(isolated: Settings) -> Coordinators:
    """One of them waits for a request."""
    known = Coordinators(isolated)
    await known.start_standby(1)
    return known


async def test_a_standby_waits_again_when_nothing_was_admitted(coordinators: Coordinators) -> None:
    with coordinators.reserved() as name:
        assert name is not None
        assert not coordinators.state().standby
        assert not await coordinators.resume(open_request(name), NO_SHARE)  # another request may be its
    with coordinators.reserved() as again:
        assert again == name


@pytest.mark.timeout(60)
async def test_a_coordinator_that_may_have_a_request_is_given_no_other(
    coordinators: Coordinators, isolated: Settings
) -> None:
    def admit() -> None:
        raise StoreUnavailableError("mongodb", "it died with the answer")

    with pytest.raises(StoreUnavailableError), coordinators.reserved() as name:
        admit()
    assert name is not None
    assert not coordinators.state().standby
    wait_until(lambda: registry.find(Pingable, name, isolated) is None, "it has left")
    assert not await coordinators.resume(open_request(name), NO_SHARE)
