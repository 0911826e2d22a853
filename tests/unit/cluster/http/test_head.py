"""The meaning of the status and the headers of an answer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from cluster.codes import ImageErrorCode
from cluster.errors import ImageError
from cluster.http.head import check_status, retry_after_seconds


@pytest.mark.parametrize("content_range", ["bytes 0-99/100", "Bytes  0-99/100", " bytes 0 - 99 / 100 ", "bytes 0-0/1"])
def test_a_range_may_be_the_whole(content_range: str) -> None:
    check_status(206, {"Content-Range": content_range})


@pytest.mark.parametrize(
    "content_range",
    [
        "",
        "bytes 0-98/100",
        "bytes 1-99/100",
        "bytes 0-99/*",
        "bytes */100",
        "items 0-99/100",
        "bytes 0-99/100, bytes 0-99/100",
        "bytes -1-99/100",
        f"bytes 0-{'9' * 5_000}/1{'0' * 5_000}",
        "\u0660",
    ],
)
def test_a_range_that_may_be_a_part_is_no_image(content_range: str) -> None:
    with pytest.raises(ImageError, match="sent a part of the image") as caught:
        check_status(206, {"Content-Range": content_range})
    assert caught.value.code is ImageErrorCode.DOWNLOAD_TRUNCATED


def test_retry_after_is_seconds_or_a_date() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    assert 85 < (retry_after_seconds(soon) or 0) <= 90
    assert retry_after_seconds("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert retry_after_seconds(" 7 ") == 7
    assert [retry_after_seconds(value) for value in ("", "soon", "-1", "9" * 5000, "1.5")] == [None] * 5
