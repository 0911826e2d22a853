"""A source that comes more than once is fetched, compressed and stored once."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import httpx

from tests.support.catalogues import catalogue
from tests.support.jobs import codes, finished
from tests.support.origin import Exchange, Origin, reply
from tests.support.pictures import jpeg

if TYPE_CHECKING:
    from cluster.client import Darkroom, Product
    from tests.support.service import Service


def decisions(products: list[Product]) -> list[str | None]:
    return [image.decision for product in products for image in product.images]


def outputs(products: list[Product]) -> list[bytes]:
    return [httpx.get(url or "", trust_env=False).content for product in products for url in product.output_image_urls]


def tagged(body: bytes, *, strong: bool = True) -> dict[str, str]:
    etag = f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
    return {"ETag": etag if strong else f"W/{etag}"}


def conditional(body: bytes) -> object:
    """Return a source with strong ETags that answers 304 when the caller has its picture."""

    def answer(exchange: Exchange) -> None:
        if exchange.headers.get("If-None-Match") == tagged(body)["ETag"]:
            reply(status=304, headers=tagged(body))(exchange)
        else:
            reply(body, headers=tagged(body))(exchange)

    return answer


def test_a_url_that_a_request_has_twice_is_fetched_and_stored_once(
    service: Service, darkroom: Darkroom, origin: Origin
) -> None:
    same, other = origin.route("/same.jpg", reply(jpeg(seed=21))), origin.route("/other.jpg", reply(jpeg(seed=22)))
    gone = origin.url + "/gone.jpg"
    status, products = finished(darkroom, catalogue([same, same], [other], [gone], [same, gone]))
    assert (status.counts.completed, status.counts.failed) == (4, 2)
    assert [len(origin.requests_to(path)) for path in ("/same.jpg", "/other.jpg", "/gone.jpg")] == [1, 1, 1]
    assert decisions(products) == ["compressed", "deduplicated", "compressed", None, "deduplicated", None]
    assert codes(products[3]) == [None, "not_found"]
    assert service.object_keys(status.request_id) == {f"{status.request_id}/{place}.jpg" for place in ("2/0", "3/0")}
    links = [(url or "").partition("?")[0] for product in products for url in product.output_image_urls]
    assert links[0] == links[1] == links[4]
    assert {product.processing_status for product in products} == {"completed", "failed"}


def test_only_duplicates_that_failed_are_done_again(darkroom: Darkroom, origin: Origin) -> None:
    url = origin.url + "/later.jpg"
    status, _ = finished(darkroom, catalogue([url], [url]))
    assert status.counts.failed == 2
    origin.route("/later.jpg", reply(jpeg(seed=23)))
    darkroom.retry(status.request_id)
    again = darkroom.wait(status.request_id, timeout_seconds=30)
    assert (again.counts.completed, again.counts.failed) == (2, 0)
    assert decisions(list(darkroom.products(status.request_id))) == ["compressed", "deduplicated"]
    assert len(origin.requests_to("/later.jpg")) == 2


def test_the_same_content_is_compressed_once_for_all_requests(
    service: Service, darkroom: Darkroom, origin: Origin
) -> None:
    body = jpeg(seed=24)
    first_url, second_url = origin.route("/one.jpg", reply(body)), origin.route("/two.jpg", reply(body))
    first, before = finished(darkroom, catalogue([first_url]))
    second, after = finished(darkroom, catalogue([second_url]))
    assert (decisions(before), decisions(after)) == (["compressed"], ["deduplicated"])
    assert outputs(before) == outputs(after)
    assert first.bytes == second.bytes
    assert service.object_keys(second.request_id) == {f"{second.request_id}/2/0.jpg"}
    _, other_options = finished(darkroom, catalogue([second_url]), options={"quality": 40})
    assert decisions(other_options) == ["compressed"]


def test_a_source_that_still_has_what_is_known_need_not_send_it(darkroom: Darkroom, origin: Origin) -> None:
    body = jpeg(seed=25)
    url = origin.route("/tagged.jpg", conditional(body))  # type: ignore[arg-type] # an answer
    _, before = finished(darkroom, catalogue([url]))
    _, after = finished(darkroom, catalogue([url]))
    assert (decisions(before), decisions(after)) == (["compressed"], ["deduplicated"])
    assert after[0].images[0].http_status == 304
    assert after[0].images[0].bytes_in == len(body)
    assert outputs(before) == outputs(after)
    changed = jpeg(seed=26)
    origin.route("/tagged.jpg", conditional(changed))  # type: ignore[arg-type] # an answer
    _, third = finished(darkroom, catalogue([url]))
    assert decisions(third) == ["compressed"]
    assert third[0].images[0].bytes_in == len(changed)


def test_a_weak_tag_says_nothing_about_bytes(darkroom: Darkroom, origin: Origin) -> None:
    body = jpeg(seed=27)
    url = origin.route("/weak.jpg", reply(body, headers=tagged(body, strong=False)))
    finished(darkroom, catalogue([url]))
    finished(darkroom, catalogue([url]))
    assert all("if-none-match" not in request.headers for request in origin.requests_to("/weak.jpg"))


def test_a_deleted_output_is_made_again(darkroom: Darkroom, origin: Origin) -> None:
    body = jpeg(seed=28)
    url = origin.route("/deleted.jpg", conditional(body))  # type: ignore[arg-type] # an answer
    first, before = finished(darkroom, catalogue([url]))
    kept = outputs(before)
    darkroom.delete(first.request_id)
    # Until its outputs are gone they may be used; afterwards they are made anew.
    for _ in range(3):
        _, after = finished(darkroom, catalogue([url]))
        assert outputs(after) == kept


def test_several_outputs_are_reused_together(service: Service, darkroom: Darkroom, origin: Origin) -> None:
    url = origin.route("/several.jpg", reply(jpeg(seed=29)))
    options = {"outputs": [{"name": "zoom"}, {"name": "thumb", "maxWidth": 60, "format": "webp"}]}
    _, before = finished(darkroom, catalogue([url]), options=options)
    second, after = finished(darkroom, catalogue([url]), options=options)
    assert {output.decision for output in after[0].images[0].outputs} == {"deduplicated"}
    assert [(each.name, each.bytes) for each in after[0].images[0].outputs] == [
        (each.name, each.bytes) for each in before[0].images[0].outputs
    ]
    assert len(service.object_keys(second.request_id)) == 2


def test_another_key_takes_nothing_from_this_one(service: Service, darkroom: Darkroom, origin: Origin) -> None:
    url = origin.route("/private.jpg", reply(jpeg(seed=30)))
    finished(darkroom, catalogue([url]))
    token = service.new_key()
    with service.client(token) as other:
        _, products = finished(other, catalogue([url]))
    assert decisions(products) == ["compressed"]
