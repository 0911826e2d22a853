"""The fields of an upload's form are texts. The values inside `options` have exactly their types."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import httpx
import pytest
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse

from cluster.errors import RefusedError
from deployments.api.problems import refusal
from deployments.api.upload_form import MAX_FIELD_BYTES, UploadFields, upload_form
from tests.support.memory import peak_below

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import Receive, Scope, Send

MOST_PEAK_BYTES = 20_000_000


async def parse(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the fields of the form."""
    try:
        async with upload_form(Request(scope, receive)) as form:
            fields = form.fields.model_dump(mode="json", by_alias=True)
            answer = JSONResponse({**fields, "filename": form.filename, "file": form.file.read().decode()})
    except RefusedError as error:
        answer = refusal(error)
    await answer(scope, receive, send)


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(parse), base_url="http://darkroom.test") as client:
        yield client


async def test_a_form_field_is_read_from_its_text(client: httpx.AsyncClient) -> None:
    fields = {"priority": "5", "dryRun": "true", "deadlineSeconds": "60.5", "options": '{"effort": "max"}'}
    answer = (await client.post("/", data=fields, files={"file": b"x"})).json()
    assert (answer["priority"], answer["dryRun"], answer["deadlineSeconds"]) == (5, True, 60.5)
    assert answer["options"]["effort"] == "max"


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ('{"quality": true}', "quality"),
        ('{"quality": "70"}', "quality"),
        ('{"quality": 70.0}', "quality"),
        ('{"keepMetadata": 1}', "keepMetadata"),
        ('{"keepMetadata": "true"}', "keepMetadata"),
        ('{"maxWidth": true}', "maxWidth"),
        ('{"effort": true}', "effort"),
        ('{"outputs": [{"name": "a", "maxBytes": true}]}', "outputs.0.maxBytes"),
        ('{"background": "\\ud800"}', "background"),
        ('{"outputs": [{"name": "a", "b\\u0000": 1}]}', "outputs.0.b"),
    ],
)
async def test_an_option_of_another_type_is_refused(client: httpx.AsyncClient, options: str, field: str) -> None:
    answer = await client.post("/", data={"options": options}, files={"file": b"x"})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_options")
    assert field in answer.json()["detail"]


async def test_of_many_problems_ten_are_named(client: httpx.AsyncClient) -> None:
    options = json.dumps({f"o{number}": 1 for number in range(5_500)})
    detail = (await client.post("/", data={"options": options}, files={"file": b"x"})).json()["detail"]
    assert detail.startswith("The options are not valid. o0: there is no such field; o1: ")
    assert detail.endswith("o9: there is no such field; and 5,490 more")


def test_the_largest_options_take_little_memory() -> None:
    common = ",".join(f'"{number:x}":1' for number in range(2_731))
    options = f'{{"outputs":[{",".join(["{}"] * 1_000)}],{common}}}'
    with peak_below(MOST_PEAK_BYTES), pytest.raises(ValidationError, match="at most 10"):
        UploadFields.model_validate({"options": options})


@pytest.mark.parametrize(
    ("fields", "filename", "named"),
    [
        ({"columns": '{"Product Name": "\\ud800"}'}, "c.csv", "Product Name"),
        ({"columns": '{"\\udfff": "x"}'}, "c.csv", "columns"),
        ({"webhookUrl": "https://shop.example/\x00"}, "c.csv", "webhookUrl"),
        ({"onInvalidRow\x00": "x"}, "c.csv", "onInvalidRow"),
    ],
)
async def test_an_unusable_text_is_refused_by_its_field(
    client: httpx.AsyncClient, fields: dict[str, str], filename: str, named: str
) -> None:
    answer = await client.post("/", data=fields, files={"file": (filename, b"x")})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_field")
    assert named in answer.json()["detail"]


async def test_an_unusable_text_in_the_query_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.post("/?webhookUrl=%00", content=b"x", headers={"content-type": "text/csv"})
    assert answer.json()["code"] == "invalid_field"
    assert "webhookUrl" in answer.json()["detail"]


