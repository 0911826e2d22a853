from __future__ import annotations

import io
import tempfile
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from cluster.errors import CatalogueError, RefusedError
from deployments.catalogue import Catalogue, CatalogueRow, Survey, open_catalogue, survey_catalogue, valid_rows

if TYPE_CHECKING:
    from cluster.records import RowProblem

HEADER = "S. No.,Name,Image Src\n"
URL = "https://shop.example/a.jpg"
HASH_BYTES = 8


def opened(
    text: str, *, max_rows: int = 100_000, max_images: int = 3, columns: dict[str, str] | None = None
) -> Catalogue:
    file = io.BytesIO(text.encode())
    return open_catalogue(file, max_rows=max_rows, max_images_per_product=max_images, columns=columns or {})


def surveyed(rows: str) -> Survey:
    return survey_catalogue(opened(HEADER + rows))


def header_problems(text: str) -> list[RowProblem]:
    with pytest.raises(CatalogueError) as caught:
        opened(text)
    assert caught.value.total == len(caught.value.problems)
    return list(caught.value.problems)


def test_a_good_catalogue_is_surveyed_and_read() -> None:
    catalogue = opened(f'Stock,Images,No,Title\r\n7,"{URL}, {URL}?2",01, Shoe \r\n\r\n,{URL},2,"Two\nlines"\r\n')
    assert catalogue.columns == ["Stock", "Images", "No", "Title"]
    assert catalogue.url_column == 1
    survey = survey_catalogue(catalogue)
    assert survey == Survey(rows=2, products=2, images=3, problems=[], problem_count=0, complete=True)
    assert survey.refusal(skip_invalid_rows=False) is None
    expected = [
        CatalogueRow(2, 1, "Shoe", (URL, f"{URL}?2"), ["7", f"{URL}, {URL}?2", "01", " Shoe "]),
        CatalogueRow(4, 2, "Two\nlines", (URL,), ["", URL, "2", "Two\nlines"]),
    ]
    assert list(valid_rows(catalogue)) == expected
    assert list(valid_rows(catalogue)) == expected, "a pass can be repeated"


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (f",Shoe,{URL}", [("S. No.", "", "missing_value")]),
        (f"1.5,Shoe,{URL}", [("S. No.", "1.5", "invalid_serial_number")]),
        (f"-1,Shoe,{URL}", [("S. No.", "-1", "invalid_serial_number")]),
        (f"٣,Shoe,{URL}", [("S. No.", "٣", "invalid_serial_number")]),
        (f"1000000000000000000,Shoe,{URL}", [("S. No.", "1000000000000000000", "invalid_serial_number")]),
        (f"1,  ,{URL}", [("Name", "", "missing_value")]),
        (f"1,Sh\x1boe,{URL}", [("Name", "Sh\x1boe", "invalid_value")]),
        (f"1,Sh\x92oe,{URL}", [("Name", "Sh\x92oe", "invalid_value")]),
        ("1,Shoe,", [("Image Src", "", "missing_value")]),
        ('1,Shoe," , ;"', [("Image Src", ", ;", "missing_value")]),
        ("1,Shoe", [("Image Src", "", "missing_value")]),
        ("1", [("Name", "", "missing_value"), ("Image Src", "", "missing_value")]),
        (
            "x,,shoe.jpg",
            [
                ("S. No.", "x", "invalid_serial_number"),
                ("Name", "", "missing_value"),
                ("Image Src", "shoe.jpg", "invalid_url"),
            ],
        ),
        (
            f'1,Shoe,"{URL}, htp://x, {URL}, //y"',
            [
                ("Image Src", f"{URL}, htp://x, {URL}, //y", "too_many_images"),
                ("Image Src", "htp://x", "invalid_url"),
            ],
        ),
        (
            '1,Shoe,"htp://x;ftp://y"',
            [("Image Src", "htp://x", "invalid_url"), ("Image Src", "ftp://y", "invalid_url")],
        ),
        (f"1,Shoe, red,{URL}", [(None, URL, "too_many_cells")]),
        (f'1,"Shoe" red,{URL}', [(None, f'1,"Shoe" red,{URL}', "stray_quote")]),
        (f'1,"Shoe,{URL}', [(None, f'1,"Shoe,{URL}', "unclosed_quote")]),
    ],
)
def test_every_error_of_a_row_is_listed(row: str, expected: list[tuple[str | None, str, str]]) -> None:
    survey = surveyed(f"1,Boot,{URL}\n\n{row}\n2,Sandal,{URL}\n")
    assert [(each.column, each.value, each.code) for each in survey.problems] == expected
    assert {each.row for each in survey.problems} == {4}
    assert survey.problem_count == len(expected)
    assert (survey.rows, survey.products, survey.images, survey.rejected_rows) == (3, 2, 2, 1)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("1,Shoe,htp://x", "Correct the image URL: it must start with http:// or https://."),
        (f"1,Shoe, red,{URL}", "has 4 cells and the header 3. Put a cell that contains commas or semicolons in"),
        (f"x,Shoe,{URL}", "Write a whole number of at most 18 digits"),
        (f'1,Shoe,"{URL},{URL},{URL},{URL}"', "has 4 image URLs and may have 3"),
    ],
)
def test_a_message_says_what_to_do(row: str, words: str) -> None:
    assert words in surveyed(row).problems[0].message


