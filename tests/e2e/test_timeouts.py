"""Work that takes too long is ended, and its neighbours do not notice."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from deployments.local import processes
from tests.support.catalogues import catalogue
from tests.support.jobs import codes, finished
from tests.support.origin import Origin, reply, slow_headers
from tests.support.pictures import jpeg
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from cluster.client import Darkroom
    from tests.support.service import Service

pytestmark = pytest.mark.timeout(150)


def test_a_picture_that_takes_too_long_fails_alone(service: Service, darkroom: Darkroom, origin: Origin) -> None:
    large = origin.route("/large.jpg", reply(jpeg(width=3600, height=2700)))
    small = origin.route("/small.jpg", reply(jpeg()))
    rows = [[f"{small}?{number}"] for number in range(10)]
    rows.insert(4, [large])
    status, products = finished(darkroom, catalogue(*rows), options={"format": "avif", "effort": "max"})
    assert (status.status, status.counts.completed, status.counts.failed) == ("completed", 10, 1)
    assert codes(products[4]) == ["timeout"]
    assert products[4].images[0].attempts == 2
    assert products[4].images[0].error is not None
    assert "4 seconds" in products[4].images[0].error.message
    assert len(service.object_keys(status.request_id)) == 10


def test_a_worker_that_hangs_is_replaced(service: Service, darkroom: Darkroom, origin: Origin) -> None:
    slow = origin.route("/slow.jpg", slow_headers(1.5, reply(jpeg())))
    request_id = darkroom.submit(catalogue(*([f"{slow}?{number}"] for number in range(6)))).request_id
    wait_until(lambda: bool(service.ray_processes("images")), "a worker is at a batch")
    hung = service.ray_processes("images")
    processes.send(hung, signal.SIGSTOP)
    status = darkroom.wait(request_id, timeout_seconds=100)
    assert (status.status, status.counts.completed) == ("completed", 6)
    assert len(service.object_keys(request_id)) == 6
    wait_until(lambda: not set(hung) & set(service.ray_processes("")), "the hung workers are gone")
