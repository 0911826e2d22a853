"""The main job as clients see it, over HTTP, on the whole service."""

from __future__ import annotations

import csv
import io
import json
from types import NoneType
from typing import TYPE_CHECKING

import httpx
import pytest
from PIL import Image
from standardwebhooks import Webhook

from tests.support.catalogues import catalogue
from tests.support.jobs import codes, delivered, finished
from tests.support.origin import (
    Origin,
    drip,
    gzip_bomb,
    hang_up,
    redirect,
    reply,
    sequence,
    stream,
    truncated,
)
from tests.support.pictures import jpeg, png

if TYPE_CHECKING:
    from cluster.client import Darkroom
    from tests.support.service import Service

pytestmark = pytest.mark.timeout(90)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_a_catalogue_becomes_smaller_pictures_results_and_a_webhook(
    darkroom: Darkroom, service: Service, origin: Origin
) -> None:
    photos = {name: origin.route(f"/{name}.jpg", reply(jpeg(seed=seed))) for seed, name in enumerate("abc")}
    logo = origin.route("/logo.png", reply(png(), content_type="image/png"))
    hook = origin.route("/hook", reply(status=204))
    file = catalogue([photos["a"]], [photos["b"], photos["c"], logo])

    status, products = finished(darkroom, file, webhook_url=hook, webhook_secret=SECRET)

    assert (status.status, status.reason) == ("completed", None)
    assert (status.counts.products, status.counts.images, status.counts.completed) == (2, 4, 4)
    assert 0 < status.bytes.out < status.bytes.in_
    assert [product.processing_status for product in products] == ["completed", "completed"]
    pictures = [
        (image, httpx.get(url or "", trust_env=False))
        for product in products
        for image, url in zip(product.images, product.output_image_urls, strict=True)
    ]
    for image, answer in pictures:
        assert answer.status_code == 200
        assert len(answer.content) == image.bytes_out < image.bytes_in
        decoded = Image.open(io.BytesIO(answer.content))
        assert decoded.size == (image.width, image.height) == (320, 240)
        assert answer.headers["content-type"] == f"image/{image.format}" == f"image/{(decoded.format or '').lower()}"
    assert service.object_keys(status.request_id) == {
        f"{status.request_id}/2/0.jpg",
        f"{status.request_id}/3/0.jpg",
        f"{status.request_id}/3/1.jpg",
        f"{status.request_id}/3/2.png",
    }
    assert all(len(origin.requests_to(f"/{name}")) == 1 for name in ("a.jpg", "b.jpg", "c.jpg", "logo.png"))

    (delivery,) = delivered(darkroom, status.request_id)
    (call,) = origin.requests_to("/hook")
    assert (delivery.state, delivery.attempts) == ("delivered", 1)
    assert call.headers["webhook-id"] == delivery.delivery_id
    payload = Webhook(SECRET).verify(call.body, dict(call.headers))
    assert payload["type"] == "request.completed"
    assert payload["data"]["requestId"] == status.request_id
    assert payload["data"]["counts"]["completed"] == 4
    told = darkroom.status(status.request_id).webhook
    assert told is not None
    assert (told.triggered, told.attempts) == (True, 1)


def test_several_outputs_of_each_image(darkroom: Darkroom, service: Service, origin: Origin) -> None:
    photo = origin.route("/photo.jpg", reply(jpeg()))
    options = {"outputs": [{"name": "zoom"}, {"name": "thumb", "maxWidth": 100, "format": "auto", "formats": ["webp"]}]}

    status, (product,) = finished(darkroom, catalogue([photo]), options=options)

    (image,) = product.images
    assert [(output.name, output.format, output.width) for output in image.outputs] == [
        ("zoom", "jpeg", 320),
        ("thumb", "webp", 100),
    ]
    assert status.bytes.out == image.bytes_out == sum(output.bytes for output in image.outputs)
    assert service.object_keys(status.request_id) == {
        f"{status.request_id}/2/0-zoom.jpg",
        f"{status.request_id}/2/0-thumb.webp",
    }
    for output in image.outputs:
        answer = httpx.get(output.url, trust_env=False)
        assert (answer.status_code, answer.headers["content-type"]) == (200, f"image/{output.format}")
        assert len(answer.content) == output.bytes
    results = b"".join(darkroom.results(status.request_id))
    (row,) = csv.DictReader(io.StringIO(results.decode()))
    assert "0-thumb.webp" in row["Output Image Urls (thumb)"]
    assert len(origin.requests_to("/photo.jpg")) == 1

    again, _ = finished(darkroom, results)
    assert again.counts.completed == 1
    assert httpx.get(product.output_image_urls[0] or "", trust_env=False).status_code == 200


