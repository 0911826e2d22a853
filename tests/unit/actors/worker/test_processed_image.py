"""The end of an attempt: another one later, or a terminal result."""

from __future__ import annotations

import pytest

from actors.messages import OutcomeKind
from actors.worker.processed_image import ProcessedImage, after_error, completed
from cluster.codes import ImageErrorCode
from cluster.errors import ImageError
from cluster.records import Decision, Image, ImageFormat, Output, Status
from tests.support.batches import work_item

MAX_ATTEMPTS, BACKOFF_SECONDS = 3, 2.5


def after(
    code: ImageErrorCode, *, failures: int = 0, lost: int = 0, retry_after_seconds: float | None = None
) -> ProcessedImage:
    return after_error(
        work_item(attempt=1 + failures + lost, failures=failures),
        ImageError(code, "It failed.", 500, retry_after_seconds),
        max_attempts=MAX_ATTEMPTS,
        backoff_seconds=BACKOFF_SECONDS,
    )


def output(name: str) -> Output:
    return Output(
        name=name,
        key=f"req_1/2/0{name}.jpg",
        bytes=1,
        width=1,
        height=1,
        format=ImageFormat.JPEG,
        quality=75,
        decision=Decision.COMPRESSED,
    )


def test_a_failed_image_keeps_the_cpu_time_of_its_compression() -> None:
    error = ImageError(ImageErrorCode.CORRUPT_IMAGE, "It failed.", 200, cpu_seconds=0.25)
    ended = after_error(work_item(), error, max_attempts=MAX_ATTEMPTS, backoff_seconds=BACKOFF_SECONDS)
    assert ended.result is not None
    assert ended.result.image.document()["cpuSeconds"] == 0.25


@pytest.mark.parametrize("code", ImageErrorCode)
def test_a_permanent_error_is_final_and_a_transient_one_is_not(code: ImageErrorCode) -> None:
    ended = after(code)
    assert ended.outcome.kind is (OutcomeKind.RETRY if code.transient else OutcomeKind.FAILED)
    assert (ended.result is None) is code.transient


def test_a_transient_error_of_the_last_attempt_is_final() -> None:
    kinds = [after(ImageErrorCode.TIMEOUT, failures=failures).outcome.kind for failures in range(MAX_ATTEMPTS)]
    assert kinds == [*[OutcomeKind.RETRY] * (MAX_ATTEMPTS - 1), OutcomeKind.FAILED]


def test_a_lost_attempt_does_not_count() -> None:
    assert after(ImageErrorCode.TIMEOUT, lost=20).outcome.kind is OutcomeKind.RETRY


def test_a_final_result_says_why_and_after_how_many_attempts() -> None:
    result = after(ImageErrorCode.SOURCE_ERROR, failures=2, lost=1).result
    assert result is not None
    assert (result.row, result.index, result.key) == (2, 0, None)
    image = result.image
    assert image.error is not None
    assert (image.status, image.error.code, image.http_status, image.attempts) == (
        Status.FAILED,
        "source_error",
        500,
        4,
    )


def test_the_pause_before_another_attempt_is_a_backoff() -> None:
    assert after(ImageErrorCode.TIMEOUT, failures=1).outcome.delay_seconds == BACKOFF_SECONDS


@pytest.mark.parametrize(("asked", "pause"), [(7, 7), (0, 0), (100_000, 3600)])
def test_the_pause_is_the_one_that_the_source_asked_for_up_to_an_hour(asked: float, pause: float) -> None:
    assert after(ImageErrorCode.RATE_LIMITED, retry_after_seconds=asked).outcome.delay_seconds == pause


@pytest.mark.parametrize(("names", "kept"), [([""], 0), (["large", "small"], 2)])
def test_several_outputs_are_kept_and_a_single_one_is_the_image_itself(names: list[str], kept: int) -> None:
    image = Image(status=Status.COMPLETED, outputs=[output(name) for name in names])
    ended = completed(work_item(), image)
    assert ended.outcome.kind is OutcomeKind.COMPLETED
    assert ended.result is not None
    assert ended.result.key == f"req_1/2/0{names[0]}.jpg"
    assert len(ended.result.image.outputs) == kept
