"""The coordinators that bring one request after another to its end."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

import pytest

from actors.queue.capacity import Capacity
from tests.support.catalogues import catalogue
from tests.support.jobs import finished
from tests.support.origin import Origin, reply, slow_headers
from tests.support.pictures import jpeg
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cluster.client import Darkroom
    from deployments.local.processes import ProcessId
    from tests.support.service import Service

STANDING = Capacity(os.cpu_count() or 1, math.inf).standby_coordinators
pytestmark = pytest.mark.timeout(120)


def pids(found: Iterable[ProcessId]) -> set[int]:
    return {each.pid for each in found}


def test_requests_one_after_another_start_no_process(service: Service, darkroom: Darkroom, origin: Origin) -> None:
    photo = origin.route("/photo.jpg", reply(jpeg()))
    finished(darkroom, catalogue([photo]))
    wait_until(lambda: len(service.ray_processes("RequestCoordinator")) == STANDING, "as many as always stand by")
    before = pids(service.ray_processes(""))
    for _ in range(3):
        finished(darkroom, catalogue([photo]))
    assert pids(service.ray_processes("")) == before


def test_requests_at_once_have_a_coordinator_each(service: Service, darkroom: Darkroom, origin: Origin) -> None:
    slow = origin.route("/slow.jpg", slow_headers(1, reply(jpeg())))
    submissions = [darkroom.submit(catalogue([slow] * 3)) for _ in range(4)]
    for submission in submissions:
        assert darkroom.wait(submission.request_id, timeout_seconds=60).counts.completed == 3
    wait_until(lambda: len(service.ray_processes("RequestCoordinator")) == STANDING, "the others have left")
