"""A JSON body with a wrong type, an unknown field or an unusable text is refused by its field."""

from __future__ import annotations

import httpx
import pytest
from fastapi import FastAPI

from deployments.api.json_body import JsonBody
from deployments.api.problems import install_problem_handlers


class Change(JsonBody):
    """A body as a route has it."""

    priority: int
    note: str = ""


app = FastAPI()
install_problem_handlers(app)


@app.patch("/")
async def change(body: Change) -> Change:
    """Answer with the body."""
    return body


async def answer_to(body: bytes) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://darkroom.test") as client:
        return await client.patch("/", content=body, headers={"content-type": "application/json"})


async def test_a_body_of_the_right_types_is_taken() -> None:
    assert (await answer_to(b'{"priority": 9, "note": "\\ud83d\\ude00"}')).json() == {"priority": 9, "note": "😀"}


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b'{"priority": true}', "priority"),
        (b'{"priority": "9"}', "priority"),
        (b'{"priority": 9.0}', "priority"),
        (b'{"priority": 9, "colour": 1}', "colour"),
        (b'{"priority": 9, "note": "a\\ud800"}', "note"),
        (b'{"priority": 9, "note": "a\\u0000"}', "note"),
        (b'{"priority": 9, "\\udfff": 1}', "\\udfff"),
        (b'{"priority": 9, "note": "\xff"}', ""),
        (b"[" * 20_000, ""),
        (b"[" * 900 + b"]" * 900, ""),
        (b"{", ""),
    ],
)
async def test_another_body_is_refused_with_400(body: bytes, named: str) -> None:
    answer = await answer_to(body)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert named in answer.json()["detail"]
