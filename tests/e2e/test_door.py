"""One caller does not stop the others: hostile calls over HTTP, through Ray Serve's own proxy."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack
from http import HTTPStatus
from typing import TYPE_CHECKING

import httpx
import psutil
import pytest

from cluster.records import Scope
from deployments.api.upload_places import MAX_UPLOADS_PER_KEY
from tests.support.catalogues import catalogue
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.service import Service

HALF_SENT = 70
LARGE_BYTES = 90_000_000
CHUNK = bytes(1_000_000)
MAX_TAKEN_BYTES = 40_000_000  # before a refusal, with all buffers on the way
MAX_GROWTH_BYTES = 30_000_000
MAX_HEALTH_SECONDS = 3.0
FILE = catalogue(["https://shop.invalid/a.jpg"])


@pytest.fixture
def http(service: Service) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, headers=service.authorization, trust_env=False, timeout=20) as client:
        yield client


def half_sent(service: Service, method: str, path: str, token: str) -> socket.socket:
    """Begin a call, and leave its body unfinished."""
    address = httpx.URL(service.url)
    connection = socket.create_connection((address.host, address.port or 80), timeout=20)
    head = f"{method} {path} HTTP/1.1\r\nhost: {address.host}\r\nauthorization: Bearer {token}\r\n"
    kind = "text/csv" if method == "POST" else "application/json"
    connection.sendall(f"{head}content-type: {kind}\r\ncontent-length: 1000\r\n\r\n{{".encode())
    return connection


def test_half_sent_uploads_of_one_key_do_not_stop_another_key(service: Service, http: httpx.Client) -> None:
    greedy = service.new_key()
    with ExitStack() as stack:
        for _ in range(HALF_SENT):
            stack.enter_context(half_sent(service, "POST", "/api/upload", greedy))
        begun = time.monotonic()
        answer = http.post("/api/upload", files={"file": FILE})
        assert answer.status_code == HTTPStatus.ACCEPTED, answer.text
        assert time.monotonic() - begun < 2 * MAX_HEALTH_SECONDS
        again = http.post("/api/upload", files={"file": FILE}, headers={"authorization": f"Bearer {greedy}"})
        assert (again.status_code, again.json()["code"]) == (HTTPStatus.TOO_MANY_REQUESTS, "too_many_uploads")
        assert int(again.headers["retry-after"]) > 0
    assert HALF_SENT > 2 * MAX_UPLOADS_PER_KEY, "they would fill a replica"


def test_half_sent_changes_do_not_stop_polls(service: Service, http: httpx.Client) -> None:
    with ExitStack() as stack:
        for _ in range(HALF_SENT):
            stack.enter_context(half_sent(service, "PATCH", "/api/requests/x", service.token))
        begun = time.monotonic()
        assert http.get("/api/requests").status_code == HTTPStatus.OK
        assert http.get("/healthz").status_code == HTTPStatus.OK
        assert time.monotonic() - begun < MAX_HEALTH_SECONDS


def taken_bytes(connection: socket.socket) -> int:
    """Send until the other side has closed, or has taken too much, and return how much that was."""
    taken = 0
    while taken < MAX_TAKEN_BYTES:
        try:
            taken += connection.send(CHUNK)
        except ConnectionError:
            break
    return taken


@pytest.mark.parametrize(
    ("method", "path", "status"), [("POST", "/api/upload", 401), ("PATCH", "/api/requests/x", 413)]
)
def test_a_refused_body_is_not_read_and_its_connection_is_closed(
    service: Service, method: str, path: str, status: int
) -> None:
    address = httpx.URL(service.url)
    with socket.create_connection((address.host, address.port or 80), timeout=20) as connection:
        head = f"{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-type: text/csv\r\ncontent-length: 900000000\r\n\r\n"
        connection.sendall(head.encode())
        assert taken_bytes(connection) < MAX_TAKEN_BYTES
        answer = connection.recv(65536).decode()
    assert answer.startswith(f"HTTP/1.1 {status} ")
    assert "\r\nconnection: close\r\n" in answer.lower()


def test_a_large_json_body_costs_no_memory_and_stops_no_health_check(service: Service) -> None:
    (replica,) = service.ray_processes("ServeReplica:status")
    process, token = psutil.Process(replica.pid), service.new_key(Scope.READ)
    before = process.memory_info().rss
    with service.client(token) as client, httpx.Client(base_url=service.url, trust_env=False, timeout=30) as http:
        http.headers["authorization"] = f"Bearer {token}"
        answer = http.patch("/api/requests/x", content=b"[" + b"{}," * (LARGE_BYTES // 3) + b"{}]")
        assert answer.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        small = http.patch("/api/requests/x", json={"priority": 5})
        assert (small.status_code, small.json()["code"]) == (HTTPStatus.FORBIDDEN, "missing_scope")
        begun = time.monotonic()
        assert http.get("/healthz").status_code == HTTPStatus.OK
        assert time.monotonic() - begun < MAX_HEALTH_SECONDS
        assert client.requests().requests == []
    wait_until(lambda: process.memory_info().rss - before < MAX_GROWTH_BYTES, "the memory is as before")


@pytest.mark.parametrize("given", [b"\xe9", b"x" * 8000], ids=["not-ascii", "long"])
def test_a_request_id_that_is_not_valid_is_replaced(service: Service, http: httpx.Client, given: bytes) -> None:
    for path in ("/healthz", "/api/requests"):
        answer = http.get(path, headers=[(b"x-request-id", given)])
        assert answer.status_code == HTTPStatus.OK
        (identifier,) = answer.headers.get_list("x-request-id")
        assert identifier.startswith("http_")


def test_every_answer_has_the_headers_for_browsers(http: httpx.Client) -> None:
    for path, policy in {"/healthz": "'none'", "/api/nothing": "'none'", "/docs": "'self'"}.items():
        for answer in (http.get(path), http.get(path, headers={"authorization": ""})):
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["content-security-policy"].startswith(f"default-src {policy}")
            assert len(answer.headers.get_list("x-request-id")) == 1
    by_https = http.get("/healthz", headers={"x-forwarded-proto": "https"})
    assert "strict-transport-security" in by_https.headers


def test_a_caller_cannot_turn_off_the_limits_of_ray_serve(http: httpx.Client) -> None:
    steering = [(b"x-request-timeout-seconds", b"\xe9"), (b"x-session-id", b"\xe9"), (b"x-request-id", b"mine")]
    answer = http.get("/healthz", headers=steering)
    assert (answer.status_code, answer.headers["x-request-id"]) == (HTTPStatus.OK, "mine")
