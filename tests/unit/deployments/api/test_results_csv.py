from __future__ import annotations

import csv
import io

import pytest

from cluster.codes import ImageErrorCode
from cluster.options import ImageOptions
from cluster.records import (
    Decision,
    Image,
    ImageFailure,
    ImageFormat,
    Output,
    ProcessingRequest,
    Product,
    Status,
    utc_now,
)
from deployments.api.results_csv import ResultsCsv, neutralised

REQUEST = ProcessingRequest(
    request_id="req_1",
    owner="key",
    created_at=utc_now(),
    queued_at=utc_now(),
    columns=["Serial Number", "Note", "Product Name", "Input Image Urls"],
    url_column=3,
    fingerprint="0",
)
DONE = Image(status=Status.COMPLETED)
GONE = Image(
    status=Status.FAILED, error=ImageFailure(code=ImageErrorCode.NOT_FOUND, message="The source answered 404.")
)
RETRIED = Image(
    status=Status.PENDING, error=ImageFailure(code=ImageErrorCode.TIMEOUT, message="The source was too slow.")
)


def product(*images: Image, name: str = "Chair") -> Product:
    urls = [f"https://shop.example/{index}.jpg" for index in range(len(images))]
    return Product(
        request_id="req_1",
        row=2,
        serial_number=1,
        product_name=name,
        input_image_urls=urls,
        output_image_urls=[
            f"req_1/2/{index}.jpg" if image.status is Status.COMPLETED else None for index, image in enumerate(images)
        ],
        images=list(images),
        cells=["1", "=SUM(A1)", name, ",".join(urls)],
        first_image=0,
    )


def table(*products: Product, request: ProcessingRequest = REQUEST, only_failed: bool = False) -> list[dict[str, str]]:
    results = ResultsCsv(request, link=lambda key: f"https://cdn.example/{key}", only_failed=only_failed)
    text = (results.header() + results.rows(products)).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text), delimiter=request.delimiter))


def test_the_catalogue_comes_back_with_links_and_errors() -> None:
    (row,) = table(product(DONE, GONE, DONE))
    assert list(row) == [*REQUEST.columns, "Output Image Urls", "Errors"]
    assert row["Output Image Urls"] == "https://cdn.example/req_1/2/0.jpg, , https://cdn.example/req_1/2/2.jpg"
    assert row["Errors"] == "image 2: not_found: The source answered 404."
    assert row["Input Image Urls"] == product(DONE, GONE, DONE).cells[3]


def test_several_outputs_have_a_column_each() -> None:
    options = ImageOptions.model_validate({"outputs": [{"name": "zoom"}, {"name": "thumb", "maxWidth": 200}]})
    request = REQUEST.model_copy(update={"options": options})
    outputs = [
        Output(
            name=name,
            key=f"req_1/2/0-{name}.jpg",
            bytes=9,
            width=9,
            height=9,
            format=ImageFormat.JPEG,
            quality=75,
            decision=Decision.COMPRESSED,
        )
        for name in ("zoom", "thumb")
    ]
    (row,) = table(product(DONE.model_copy(update={"outputs": outputs}), GONE), request=request)
    assert list(row) == [*REQUEST.columns, "Output Image Urls (zoom)", "Output Image Urls (thumb)", "Errors"]
    assert row["Output Image Urls (zoom)"] == "https://cdn.example/req_1/2/0-zoom.jpg, "
    assert row["Output Image Urls (thumb)"] == "https://cdn.example/req_1/2/0-thumb.jpg, "


def test_a_failed_image_leaves_an_empty_cell() -> None:
    (row,) = table(product(GONE))
    assert row["Output Image Urls"] == ""
    assert row["Errors"] == "not_found: The source answered 404."


def test_an_image_that_will_be_tried_again_is_no_error_yet() -> None:
    (row,) = table(product(RETRIED))
    assert row["Errors"] == ""


def test_only_failed_images_are_there_to_upload_again() -> None:
    (row,) = table(product(DONE, GONE, DONE, GONE), only_failed=True)
    assert row["Input Image Urls"] == "https://shop.example/1.jpg, https://shop.example/3.jpg"
    assert row["Output Image Urls"] == ""
    assert row["Errors"].startswith("image 2: not_found")


def test_the_file_keeps_its_dialect() -> None:
    request = REQUEST.model_copy(update={"delimiter": ";", "byte_order_mark": True})
    results = ResultsCsv(request, link=str, only_failed=False)
    assert results.header().startswith(b"\xef\xbb\xbfSerial Number;Note;")
    assert len(table(product(DONE), request=request)) == 1


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("=1+1", "'=1+1"),
        ("+1 800", "'+1 800"),
        ("-Chair", "'-Chair"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\tx", "'\tx"),
        ("\rx", "'\rx"),
        ("-5", "-5"),
        ("+1,234.50", "+1,234.50"),
        ("Chair =1", "Chair =1"),
        ("", ""),
    ],
)
def test_no_cell_runs_as_a_formula(cell: str, written: str) -> None:
    assert neutralised(cell) == written


def test_formulas_in_carried_cells_are_neutralised() -> None:
    (row,) = table(product(DONE, name="@chair"))
    assert row["Note"] == "'=SUM(A1)"
    assert row["Product Name"] == "'@chair"
