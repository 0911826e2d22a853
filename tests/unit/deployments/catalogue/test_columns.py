from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cluster.errors import RefusedError
from deployments.catalogue.columns import Layout, find_columns

if TYPE_CHECKING:
    from cluster.records import RowProblem

PLAIN = ["Serial Number", "Product Name", "Input Image Urls"]


def layout(header: list[str], columns: dict[str, str] | None = None) -> Layout:
    found = find_columns(header, 1, columns or {})
    assert isinstance(found, Layout), found
    return found


def places(header: list[str], columns: dict[str, str] | None = None) -> tuple[int, int, int]:
    found = layout(header, columns)
    return found.serial_number, found.product_name, found.image_urls


def problems(header: list[str], row: int = 1) -> list[RowProblem]:
    found = find_columns(header, row, {})
    assert not isinstance(found, Layout)
    return found


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (PLAIN, (0, 1, 2)),
        (["input_image_urls", " PRODUCT-NAME ", "serialNumber"], (2, 1, 0)),
        (["S. No.", "Product", "Image Urls"], (0, 1, 2)),
        (["Serial No", "Name", "Images"], (0, 1, 2)),
        (["SNo", "Title", "Image URL"], (0, 1, 2)),
        (["No", "Title", "Image Src"], (0, 1, 2)),
        (["No.", "TITLE", "image\nsrc"], (0, 1, 2)),
        # The first name of our list wins if several would do.
        (["No", "Title", "Name", "Product Name", "Images", "Serial Number"], (5, 3, 4)),
        (["Title", "Name", "No", "Image Src", "Images"], (2, 1, 4)),
        # Extra columns may be called anything, or nothing.
        (["", "No", "", "Name", "#", "Images", "", "Stock", "stock"], (1, 3, 5)),
    ],
)
def test_columns_are_found_by_any_of_their_names(header: list[str], expected: tuple[int, int, int]) -> None:
    assert places(header) == expected
    assert layout(header).names == header


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"Input Image Urls": "Photo links"}, (0, 1, 4)),
        ({"input_image_urls": " photo LINKS"}, (0, 1, 4)),
        ({"inputImageUrls": "Photo links", "productName": "#"}, (0, 5, 4)),
        ({"Serial Number": "SKU", "Product Name": "SKU"}, (3, 3, 2)),
        ({}, (0, 1, 2)),
    ],
)
def test_the_users_own_names_win(columns: dict[str, str], expected: tuple[int, int, int]) -> None:
    assert places([*PLAIN, "SKU", "Photo links", "#"], columns) == expected


def test_an_exact_name_of_the_users_wins_over_similar_ones() -> None:
    assert places(["no", "NO", "Name", "Images"], {"Serial Number": "NO"}) == (1, 2, 3)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"Price": "SKU"}, "“Serial Number”, “Product Name”, “Input Image Urls”"),
        ({"": "SKU"}, "not a column of Darkroom"),
        ({"Product Name": "Photos"}, "no column “Photos”. It has “Serial Number”"),
        ({"Product Name": ""}, "no column “”"),
        ({"Product Name": "SKU", "productName": "SKU"}, "twice"),
        ({"Product Name": "s-k-u"}, "2 columns “s-k-u”"),
    ],
)
def test_a_wrong_mapping_says_what_there_is(columns: dict[str, str], words: str) -> None:
    with pytest.raises(RefusedError) as caught:
        find_columns([*PLAIN, "SKU", "sku"], 1, columns)
    assert (caught.value.status, caught.value.code) == (400, "invalid_columns")
    assert words in caught.value.detail


def test_every_missing_column_is_named_with_its_other_names() -> None:
    found = problems(["Name", "Photo"], row=3)
    assert [(each.row, each.column, each.code) for each in found] == [
        (3, "Serial Number", "missing_column"),
        (3, "Input Image Urls", "missing_column"),
    ]
    assert "“Image Src”" in found[1].message
    assert "the file has “Name”, “Photo”." in found[1].message


def test_a_header_of_hundreds_of_columns_is_not_repeated_whole() -> None:
    (found,) = problems(["No", "Name", *(f"Column {number} {'x' * 100}" for number in range(500))])
    assert "and 482 more" in found.message
    assert len(found.message) < 2_000


def test_two_columns_of_one_name_are_a_duplicate() -> None:
    found = problems(["No", "Image URL", "image_url", "Stock", "stock"])
    assert [(each.column, each.value, each.code) for each in found] == [
        ("Product Name", None, "missing_column"),
        ("Input Image Urls", "image_url", "duplicate_column"),
    ]


@pytest.mark.parametrize(
    ("header", "columns", "names"),
    [
        ([*PLAIN, "Output Image Urls", "Errors"], {}, PLAIN),
        (["Errors", "output image urls", *PLAIN, "Errors"], {}, PLAIN),
        ([*PLAIN, "Output Image Urls", "Stock"], {}, [*PLAIN, "Stock"]),
        ([*PLAIN, "Output Image Urls (zoom)", "Output Image Urls (thumb)", "Errors"], {}, PLAIN),
        ([*PLAIN, "Output Image Urls of 2024"], {}, [*PLAIN, "Output Image Urls of 2024"]),
        ([*PLAIN, "Errors"], {}, [*PLAIN, "Errors"]),
        (
            ["No", "Name", "Output Image Urls", "Errors"],
            {"Input Image Urls": "Output Image Urls"},
            ["No", "Name", "Output Image Urls"],
        ),
    ],
)
def test_columns_of_an_earlier_result_are_left_out(
    header: list[str], columns: dict[str, str], names: list[str]
) -> None:
    found = layout(header, columns)
    assert found.names == names
    assert names[found.image_urls] in {"Input Image Urls", "Output Image Urls"}
