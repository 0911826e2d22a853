"""A browser makes no change for another site, and every answer tells it how to treat it."""

from __future__ import annotations

import httpx
import pytest
from starlette.responses import PlainTextResponse

from deployments.api.browsers import OwnSite, SecurityHeaders

EVIL = "https://evil.example"


async def answer_to(
    method: str, headers: dict[str, str], *, path: str = "/api/upload", url: str = "http://darkroom.test"
) -> httpx.Response:
    app = SecurityHeaders(OwnSite(PlainTextResponse("done"), public_url="https://images.shop.example/"))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=url) as client:
        return await client.request(method, path, headers=headers)


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site", "origin": EVIL},
        {"sec-fetch-site": "same-site", "origin": "http://other.darkroom.test"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "cross-site", "origin": "http://darkroom.test"},
        {"sec-fetch-site": ""},
        {"origin": EVIL},
        {"origin": "null"},
        {"origin": ""},
        {"origin": "http://darkroom.test.evil.example"},
        {"origin": "http://darkroom.test:81"},
    ],
)
@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
async def test_a_change_for_another_site_is_refused(method: str, headers: dict[str, str]) -> None:
    answer = await answer_to(method, headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "cross_site")
    assert (await answer_to("GET", headers)).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"sec-fetch-site": "same-origin", "origin": "http://darkroom.test"},
        {"sec-fetch-site": "none"},
        {"origin": "http://darkroom.test"},
        {"origin": "https://darkroom.test"},
        {"origin": "https://images.shop.example"},
    ],
)
async def test_a_program_and_darkrooms_own_pages_may_change(headers: dict[str, str]) -> None:
    assert (await answer_to("POST", headers)).status_code == 200


@pytest.mark.parametrize("headers", [{}, {"origin": EVIL}], ids=["answer", "refusal"])
async def test_every_answer_has_the_headers_for_browsers(headers: dict[str, str]) -> None:
    answer = await answer_to("POST", headers)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert "strict-transport-security" not in answer.headers


async def test_https_stays_https() -> None:
    answer = await answer_to("GET", {}, url="https://darkroom.test")
    assert answer.headers["strict-transport-security"].startswith("max-age=")


async def test_the_documentation_may_run_its_own_script() -> None:
    policy = (await answer_to("GET", {}, path="/docs")).headers["content-security-policy"]
    assert "script-src 'self' 'unsafe-inline'" in policy
    assert "frame-ancestors 'none'" in policy