async def test_a_name_of_a_file_with_half_a_character_is_refused(client: httpx.AsyncClient) -> None:
    """By a charset of Python's own, a header can hold what UTF-8 cannot."""
    part = b'--x\r\ncontent-disposition: form-data; name="file"; filename="\\ud800"\r\n\r\na\r\n--x--\r\n'
    headers = {"content-type": "multipart/form-data; boundary=x; charset=unicode_escape"}
    answer = await client.post("/", content=part, headers=headers)
    assert answer.status_code == 400


@pytest.mark.parametrize("charset", ["undefined", "punycode"])
async def test_a_charset_that_decodes_nothing_is_a_malformed_form(client: httpx.AsyncClient, charset: str) -> None:
    part = b'--x\r\ncontent-disposition: form-data; name="a."\r\n\r\n\xff.\r\n--x--\r\n'
    headers = {"content-type": f"multipart/form-data; boundary=x; charset={charset}"}
    answer = await client.post("/", content=part, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_form")
    assert "UTF-8" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("disposition", "filename"),
    [
        ('name="file"; filename="b\u00fccher.csv"', "b\u00fccher.csv"),
        ("name=\"file\"; filename*=UTF-8''b%C3%BCcher.csv", "b\u00fccher.csv"),
        ("name=file; filename*=iso-8859-1'de'b%FCcher.csv", "b\u00fccher.csv"),
        ("name=\"file\"; FileName*=utf-8''a%20%22b%22.csv", 'a "b".csv'),
        ("name=\"file\"; filename=a.csv; filename*=UTF-8''b.csv", "a.csv"),
        ('name="file"; filename*=plain.csv', "plain.csv"),
        ("name=\"file\"; filename*=klingon''b.csv", "b.csv"),
        ('name="file"; filename=""', None),
        ('name="file"', None),
        ("name=file", None),
    ],
)
async def test_the_file_is_found_however_it_is_marked(
    client: httpx.AsyncClient, disposition: str, filename: str | None
) -> None:
    parts = (
        f"--x\r\ncontent-disposition: form-data; {disposition}\r\n\r\na,b\r\n"
        '--x\r\ncontent-disposition: form-data; name="priority"\r\n\r\n7\r\n--x--\r\n'
    )
    headers = {"content-type": "multipart/form-data; boundary=x"}
    answer = (await client.post("/", content=parts.encode(), headers=headers)).json()
    assert (answer["file"], answer["filename"], answer["priority"]) == ("a,b", filename, 7)


async def test_a_file_without_a_name_may_be_larger_than_a_field(client: httpx.AsyncClient) -> None:
    text = "a" * (MAX_FIELD_BYTES + 1)
    part = f'--x\r\ncontent-disposition: form-data; name="file"\r\n\r\n{text}\r\n--x--\r\n'
    headers = {"content-type": "multipart/form-data; boundary=x"}
    answer = await client.post("/", content=part.encode(), headers=headers)
    assert answer.json()["file"] == text


async def test_a_field_may_be_a_file_with_an_extended_name(client: httpx.AsyncClient) -> None:
    parts = (
        '--x\r\ncontent-disposition: form-data; name="file"\r\n\r\na\r\n'
        "--x\r\ncontent-disposition: form-data; name=\"options\"; filename*=UTF-8''o.json\r\n\r\n"
        '{"quality": 70}\r\n--x--\r\n'
    )
    headers = {"content-type": "multipart/form-data; boundary=x"}
    answer = await client.post("/", content=parts.encode(), headers=headers)
    assert answer.json()["options"]["quality"] == 70


async def test_two_files_are_refused_also_without_names(client: httpx.AsyncClient) -> None:
    part = '--x\r\ncontent-disposition: form-data; name="file"\r\n\r\na\r\n'
    headers = {"content-type": "multipart/form-data; boundary=x"}
    answer = await client.post("/", content=f"{part}{part}--x--\r\n".encode(), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "several_files")
