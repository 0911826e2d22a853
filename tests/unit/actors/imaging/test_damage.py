from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from actors.imaging.compress import compress
from cluster.codes import ImageErrorCode
from cluster.errors import ImageError
from cluster.options import ImageOptions
from tests.unit.actors.imaging.pictures import LIMITS, photo, refusal, run, save

SOURCES = {
    "jpeg": save(photo(), "JPEG", quality=85),
    "progressive": save(photo(), "JPEG", quality=85, progressive=True),
    "png": save(photo(), "PNG"),
    "webp": save(photo(), "WEBP"),
    "webp lossless": save(photo(), "WEBP", lossless=True),
    "animated webp": save(photo(), "WEBP", save_all=True, append_images=[photo(seed=2), photo(seed=3)]),
    "gif": save(photo(), "GIF"),
    "animated gif": save(photo(), "GIF", save_all=True, append_images=[photo(seed=2), photo(seed=3)]),
    "tiff": save(photo(), "TIFF"),
    "tiff deflate": save(photo(), "TIFF", compression="tiff_adobe_deflate"),
    "bmp": save(photo(), "BMP"),
    "avif": save(photo(), "AVIF"),
}
DAMAGE = {ImageErrorCode.CORRUPT_IMAGE, ImageErrorCode.NOT_AN_IMAGE}
# Flipped bits may also claim another size or another format.
CLAIMS = {ImageErrorCode.TOO_MANY_PIXELS, ImageErrorCode.TOO_MANY_FRAMES, ImageErrorCode.UNSUPPORTED_FORMAT}


def outcome(data: bytes, **options: object) -> ImageErrorCode | None:
    try:
        compress(data, ImageOptions.model_validate(options), LIMITS)
    except ImageError as error:
        refused = error
    else:
        return None
    assert refused.message.endswith(".")
    assert "\n" not in refused.message
    return refused.code


@pytest.mark.parametrize("name", SOURCES)
def test_a_truncated_file_is_damaged_or_whole_enough(name: str) -> None:
    source = SOURCES[name]
    for length in {*range(1, 60, 7), *(len(source) * part // 40 for part in range(1, 40)), len(source) - 1}:
        assert outcome(source[:length]) in {None, *DAMAGE}, length


@pytest.mark.parametrize("name", SOURCES)
def test_half_a_file_is_damaged(name: str) -> None:
    source = SOURCES[name]
    for options in ({}, {"max_width": 40}, {"format": "png"}):
        assert refusal(source[: len(source) // 2], **options).code is ImageErrorCode.CORRUPT_IMAGE


@pytest.mark.parametrize("name", SOURCES)
def test_flipped_bytes_end_in_a_result_or_a_code(name: str) -> None:
    dice = random.Random(name)  # noqa: S311 - must repeat
    for _ in range(40):
        source = bytearray(SOURCES[name])
        reach = len(source) if dice.random() < 0.5 else min(200, len(source))
        for _ in range(dice.randint(1, 8)):
            source[dice.randrange(reach)] = dice.randrange(256)
        assert outcome(bytes(source), max_width=80) in {None, *DAMAGE, *CLAIMS}


@pytest.mark.parametrize("name", SOURCES)
def test_garbage_behind_a_signature_is_damaged(name: str) -> None:
    dice = random.Random(name)  # noqa: S311 - must repeat
    for length in (0, 1, 20, 300, 5000):
        garbage = SOURCES[name][:16] + dice.randbytes(length)
        assert outcome(garbage) in {*DAMAGE, *CLAIMS}


def test_garbage_is_no_image() -> None:
    dice = random.Random(1)  # noqa: S311 - must repeat
    for length in range(1, 400):
        assert outcome(b"\x01" + dice.randbytes(length)) is ImageErrorCode.NOT_AN_IMAGE


def test_messages_of_the_library_never_enter_python(caplog: pytest.LogCaptureFixture) -> None:
    # GLib aborts the process when a message comes while another is handled. A garbage collection is enough for that.
    with caplog.at_level("DEBUG"):
        for source in SOURCES.values():
            outcome(source[: len(source) // 2], max_width=40)
    assert [record.getMessage() for record in caplog.records if record.getMessage().startswith("VIPS")] == []


def test_threads_do_not_disturb_each_other() -> None:
    jobs = list(SOURCES.values()) * 3
    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(lambda data: run(data, format="webp").data, jobs))
    assert results == [run(data, format="webp").data for data in jobs]