def test_one_bad_image_does_not_harm_its_neighbours(darkroom: Darkroom, origin: Origin) -> None:
    good = origin.route("/good.jpg", reply(jpeg()))
    broken = origin.route("/broken.jpg", reply(jpeg()[:3000]))
    slow = origin.route("/slow.jpg", drip(jpeg(), chunk_bytes=10, pause_seconds=0.5))
    file = catalogue([good, origin.url + "/missing.jpg"], [broken, good], [slow], [good])

    status, products = finished(darkroom, file)

    assert status.status == "completed"
    assert (status.counts.completed, status.counts.failed) == (3, 3)
    assert [codes(product) for product in products] == [
        [None, "not_found"],
        ["corrupt_image", None],
        ["timeout"],
        [None],
    ]
    assert [product.processing_status for product in products] == ["failed", "failed", "failed", "completed"]
    assert [url is not None for product in products for url in product.output_image_urls] == [
        True, False, False, True, False, True,
    ]  # fmt: skip
    assert {(failure.code, failure.count) for failure in status.failures} == {
        ("not_found", 1),
        ("corrupt_image", 1),
        ("timeout", 1),
    }
    assert products[2].images[0].attempts == 2  # a slow source is tried again, up to `max_attempts`
    assert products[0].images[1].attempts == 1
    assert products[0].images[1].http_status == 404


def test_a_request_fails_when_all_its_images_do(darkroom: Darkroom, origin: Origin) -> None:
    hook = origin.route("/hook", reply(status=200))
    file = catalogue([origin.url + "/1.jpg"], [origin.url + "/2.jpg"])
    status, products = finished(darkroom, file, webhook_url=hook, webhook_secret=SECRET)
    assert (status.status, status.reason, status.counts.failed) == ("failed", "all_images_failed", 2)
    assert {product.processing_status for product in products} == {"failed"}
    delivered(darkroom, status.request_id)
    payload = json.loads(origin.requests_to("/hook")[0].body)
    assert (payload["type"], payload["data"]["reason"]) == ("request.failed", "all_images_failed")


def test_every_kind_of_trouble_has_its_code(darkroom: Darkroom, origin: Origin, unused_tcp_port: int) -> None:
    svg = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'
    trouble = {
        "forbidden": origin.route("/forbidden", reply(status=403)),
        "not_found": origin.route("/gone", reply(status=410)),
        "http_error": origin.route("/teapot", reply(status=418)),
        "source_error": origin.route("/error", reply(status=500)),
        "rate_limited": origin.route("/busy", reply(status=429, headers={"Retry-After": "0"})),
        "too_many_redirects": origin.route("/loop", redirect("/loop")),
        "download_truncated": origin.route("/cut", truncated(jpeg())),
        "connection_failed": f"http://127.0.0.1:{unused_tcp_port}/a.jpg",
        "dns_failed": "http://no-such-host.invalid/a.jpg",
        "blocked_address": "http://169.254.169.254/latest/meta-data/",
        "empty": origin.route("/empty", reply(b"")),
        "not_an_image": origin.route("/page", reply(b"<html>Hello</html>")),
        "unsupported_format": origin.route("/drawing", reply(svg)),
    }
    also = {
        origin.route("/hang-up", hang_up()): "connection_failed",
        origin.route("/stream", stream(3_000_000)): "too_large",
        origin.route("/bomb", gzip_bomb(50_000_000)): "too_large",
        origin.route("/inward", redirect("http://10.0.0.1/")): "blocked_address",
    }
    expected = [*trouble, *also.values()]
    _, products = finished(darkroom, catalogue(*[[url] for url in (*trouble.values(), *also)]))
    assert [codes(product) for product in products] == [[code] for code in expected]
    messages = [product.images[0].error.message for product in products if product.images[0].error]
    assert not [message for message in messages if "127.0.0.1" in message]


def test_a_source_that_recovers_is_tried_again(darkroom: Darkroom, origin: Origin) -> None:
    recovers = sequence(reply(status=503, headers={"Retry-After": "0"}), reply(jpeg()))
    status, (product,) = finished(darkroom, catalogue([origin.route("/a.jpg", recovers)]))
    assert status.counts.completed == 1
    assert product.images[0].attempts == 2
    assert product.images[0].error is None