@pytest.mark.parametrize("serial", ["0", " 7 ", "007", "999999999999999999", "0" * 30 + "1"])
def test_whole_numbers_are_serial_numbers(serial: str) -> None:
    (row,) = valid_rows(opened(f"{HEADER}{serial},Shoe,{URL}"))
    assert row.serial_number == int(serial)
    assert row.cells[0] == serial


def test_cells_are_aligned_with_the_columns() -> None:
    catalogue = opened(f"No,Errors,Name,Images,Output Image Urls,Stock\n1,timeout,Shoe,{URL}\n2,,Boot,{URL},x,5,, \n")
    assert catalogue.columns == ["No", "Name", "Images", "Stock"]
    assert catalogue.url_column == 2
    assert [row.cells for row in valid_rows(catalogue)] == [["1", "Shoe", URL, ""], ["2", "Boot", URL, "5"]]


def test_a_long_value_is_shown_in_part() -> None:
    (problem,) = surveyed(f"1,Shoe,ftp://{'x' * 1_000}\n").problems
    assert problem.value is not None
    assert len(problem.value) == 200


@pytest.mark.parametrize("text", ["", "\ufeff", "\n", " \r\n,,\r\n"])
def test_an_empty_file_has_one_problem(text: str) -> None:
    assert [(each.row, each.code) for each in header_problems(text)] == [(1, "empty_file")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (HEADER, [(1, None, "no_rows")]),
        (f"\ufeff{HEADER}\n,,\n", [(1, None, "no_rows")]),
        (
            "Name,Name\n",
            [
                (1, "Serial Number", "missing_column"),
                (1, "Product Name", "duplicate_column"),
                (1, "Input Image Urls", "missing_column"),
                (1, None, "no_rows"),
            ],
        ),
        (f"\n\nNo,Name,Photo\n1,Shoe,{URL}\n", [(3, "Input Image Urls", "missing_column")]),
        (f'No,"Name,Images\n1,Shoe,{URL}\n', [(1, None, "unclosed_quote")]),
    ],
)
def test_all_errors_of_a_header_are_listed_at_once(text: str, expected: list[tuple[int, str | None, str]]) -> None:
    assert [(each.row, each.column, each.code) for each in header_problems(text)] == expected


def test_the_form_may_name_the_columns() -> None:
    catalogue = opened(
        f"SKU;Was;Photos\n1;Shoe;{URL}\n",
        columns={
            "serialNumber": "sku",
            "Product Name": "Was",
            "Input Image Urls": "Photos",
        },
    )
    assert [row.product_name for row in valid_rows(catalogue)] == ["Shoe"]


