from __future__ import annotations

import csv
import io
import random
from typing import Literal

import pytest

from cluster.errors import RefusedError
from cluster.records import RowProblem
from deployments.catalogue.dialect import Dialect
from deployments.catalogue.grammar import read_cells

COMMA = Dialect(encoding="utf-8", byte_order_mark=False, delimiter=",")


def read(data: bytes | str, dialect: Dialect = COMMA) -> list[tuple[int, list[str] | str]]:
    """The rows, each with its cells or with the code of its problem."""
    file = io.BytesIO(data.encode() if isinstance(data, str) else data)
    return [(row, cells.code if isinstance(cells, RowProblem) else cells) for row, cells in read_cells(file, dialect)]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("", []),
        ("a,b", [(1, ["a", "b"])]),
        ("a,b\n", [(1, ["a", "b"])]),
        ("a\nb\nc", [(1, ["a"]), (2, ["b"]), (3, ["c"])]),
        ("a\r\nb\r\n", [(1, ["a"]), (2, ["b"])]),
        ("a\rb\r", [(1, ["a"]), (2, ["b"])]),
        ("a\r\rb\n\r\nc", [(1, ["a"]), (3, ["b"]), (5, ["c"])]),
        ("\n\n , ,\n\t\na\n\n,,\n", [(5, ["a"])]),
        ('"a\n\nb",c\nd\n', [(1, ["a\n\nb", "c"]), (4, ["d"])]),
        ('"a\r\nb"\r\nc', [(1, ["a\r\nb"]), (3, ["c"])]),
        ('"a\rb"\rc', [(1, ["a\rb"]), (3, ["c"])]),
        ('"a ""b"" c",""\n', [(1, ['a "b" c', ""])]),
        ('27" screen,5"\n', [(1, ['27" screen', '5"'])]),
        (" a , b \n", [(1, [" a ", " b "])]),
        ("a\x0bb\x1cc\u2028d\x85e\n", [(1, ["a\x0bb\x1cc\u2028d\x85e"])]),
        ("schön,鞋\n", [(1, ["schön", "鞋"])]),
    ],
)
def test_rows_are_read_with_the_line_they_start_on(text: str, rows: list[tuple[int, list[str]]]) -> None:
    assert read(text) == rows


def test_semicolons_and_a_byte_order_mark() -> None:
    dialect = Dialect(encoding="utf-8", byte_order_mark=True, delimiter=";")
    assert read(b"\xef\xbb\xbfa,b;c\n", dialect) == [(1, ["a,b", "c"])]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ('a\n"b,c\nd\ne', [(1, ["a"]), (2, "unclosed_quote"), (3, ["d"]), (4, ["e"])]),
        ('a\n"b\n"c",d\ne\n', [(1, ["a"]), (2, "unclosed_quote"), (3, ["c", "d"]), (4, ["e"])]),
        ('"b', [(1, "unclosed_quote")]),
        ('a\n\n"b\n\n"c\nd', [(1, ["a"]), (3, "unclosed_quote"), (5, "unclosed_quote"), (6, ["d"])]),
        ('a\n"b" c,d\ne\n', [(1, ["a"]), (2, "stray_quote"), (3, ["e"])]),
        ('"27" screen"\ne\n', [(1, "stray_quote"), (2, ["e"])]),
    ],
)
def test_a_wrong_quote_spoils_its_own_row_and_no_other(text: str, rows: list[tuple[int, list[str] | str]]) -> None:
    assert read(text) == rows


def test_an_unclosed_quote_before_a_hundred_thousand_rows_costs_one_row() -> None:
    rows = read(b'a,b\nc,"d\n' + b"1,https://shop.example/1.jpg\n" * 100_000)
    assert rows[1] == (2, "unclosed_quote")
    assert rows[2] == (3, ["1", "https://shop.example/1.jpg"])
    assert len(rows) == 100_002


@pytest.mark.no_cover  # tracing makes it seven times as slow
@pytest.mark.timeout(120)
def test_going_back_is_bounded() -> None:
    # Each of these lines opens a quote that the next ones leave open.
    rows = read(b'a",""",x\n' * 500_000)
    assert {code for _, code in rows} == {"unclosed_quote"}
    assert rows[1][0] == 2
    assert len(rows) < 1_000


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"x" * 131_073, "cell_too_large"),
        (b'"' + b"x" * 131_073 + b'"', "cell_too_large"),
        (b'"' + b"x\n" * 66_000 + b'"', "unclosed_quote"),
        (b"xxxx," * 250_000, "row_too_large"),
        (b"x" * 5_000_000, "row_too_large"),
        ("é".encode() * 2_500_000, "row_too_large"),
    ],
)
def test_too_large_a_row_is_an_error_of_that_row(line: bytes, code: str) -> None:
    rows = read(b"a\n" + line + b"\nb\n")
    assert rows[:2] == [(1, ["a"]), (2, code)]
    assert rows[-1][1] == ["b"]
    assert read(b"x" * 131_072) == [(1, ["x" * 131_072])]


@pytest.mark.parametrize("padding", range(4))
def test_chunks_do_not_show(padding: int) -> None:
    line = "é,鞋\r\n".encode()
    data = b"x" * padding + line * 100_000
    assert [cells for _, cells in read(data)][1:] == [["é", "鞋"]] * 99_999


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"a\nb\nsch\xf6n\n", "Line 3 is not text in UTF-8"),
        (b'a\n"b\nsch\xf6n"\n', "Line 3 is not text in UTF-8"),
        (b"a\n" * 300_000 + b"\xff\n", "Line 300001 is not"),
        (b"a\nb\0c\n", "NUL bytes"),
    ],
)
def test_a_file_that_stops_being_text_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(RefusedError) as caught:
        read(data)
    assert (caught.value.status, caught.value.code) == (415, "not_a_csv")
    assert words in caught.value.detail


@pytest.mark.parametrize("delimiter", [",", ";"])
# The module quotes a lone CR or LF only if that is a part of its line end.
@pytest.mark.parametrize(
    ("line_end", "quoting"), [("\r\n", csv.QUOTE_MINIMAL), ("\n", csv.QUOTE_ALL), ("\r", csv.QUOTE_ALL)]
)
def test_the_output_of_the_csv_module_is_read_back_cell_by_cell(
    delimiter: str, line_end: str, quoting: Literal[0, 1]
) -> None:
    seeded = random.Random(11)  # noqa: S311 - repeatable test data
    pieces = ["a", " ", '"', '""', ",", ";", "\n", "\r", "\r\n", "é", "鞋", "\t", "\x0b", "\u2028", "'", "=1"]
    written = [
        ["x", *("".join(seeded.choices(pieces, k=seeded.randint(0, 8))) for _ in range(seeded.randint(0, 5)))]
        for _ in range(3_000)
    ]
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator=line_end, quoting=quoting).writerows(written)
    dialect = Dialect(encoding="utf-8", byte_order_mark=False, delimiter=delimiter)
    assert [cells for _, cells in read(text.getvalue(), dialect)] == written
