from __future__ import annotations

import gzip
import io
import zipfile

import pytest

from cluster.errors import RefusedError
from deployments.catalogue.dialect import detect_dialect


def zipped(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, "text")
    return file.getvalue()


@pytest.mark.parametrize(
    ("head", "delimiter"),
    [
        ("a,b,c\n1;2;3;4;5\n", ","),
        ("a;b;c\n1,2,3,4,5\n", ";"),
        ('"a,b,c,d";e\n', ";"),
        ('"a ""x,y,z"" b";e\n', ";"),
        ('"a,b\nc";d\n', ","),
        ("a\n", ","),
        ("a,b;c\n", ","),
        ("\r\n;;;\r\n  \r\na,b\r\n", ","),
        ("a;b\r1,2,3\r", ";"),
        ("", ","),
    ],
)
def test_the_delimiter_is_the_more_frequent_one_of_the_header(head: str, delimiter: str) -> None:
    assert detect_dialect(io.BytesIO(head.encode())).delimiter == delimiter


def test_a_byte_order_mark_is_no_text() -> None:
    marked = detect_dialect(io.BytesIO(b"\xef\xbb\xbfa;b\n"))
    assert (marked.start, marked.byte_order_mark, marked.delimiter) == (3, True, ";")
    plain = detect_dialect(io.BytesIO(b"a;b\n"))
    assert (plain.start, plain.byte_order_mark) == (0, False)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (zipped("[Content_Types].xml", "xl/workbook.xml"), "This is an Excel workbook. Save it as “CSV UTF-8”"),
        (zipped("opendocument.txt"), "LibreOffice"),
        (zipped("a.csv"), "ZIP archive. Unpack it"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "Excel workbook of the old kind"),
        (gzip.compress(b"a,b", mtime=0), "gzip archive. Unpack it"),
        (b"7z\xbc\xaf\x27\x1c", "7-Zip"),
        (b"%PDF-1.7\n", "a PDF"),
        (b"\x89PNG\r\n\x1a\n", "an image"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "an image"),
        (b"GIF89a", "an image"),
        (b"RIFF\x00\x00\x00\x00WEBP", "an image"),
        ("a,b".encode("utf-16"), "UTF-16"),
        (b"\xfe\xff\x00a", "UTF-16"),
        (b"\n<!DOCTYPE html><html>", "a web page"),
        (b"\xef\xbb\xbf<html>", "a web page"),
        (b"<?xml version='1.0'?>", "XML"),
    ],
)
def test_a_file_that_is_not_a_csv_is_refused_by_name(data: bytes, words: str) -> None:
    with pytest.raises(RefusedError) as caught:
        detect_dialect(io.BytesIO(data))
    assert (caught.value.status, caught.value.code) == (415, "not_a_csv")
    assert words in caught.value.detail