def test_a_thousand_problems_are_listed_and_all_are_counted() -> None:
    survey = surveyed("x,,\n" * 1_000 + f"1,Shoe,{URL}\n")
    assert survey.problem_count == 3_000
    assert len(survey.problems) == 1_000
    assert (survey.problems[0].row, survey.problems[-1].row) == (2, 335)
    assert (survey.rows, survey.rejected_rows, survey.products) == (1_001, 1_000, 1)


@pytest.mark.parametrize(("bad", "listed"), [(0, 1), (2, 3), (998, 999), (999, 1_000), (1_200, 1_000)])
def test_too_many_rows_are_one_problem_that_nothing_skips(bad: int, listed: int) -> None:
    rows = f",Shoe,{URL}\n" * bad + f"1,Shoe,{URL}\n" * 5
    catalogue = opened(HEADER + rows, max_rows=bad + 3)
    survey = survey_catalogue(catalogue)
    assert (survey.rows, survey.products, survey.complete) == (bad + 3, 3, False)
    assert len(survey.problems) == listed
    assert survey.problem_count == bad + 1
    assert (survey.problems[-1].code, survey.problems[-1].row) == ("too_many_rows", bad + 5)
    assert survey.refusal(skip_invalid_rows=True) is not None
    assert len(list(valid_rows(catalogue))) == 3


def test_as_many_rows_as_allowed_are_allowed() -> None:
    survey = survey_catalogue(opened(f"{HEADER}1,Shoe,{URL}\n\n", max_rows=1))
    assert survey.complete
    assert survey.problem_count == 0


@pytest.mark.parametrize(
    ("rows", "rejecting", "skipping"),
    [
        (f"1,Shoe,{URL}\n", False, False),
        (f"1,Shoe,{URL}\nx,Shoe,{URL}\n", True, False),
        (f"x,Shoe,{URL}\n", True, True),
    ],
)
def test_the_refusal_depends_on_whether_rows_may_be_skipped(rows: str, *, rejecting: bool, skipping: bool) -> None:
    survey = surveyed(rows)
    assert (survey.refusal(skip_invalid_rows=False) is not None) is rejecting
    assert (survey.refusal(skip_invalid_rows=True) is not None) is skipping


def test_a_refusal_carries_the_problems_and_their_total() -> None:
    refusal = surveyed("x,,\n" * 400).refusal(skip_invalid_rows=False)
    assert refusal is not None
    assert (len(refusal.problems), refusal.total) == (1_000, 1_200)


@pytest.mark.parametrize(("rows", "helps"), [(f"1,Shoe,{URL}\nx,Shoe,{URL}\n", True), (f"x,Shoe,{URL}\n", False)])
def test_a_refusal_offers_to_skip_rows_only_when_that_helps(rows: str, *, helps: bool) -> None:
    refusal = surveyed(rows).refusal(skip_invalid_rows=False)
    assert refusal is not None
    assert refusal.detail.startswith("The CSV has 1 error, and nothing was stored. Correct the listed ")
    assert ("skip rows with errors" in refusal.detail) is helps


def test_a_file_that_stops_being_text_is_refused_by_the_survey() -> None:
    data = f"{HEADER}1,Shoe,{URL}\n".encode() + b"2,Sch\xf6n,x\n"
    catalogue = open_catalogue(io.BytesIO(data), max_rows=10, max_images_per_product=10)
    with pytest.raises(RefusedError, match="Line 3 is not text in UTF-8"):
        survey_catalogue(catalogue)


@pytest.mark.no_cover  # tracing takes memory, too
def test_memory_grows_by_a_number_for_each_url_alone() -> None:
    assert peak_bytes(24_000) < peak_bytes(8_000) + 16_000 * HASH_BYTES * 1.5 + 100_000
    assert peak_bytes(8_000) < 3_000_000


def peak_bytes(rows: int) -> int:
    with tempfile.TemporaryFile() as file:
        file.write(HEADER.encode())
        for number in range(rows):
            file.write(f"{number},Shoe,https://shop.example/{number:0100}.jpg\n".encode())
        tracemalloc.start()
        catalogue = open_catalogue(file, max_rows=rows, max_images_per_product=1)
        assert survey_catalogue(catalogue).products == sum(1 for _ in valid_rows(catalogue)) == rows
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return peak