def test_results_come_back_as_csv_and_what_failed_can_be_sent_again(darkroom: Darkroom, origin: Origin) -> None:
    good = origin.route("/good.jpg", reply(jpeg()))
    later = origin.url + "/later.jpg"
    file = f"S. No.;Price;Title;Images\r\n7;=1+1;Chair;{good}|{later}\r\n8;2;Table;{good}\r\n".encode()
    status, _ = finished(darkroom, file)
    rows = table(darkroom, status.request_id, "all")
    assert list(rows[0]) == ["S. No.", "Price", "Title", "Images", "Output Image Urls", "Errors"]
    assert [row["S. No."] for row in rows] == ["7", "8"]
    assert rows[0]["Price"] == "'=1+1"
    link, empty = rows[0]["Output Image Urls"].split(", ")
    assert empty == ""
    assert httpx.get(link, trust_env=False).status_code == 200
    assert rows[0]["Errors"].startswith("image 2: not_found")
    assert rows[1]["Errors"] == ""

    again = b"".join(darkroom.results(status.request_id, only="failed"))
    assert [row["Images"] for row in table(darkroom, status.request_id, "failed")] == [later]
    origin.route("/later.jpg", reply(jpeg()))
    status, products = finished(darkroom, again)
    assert status.status == "completed"
    assert [(product.serial_number, product.input_image_urls) for product in products] == [(7, [later])]

    lines = b"".join(darkroom.results(status.request_id, file_format="jsonl")).splitlines()
    assert [json.loads(line)["serialNumber"] for line in lines] == [7]


def table(darkroom: Darkroom, request_id: str, only: str) -> list[dict[str, str]]:
    text = b"".join(darkroom.results(request_id, only=only)).decode()  # type: ignore[arg-type] # one of two literals
    return list(csv.DictReader(io.StringIO(text), delimiter=";"))


def test_an_unchanged_status_is_not_sent_again(darkroom: Darkroom, service: Service, origin: Origin) -> None:
    status, _ = finished(darkroom, catalogue([origin.route("/a.jpg", reply(jpeg()))]))
    url = f"{service.url}/api/status/{status.request_id}"
    with httpx.Client(headers=service.authorization, trust_env=False) as http:
        first = http.get(url)
        assert "retry-after" not in first.headers
        again = http.get(url, headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]


def names_in(value: object) -> set[str]:
    """All field names of a JSON document."""
    if isinstance(value, dict):
        return set(value).union(*map(names_in, value.values()))
    return set().union(*map(names_in, value)) if isinstance(value, list) else set()


def test_every_answer_has_the_names_of_the_contract(darkroom: Darkroom, service: Service, origin: Origin) -> None:
    file = catalogue([origin.route("/a.jpg", reply(jpeg(seed=4_711))), origin.url + "/missing.jpg"])
    status, _ = finished(darkroom, file, webhook_url=origin.route("/hook", reply(status=204)))
    delivered(darkroom, status.request_id)
    with httpx.Client(base_url=service.url, headers=service.authorization, trust_env=False) as http:
        one = http.get(f"/api/status/{status.request_id}")
        page = http.get("/api/requests?limit=1").json()
        lines = http.get(f"/api/requests/{status.request_id}/results.jsonl").text.splitlines()
        deliveries = http.get(f"/api/requests/{status.request_id}/deliveries").json()
    webhook = json.loads(origin.requests_to("/hook")[0].body)
    for document in (one.json(), page, *map(json.loads, lines), deliveries, webhook):
        assert [name for name in names_in(document) if "_" in name.removeprefix("req_").removeprefix("msg_")] == []
    assert set(one.json()["bytes"]) == set(webhook["data"]["bytes"]) == {"in", "out"}
    assert set(one.json()["failures"][0]) == {"code", "count", "sampleUrl"}
    images = one.json()["products"][0]["images"]
    assert {"httpStatus", "bytesIn", "bytesOut", "attempts", "decision"} <= set(images[0])
    assert [image["httpStatus"] for image in images] == [200, 404]
    assert [type(image["cpuSeconds"]) for image in images] == [float, NoneType]
    assert len(one.headers.get_list("x-request-id")) == 1


def test_options_reach_every_image(darkroom: Darkroom, origin: Origin) -> None:
    file = catalogue([origin.route("/a.png", reply(png(width=400, height=200), content_type="image/png"))])
    options: dict[str, object] = {"format": "webp", "maxWidth": 100, "quality": 60}
    submission = darkroom.submit(file, options=options)
    assert darkroom.wait(submission.request_id, timeout_seconds=60).status == "completed"
    ((image,),) = [product.images for product in darkroom.products(submission.request_id)]
    assert (image.format, image.width, image.height, image.decision) == ("webp", 100, 50, "compressed")


def test_the_documentation_is_served_without_the_internet(service: Service) -> None:
    with httpx.Client(headers=service.authorization, trust_env=False) as http:
        page = http.get(f"{service.url}/docs")
        schema = http.get(f"{service.url}/openapi.json").json()
    assert page.status_code == 200
    assert "https://cdn" not in page.text
    assert {"/api/upload", "/api/status/{request_id}", "/api/requests", "/readyz"} <= set(schema["paths"])


def test_all_is_ready(service: Service) -> None:
    answer = httpx.get(f"{service.url}/readyz", trust_env=False)
    assert answer.status_code == 200
    assert answer.json() == {
        "ready": True,
        "checks": {
            name: {"ok": True, "detail": None}
            for name in ("mongodb", "redis", "s3", "queueManager", "preparation", "rayHead")
        },
    }
