"""Uploads whose replica, proxy or MongoDB dies under them: sent again with the same key, each is there exactly once."""

from __future__ import annotations

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pymongo
import pytest

from cluster.client.waiting import passes
from cluster.embedded import stack as servers
from cluster.errors import ApiError
from tests.support.catalogues import catalogue
from tests.support.kills import kill_servers, kill_titled
from tests.support.origin import Origin, reply
from tests.support.pictures import jpeg
from tests.support.service import Service, running_service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

UPLOADS = 8
SENDERS = 3
ROWS = 3000  # so that storing them takes a moment, and some die in the middle of it
AGAIN_SECONDS = 0.5
pytestmark = [pytest.mark.long, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running_service(tmp_path_factory.mktemp("uploads")) as running:
        yield running


def restart_mongod(service: Service) -> None:
    kill_servers(service, "mongod")
    servers.start(service.given, service.stack.home, lambda _event: None)


FAULTS: dict[str, Callable[[Service], object]] = {
    "replica": lambda service: kill_titled(service, "ServeReplica:upload"),
    "proxy": lambda service: kill_titled(service, "ProxyActor"),
    "mongod": restart_mongod,
}


def submit_until_accepted(service: Service, file: bytes, filename: str) -> str:
    """The request, by as many uploads with one idempotency key as it takes."""
    key = uuid.uuid4().hex
    with service.client() as darkroom:
        while True:
            try:
                return darkroom.submit(file, filename=filename, idempotency_key=key).request_id
            except ApiError as error:
                if not passes(error):
                    raise
                threading.Event().wait(AGAIN_SECONDS)


@pytest.mark.parametrize("fault", FAULTS)
def test_an_upload_that_dies_half_way_is_there_once_when_it_is_sent_again(own: Service, fault: str) -> None:
    with Origin() as origin, own.client() as darkroom, ThreadPoolExecutor(SENDERS) as pool:
        picture = origin.route("/picture.jpg", reply(jpeg()))
        file = catalogue(*[[picture]] * ROWS)
        uploads = [pool.submit(submit_until_accepted, own, file, f"{fault}.csv") for _ in range(UPLOADS)]
        uploads[SENDERS - 1].result()  # some are accepted, and others are under way
        FAULTS[fault](own)
        assert not all(upload.done() for upload in uploads)
        ids = {upload.result() for upload in uploads}
        ends = [darkroom.wait(request_id, timeout_seconds=120) for request_id in ids]
    assert len(ids) == UPLOADS
    assert {(end.status, end.counts.completed) for end in ends} == {("completed", ROWS)}
    with pymongo.MongoClient[dict[str, Any]](own.settings.mongo_url) as client:
        stored = client[own.settings.mongo_database]["processing_requests"].find({"filename": f"{fault}.csv"})
        assert {each["requestId"] for each in stored} == ids
