"""The client against a real server that answers by the API's contract."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import pytest

from cluster.client import ApiError, Darkroom, RequestStatus
from cluster.client.transport import MIN_UPLOAD_BYTES_PER_SECOND
from tests.support.contract_server import REQUEST_ID, RESULTS, STATUS, UPLOAD, ContractServer, accepted, status_of
from tests.support.origin import Origin, reply, slow_headers

if TYPE_CHECKING:
    from pathlib import Path

BUSY = {"status": 503, "code": "queue_full", "detail": "The queue is full."}


def test_an_upload_sends_the_file_the_form_and_the_key(
    server: ContractServer,
    client: Darkroom,
    tmp_path: Path,
) -> None:
    server.answer("POST", UPLOAD, accepted(), status=202)
    path = tmp_path / "autumn.csv"
    path.write_text("Serial Number,Product Name,Input Image Urls\n")
    submission = client.submit(
        path,
        webhook_url="https://example.test/hook",
        options={"format": "webp", "quality": 70},
        on_invalid_row="skip",
        columns={"serialNumber": "SKU"},
        priority=9,
    )
    assert submission.request_id == REQUEST_ID
    assert submission.counts.images == 4
    (call,) = server.calls
    assert call.headers["authorization"] == "Bearer dk_test"
    assert len(call.headers["idempotency-key"]) == 32
    for expected in (
        b'filename="autumn.csv"',
        b"Serial Number,Product Name",
        b'name="webhookUrl"\r\n\r\nhttps://example.test/hook\r\n',
        b'name="options"\r\n\r\n{"format": "webp", "quality": 70}\r\n',
        b'name="onInvalidRow"\r\n\r\nskip\r\n',
        b'name="columns"\r\n\r\n{"serialNumber": "SKU"}\r\n',
        b'name="priority"\r\n\r\n9\r\n',
    ):
        assert expected in call.body
    assert b"dryRun" not in call.body


def test_the_answer_to_a_large_catalogue_is_waited_for_longer() -> None:
    stored_late = slow_headers(1.0, reply(json.dumps(accepted()).encode(), status=202))
    with Origin() as origin, Darkroom(origin.url, api_key="dk_test", timeout_seconds=0.3) as client:
        origin.route(UPLOAD, stored_late)
        assert client.submit(b"," * 2 * MIN_UPLOAD_BYTES_PER_SECOND).request_id == REQUEST_ID
        assert len(origin.requests_to(UPLOAD)) == 1


def test_a_dry_run_has_no_request(server: ContractServer, client: Darkroom) -> None:
    server.answer("POST", UPLOAD, {"valid": True, "counts": {"rows": 1, "images": 3}, "rejectedRows": []})
    submission = client.submit(b"a,b\n", dry_run=True)
    assert submission.valid
    assert not submission.request_id
    assert submission.counts.images == 3
    assert b'name="dryRun"\r\n\r\ntrue\r\n' in server.calls[0].body


def test_a_busy_service_is_asked_again_with_the_same_key_and_file(
    server: ContractServer,
    client: Darkroom,
    tmp_path: Path,
) -> None:
    for _ in range(2):
        server.answer("POST", UPLOAD, BUSY, status=503, headers={"retry-after": "0"})
    server.answer("POST", UPLOAD, accepted(), status=202)
    path = tmp_path / "c.csv"
    path.write_text("the whole file")
    assert client.submit(path).request_id == REQUEST_ID
    assert len({call.headers["idempotency-key"] for call in server.calls}) == 1
    assert [b"the whole file" in call.body for call in server.calls] == [True, True, True]


@pytest.mark.parametrize(
    ("headers", "attempts"),
    [({"retry-after": "0"}, 5), ({"retry-after": "3600"}, 1), ({}, 1)],
)
def test_retries_are_bounded(server: ContractServer, client: Darkroom, headers: dict[str, str], attempts: int) -> None:
    server.answer("POST", UPLOAD, BUSY, status=503, headers=headers)
    with pytest.raises(ApiError) as caught:
        client.submit(b"x")
    assert caught.value.code == "queue_full"
    assert len(server.calls) == attempts


def test_an_answer_lost_on_the_way_is_asked_for_again(server: ContractServer, client: Darkroom) -> None:
    server.answer("POST", UPLOAD, accepted(), status=202, cut=True)
    server.answer("POST", UPLOAD, accepted(), status=202)
    assert client.submit(b"x", idempotency_key="mine").request_id == REQUEST_ID
    assert [call.headers["idempotency-key"] for call in server.calls] == ["mine", "mine"]


def test_a_problem_becomes_an_error_with_its_rows(server: ContractServer, client: Darkroom) -> None:
    row = {"row": 7, "column": "Input Image Urls", "value": "htp:/x", "code": "bad_url", "message": "Not a URL."}
    problem = {"status": 422, "code": "invalid_catalogue", "detail": "The CSV has 1 error.", "errors": [row]}
    server.answer("POST", UPLOAD, problem, status=422)
    with pytest.raises(ApiError) as caught:
        client.submit(b"x")
    assert (caught.value.status, caught.value.code) == (422, "invalid_catalogue")
    assert str(caught.value) == "The CSV has 1 error."
    assert caught.value.problem["errors"] == [row]


def test_no_service_is_an_error_that_says_what_to_do() -> None:
    with socket.socket() as taken:  # bound and not listening: nobody else can answer there
        taken.bind(("127.0.0.1", 0))
        with (
            Darkroom(f"http://127.0.0.1:{taken.getsockname()[1]}") as client,
            pytest.raises(ApiError, match="darkroom up") as caught,
        ):
            client.status("x")
    assert (caught.value.status, caught.value.code) == (0, "unreachable")


def test_only_http_addresses_are_taken() -> None:
    with pytest.raises(ValueError, match="must start with http"):
        Darkroom("ftp://example.test")


def test_waiting_reports_each_step_and_ends_with_the_last(server: ContractServer, client: Darkroom) -> None:
    for completed in (0, 2):
        server.answer("GET", STATUS, status_of("processing", completed=completed))
    server.answer("GET", STATUS, status_of("completed", completed=3, failed=1))
    seen: list[RequestStatus] = []
    final = client.wait(REQUEST_ID, poll_seconds=0.01, on_progress=seen.append)
    assert [each.counts.done for each in seen] == [0, 2, 4]
    assert final.terminal
    assert final.seconds == 4.0
    assert final.bytes.in_ == 4_000_000


def test_waiting_outlives_a_short_outage(server: ContractServer, client: Darkroom) -> None:
    server.answer("GET", STATUS, status_of("processing"))
    server.answer("GET", STATUS, BUSY, status=503)
    server.answer("GET", STATUS, status_of("completed", completed=4))
    assert client.wait(REQUEST_ID, poll_seconds=0.01).status == "completed"


def test_waiting_outlives_a_redeployment(server: ContractServer, client: Darkroom) -> None:
    path = f"/api/status/{REQUEST_ID}"
    server.answer("GET", path, b"Path not found. Ping http://x/-/routes for available routes.", status=404)
    server.answer("GET", path, status_of("processing", completed=1))
    server.answer("GET", path, b"Path not found.", status=404)
    server.answer("GET", path, status_of("completed", completed=4))
    with pytest.raises(ApiError, match="may be starting"):
        client.status(REQUEST_ID)
    assert client.wait(REQUEST_ID, poll_seconds=0.01).status == "completed"


def test_waiting_ends_at_its_timeout_and_at_once_for_an_unknown_request(
    server: ContractServer,
    client: Darkroom,
) -> None:
    server.answer("GET", STATUS, status_of("processing"))
    with pytest.raises(TimeoutError, match="still processing"):
        client.wait(REQUEST_ID, timeout_seconds=0.05, poll_seconds=0.02)
    with pytest.raises(ApiError) as caught:
        client.wait("unknown")
    assert caught.value.status == 404


def test_products_are_read_page_by_page(server: ContractServer, client: Darkroom) -> None:
    def product(row: int) -> dict[str, object]:
        image = {
            "status": "failed",
            "error": {"code": "a_code_of_tomorrow", "message": "?"},
            "bytesIn": 5,
            "cpuSeconds": 0.5,
        }
        urls = {"inputImageUrls": ["http://a/1.jpg"], "outputImageUrls": [None]}
        names = {"row": row, "serialNumber": row, "productName": "Chair", "processingStatus": "failed"}
        return {**names, **urls, "images": [image]}

    server.answer("GET", STATUS, status_of("completed", products=[product(2)], nextCursor="c1"))
    server.answer("GET", STATUS, status_of("completed", products=[product(3)]))
    products = list(client.products(REQUEST_ID, product_status="failed"))
    assert [each.row for each in products] == [2, 3]
    assert products[0].images[0].cpu_seconds == 0.5
    assert server.calls[1].query == {"limit": "100", "cursor": "c1", "productStatus": "failed"}


def test_results_come_as_bytes_or_as_a_file(server: ContractServer, client: Darkroom, tmp_path: Path) -> None:
    server.answer("GET", f"{RESULTS}.csv", b"a,b\n1,2\n", headers={"content-type": "text/csv"})
    server.answer("GET", f"{RESULTS}.jsonl", b"{}\n", headers={"content-type": "application/jsonl"})
    assert b"".join(client.results(REQUEST_ID, only="failed")) == b"a,b\n1,2\n"
    assert server.calls[0].query == {"only": "failed"}
    target = tmp_path / "r.jsonl"
    assert client.save_results(REQUEST_ID, target, file_format="jsonl") == 3
    assert target.read_bytes() == b"{}\n"


def test_half_a_result_leaves_no_file(server: ContractServer, client: Darkroom, tmp_path: Path) -> None:
    server.answer("GET", f"{RESULTS}.csv", b"a,b\n1,2\n", headers={"content-type": "text/csv"}, cut=True)
    target = tmp_path / "results.csv"
    target.write_text("the last good one")
    with pytest.raises(ApiError) as caught:
        client.save_results(REQUEST_ID, target)
    assert caught.value.code == "answer_lost"
    assert [path.read_text() for path in tmp_path.iterdir()] == ["the last good one"]


def test_deliveries_and_redelivery(server: ContractServer, client: Darkroom) -> None:
    delivery = {"deliveryId": "dlv_1", "event": "request.completed", "state": "failed", "attempts": 8, "responses": []}
    server.answer("GET", f"/api/requests/{REQUEST_ID}/deliveries", {"deliveries": [delivery]})
    server.answer("POST", f"/api/requests/{REQUEST_ID}/deliveries/dlv_1/redeliver", {**delivery, "state": "pending"})
    (found,) = client.deliveries(REQUEST_ID)
    assert (found.delivery_id, found.attempts) == ("dlv_1", 8)
    assert found.document() == delivery
    assert client.redeliver(REQUEST_ID, found.delivery_id).state == "pending"


def test_the_list_of_requests(server: ContractServer, client: Darkroom) -> None:
    server.answer("GET", "/api/requests", {"requests": [status_of("processing")], "nextCursor": "n"})
    page = client.requests(status="processing", limit=1)
    assert page.requests[0].request_id == REQUEST_ID
    assert page.next_cursor == "n"
    assert json.loads(json.dumps(page.document()))["requests"][0]["createdAt"].startswith("2026-11-24T10:00:00")


@pytest.mark.parametrize("status", [200, 503])
def test_readiness_says_what_is_wrong(server: ContractServer, client: Darkroom, status: int) -> None:
    server.answer("GET", "/readyz", {"checks": {"mongodb": "ok"}}, status=status)
    readiness = client.ready()
    assert readiness.ready is (status == 200)
    assert readiness.document()["checks"] == {"mongodb": "ok"}
