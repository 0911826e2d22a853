"""Every refusal of an upload has a status, a code and a problem, and stores nothing."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.app import refused
from tests.support.catalogues import HEADER, catalogue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

    from tests.support.app import Api

GOOD = catalogue(["https://shop.example/a.jpg"])
pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("nothing_stored")]


async def upload(api: Api, file: bytes = GOOD, /, **fields: str) -> httpx.Response:
    return await api.post("/api/upload", files={"file": ("catalogue.csv", file, "text/csv")}, data=fields)


def row_codes(problem: dict[str, Any]) -> list[tuple[int, str | None, str]]:
    return [(error["row"], error["column"], error["code"]) for error in problem["errors"]]


async def test_400_a_form_without_a_file(api: Api) -> None:
    response = await api.post("/api/upload", data={"priority": "5"}, files={"other": ("x.csv", GOOD)})
    refused(response, 400, "missing_file")


async def test_400_a_form_that_cannot_be_read(api: Api) -> None:
    headers = {"content-type": "multipart/form-data; boundary=x"}
    response = await api.post("/api/upload", content=b"not a form", headers=headers)
    refused(response, 400, "malformed_form")


@pytest.mark.parametrize(
    ("fields", "code", "named"),
    [
        ({"priority": "10"}, "invalid_field", "priority"),
        ({"onInvalidRow": "ignore"}, "invalid_field", "onInvalidRow"),
        ({"columns": "{"}, "invalid_field", "columns"),
        ({"columns": '{"Price": "Cost"}'}, "invalid_columns", "Price"),
        ({"colour": "red"}, "invalid_field", "colour"),
        ({"options": "{"}, "invalid_options", "options"),
        ({"options": '{"quality": 101}'}, "invalid_options", "quality"),
        ({"options": '{"quality": true}'}, "invalid_options", "quality"),
        ({"columns": '{"Product Name": "\\ud800"}'}, "invalid_field", "columns"),
        ({"options": '{"format": "bmp"}'}, "invalid_options", "format"),
        ({"options": '{"maxWidth": 0}'}, "invalid_options", "maxWidth"),
        ({"options": '{"background": "red"}'}, "invalid_options", "background"),
        ({"options": '{"format": "auto"}'}, "invalid_options", "formats"),
        ({"options": '{"minQuality": 30}'}, "invalid_options", "minQuality"),
        ({"options": '{"outputs": [{"name": "a", "effort": "most"}]}'}, "invalid_options", "outputs.0.effort"),
        ({"options": '{"qualty": 70}'}, "invalid_options", "qualty"),
        ({"webhookUrl": "ftp://shop.example/hook"}, "invalid_webhook_url", "http"),
        ({"webhookUrl": "http://shop.example/hook"}, "invalid_webhook_url", "https://"),
        ({"webhookUrl": "https://user:secret@shop.example/"}, "invalid_webhook_url", "password"),
        ({"webhookUrl": "https://93.184.216.34:6379/"}, "invalid_webhook_url", "port 6379"),
        ({"webhookUrl": "https://10.0.0.1/"}, "invalid_webhook_url", "may not connect to 10.0.0.1"),
        ({"webhookSecret": "whsec_x"}, "invalid_webhook_url", "webhookUrl"),
        ({"webhookUrl": "https://shop.example/", "webhookSecret": "x"}, "invalid_webhook_secret", "whsec_"),
    ],
)
async def test_400_a_field_that_is_not_valid_is_named(api: Api, fields: dict[str, str], code: str, named: str) -> None:
    assert named in refused(await upload(api, **fields), 400, code)["detail"]


@pytest.mark.parametrize("key", [b"x" * 256, b"\xe9"], ids=["too-long", "not-ascii"])
async def test_400_an_idempotency_key_that_cannot_be(api: Api, key: bytes) -> None:
    response = await api.post("/api/upload", files={"file": GOOD}, headers=[(b"idempotency-key", key)])
    assert "idempotency-key" in refused(response, 400, "invalid_parameter")["detail"]


@pytest.mark.parametrize("body", [b'{"priority": true}', b'{"priority": "5"}', b'{"priority": 5, "\\ud800": 1}'])
async def test_400_a_json_body_of_other_types(api: Api, body: bytes) -> None:
    response = await api.patch("/api/requests/x", content=body, headers={"content-type": "application/json"})
    refused(response, 400, "invalid_parameter")


async def test_404_and_405_are_problems_too(api: Api) -> None:
    refused(await api.get("/api/status/req_none"), 404, "request_not_found")
    refused(await api.get("/api/nothing"), 404, "not_found")
    refused(await api.delete("/api/status/req_none"), 405, "method_not_allowed")


async def test_413_a_file_that_says_it_is_too_large(api: Api) -> None:
    refused(await upload(api, bytes(2_000_000)), 413, "too_large")


async def test_413_a_stream_that_becomes_too_large(api: Api) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 10_000
            yield b"x" * 10_000

    response = await api.post("/api/upload", content=endless(), headers={"content-type": "text/csv"})
    refused(response, 413, "too_large")
    assert sent < 2_000_000


async def test_413_more_images_than_the_queue_can_ever_take(api: Api) -> None:
    response = await upload(api, catalogue([f"https://shop.example/{number}.jpg" for number in range(6)]))
    assert "6 images. At most 5 are allowed" in refused(response, 413, "too_many_images")["detail"]


async def test_415_a_body_that_is_neither_a_form_nor_a_csv(api: Api) -> None:
    response = await api.post("/api/upload", content=b"{}", headers={"content-type": "application/json"})
    refused(response, 415, "not_a_csv")


def workbook() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("xl/workbook.xml", "<workbook/>")
    return file.getvalue()


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (workbook(), "Excel workbook"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "image"),
        (b"No,Name,Images\n1,\x00,x\n", "NUL"),
        ("Serial Number,Product Name,Input Image Urls\n1,Stühle,https://x.example/a.jpg\n".encode("latin-1"), "UTF-8"),
    ],
)
async def test_415_a_file_that_is_no_text(api: Api, file: bytes, said: str) -> None:
    assert said in refused(await upload(api, file), 415, "not_a_csv")["detail"]


@pytest.mark.parametrize(
    ("file", "errors"),
    [
        (b"", [(1, None, "empty_file")]),
        (catalogue(), [(1, None, "no_rows")]),
        (
            b"Serial Number,Price\n1,2\n",
            [(1, "Product Name", "missing_column"), (1, "Input Image Urls", "missing_column")],
        ),
        (b"No,Name,Images,No\n1,a,https://x.example/a.jpg,2\n", [(1, "Serial Number", "duplicate_column")]),
    ],
)
async def test_422_a_catalogue_with_wrong_columns_or_without_rows(
    api: Api, file: bytes, errors: list[tuple[int, str | None, str]]
) -> None:
    assert row_codes(refused(await upload(api, file), 422, "invalid_catalogue")) == errors


async def test_422_lists_every_error_with_row_column_value_and_code(api: Api) -> None:
    good = "https://shop.example/a.jpg"
    rows = [
        ",".join(HEADER),
        *(f"{number},Chair,{good}" for number in range(2, 7)),
        "7,Chair,htp://shop.example/a.jpg",
        f"eight,,{good}",
    ]
    problem = refused(await upload(api, "\n".join(rows).encode()), 422, "invalid_catalogue")
    assert problem["errorCount"] == 3
    assert row_codes(problem) == [
        (7, "Input Image Urls", "invalid_url"),
        (8, "Serial Number", "invalid_serial_number"),
        (8, "Product Name", "missing_value"),
    ]
    assert [error["value"] for error in problem["errors"]] == ["htp://shop.example/a.jpg", "eight", ""]
    assert all(error["message"] for error in problem["errors"])


async def test_422_too_many_rows(api: Api) -> None:
    response = await upload(api, catalogue(*[["https://shop.example/a.jpg"]] * 51))
    assert row_codes(refused(response, 422, "invalid_catalogue")) == [(52, None, "too_many_rows")]


async def test_422_when_every_row_would_be_skipped(api: Api) -> None:
    refused(await upload(api, catalogue(["htp://x"]), onInvalidRow="skip"), 422, "invalid_catalogue")


async def test_a_dry_run_validates_and_stores_nothing(api: Api) -> None:
    response = await upload(
        api, catalogue(["https://shop.example/a.jpg"] * 2, ["htp://x"]), dryRun="true", onInvalidRow="skip"
    )
    assert response.status_code == 200, response.text
    answer = response.json()
    assert answer["requestId"] is None
    assert answer["counts"] == {"rows": 2, "products": 1, "images": 2}
    assert [error["code"] for error in answer["rejectedRows"]] == ["invalid_url"]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/api/status/req_1?limit=0", "invalid_parameter"),
        ("/api/status/req_1?productStatus=done", "invalid_parameter"),
        ("/api/requests?status=done", "invalid_parameter"),
        ("/api/requests?limit=501", "invalid_parameter"),
    ],
)
async def test_400_a_parameter_that_cannot_be(api: Api, path: str, code: str) -> None:
    refused(await api.get(path), 400, code)
