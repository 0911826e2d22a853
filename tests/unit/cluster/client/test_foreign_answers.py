"""Answers of something else than Darkroom: a proxy, another service, or Ray Serve while it starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cluster.client import ApiError, Darkroom
from cluster.client.transport import is_away, is_transient
from tests.support.contract_server import REQUEST, REQUEST_ID, RESULTS, STATUS, UPLOAD, ContractServer, accepted

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CALLS: dict[str, tuple[str, str, Callable[[Darkroom], object]]] = {
    "submit": ("POST", UPLOAD, lambda client: client.submit(b"x")),
    "status": ("GET", STATUS, lambda client: client.status(REQUEST_ID)),
    "wait": ("GET", STATUS, lambda client: client.wait(REQUEST_ID)),
    "requests": ("GET", "/api/requests", lambda client: client.requests()),
    "results": ("GET", f"{RESULTS}.csv", lambda client: list(client.results(REQUEST_ID))),
    "cancel": ("POST", f"{REQUEST}/cancel", lambda client: client.cancel(REQUEST_ID)),
    "set_priority": ("PATCH", REQUEST, lambda client: client.set_priority(REQUEST_ID, 9)),
    "retry": ("POST", f"{REQUEST}/retry", lambda client: client.retry(REQUEST_ID)),
    "delete": ("DELETE", REQUEST, lambda client: client.delete(REQUEST_ID)),
    "deliveries": ("GET", f"{REQUEST}/deliveries", lambda client: client.deliveries(REQUEST_ID)),
    "redeliver": ("POST", f"{REQUEST}/deliveries/d/redeliver", lambda client: client.redeliver(REQUEST_ID, "d")),
    "ready": ("GET", "/readyz", lambda client: client.ready()),
}


def test_something_else_at_the_address_is_named(server: ContractServer, client: Darkroom) -> None:
    server.answer("GET", STATUS, b"<h1>hello</h1>")
    with pytest.raises(ApiError, match="Is this the right address") as caught:
        client.status(REQUEST_ID)
    assert caught.value.code == "not_darkroom"
    server.answer("GET", "/api/requests", b"<h1>no</h1>", status=502)
    with pytest.raises(ApiError) as caught:
        client.requests()
    assert caught.value.code == "http_502"


@pytest.mark.parametrize("body", [{"ok": True}, b"<h1>hello</h1>"], ids=["json", "html"])
@pytest.mark.parametrize("call", CALLS)
def test_a_good_answer_of_something_else_is_never_taken_for_darkrooms(
    server: ContractServer, client: Darkroom, call: str, body: dict[str, Any] | bytes
) -> None:
    method, path, ask = CALLS[call]
    server.answer(method, path, body, headers={"content-type": "text/html"} if isinstance(body, bytes) else {})
    with pytest.raises(ApiError, match="not as Darkroom does") as caught:
        ask(client)
    assert caught.value.code == "not_darkroom"
    assert len(server.calls) == 1


def test_results_of_something_else_leave_no_file(server: ContractServer, client: Darkroom, tmp_path: Path) -> None:
    server.answer("GET", f"{RESULTS}.csv", b"<h1>hello</h1>", headers={"content-type": "text/html"})
    with pytest.raises(ApiError, match="not as Darkroom does"):
        client.save_results(REQUEST_ID, tmp_path / "results.csv")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("status", "headers", "words"),
    [
        (301, {"location": "https://shop.example/"}, "points to https://shop.example/, but not as Darkroom does"),
        (307, {"location": "/login"}, "points to /login"),
        (413, {}, "Raise the limit"),
    ],
)
def test_a_redirect_or_a_refused_size_of_something_else_is_final(
    server: ContractServer, client: Darkroom, status: int, headers: dict[str, str], words: str
) -> None:
    server.answer("POST", UPLOAD, b"<h1>No</h1>", status=status, headers={"content-type": "text/html", **headers})
    with pytest.raises(ApiError, match=words) as caught:
        client.submit(b"x")
    assert not is_transient(caught.value)
    assert len(server.calls) == 1


def test_a_service_that_starts_says_so(server: ContractServer, client: Darkroom) -> None:
    server.answer("GET", "/readyz", {"status": 503, "code": "starting", "detail": "The service starts."}, status=503)
    with pytest.raises(ApiError) as caught:
        client.ready()
    assert caught.value.code == "starting"


def test_an_upload_outlives_answers_of_something_else(server: ContractServer, client: Darkroom) -> None:
    at_once = {"retry-after": "0", "content-type": "text/html"}
    server.answer("POST", UPLOAD, b"Path not found.", status=404, headers=at_once)
    server.answer("POST", UPLOAD, b"<h1>Bad Gateway</h1>", status=502, headers=at_once)
    server.answer("POST", UPLOAD, accepted(), status=202)
    assert client.submit(b"x").request_id == REQUEST_ID
    assert len({call.headers["idempotency-key"] for call in server.calls}) == 1


@pytest.mark.parametrize(
    ("status", "code", "away", "transient"),
    [
        (0, "unreachable", True, True),
        (404, "http_404", True, True),
        (502, "http_502", True, True),
        (403, "http_403", True, True),
        (200, "not_darkroom", True, True),
        (503, "starting", True, True),
        (503, "queue_full", False, True),
        (429, "quota_exceeded", False, True),
        (500, "internal_error", False, True),
        (404, "request_not_found", False, False),
        (422, "invalid_catalogue", False, False),
    ],
)
def test_an_answer_of_something_else_is_transient(status: int, code: str, *, away: bool, transient: bool) -> None:
    error = ApiError(status, code, "", {})
    assert (is_away(error), is_transient(error)) == (away, transient)
