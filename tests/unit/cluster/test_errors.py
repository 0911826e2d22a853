from __future__ import annotations

import pickle

import pytest

from cluster.codes import ImageErrorCode
from cluster.errors import (
    ApiError,
    BackupError,
    BlockedAddressError,
    CatalogueError,
    DarkroomError,
    HomeBusyError,
    ImageError,
    NamedStoreError,
    OptionsError,
    RefusedError,
    ServerStartError,
    StaleEpochError,
    StoreUnavailableError,
)
from cluster.records import RowProblem

ERRORS = [
    StoreUnavailableError("redis", "TimeoutError"),
    StaleEpochError("req_1"),
    ImageError(ImageErrorCode.RATE_LIMITED, "The source answered 429.", 429, 2.5),
    RefusedError(503, "queue_full", "The queue is full.", 30),
    CatalogueError([RowProblem(row=7, column="Images", value="x", code="invalid_url", message="Bad.")], 3, True),  # noqa: FBT003 - errors take positions
    OptionsError([("quality", "is too large")]),
    BlockedAddressError("shop.example", 22),
    HomeBusyError(".darkroom"),
    BackupError("target_exists", "It exists."),
    NamedStoreError("DARKROOM_MONGO_URL", "names a store that does not answer."),
    ServerStartError("redis", "redis.log", "oops", "Do this."),
    ApiError(409, "idempotency_conflict", "Used before.", {"code": "idempotency_conflict"}),
]


def all_errors(root: type[DarkroomError]) -> set[type[DarkroomError]]:
    return {root}.union(*(all_errors(child) for child in root.__subclasses__()))


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_crosses_processes_whole(error: DarkroomError) -> None:
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - as Ray does
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


def test_every_error_of_the_tree_is_tried() -> None:
    ours = {error for error in all_errors(DarkroomError) if error.__module__ == "cluster.errors"}
    assert ours - {DarkroomError} == {type(error) for error in ERRORS}


def test_only_errors_that_may_pass_are_transient() -> None:
    assert {code for code in ImageErrorCode if code.transient} == {
        "timeout",
        "connection_failed",
        "dns_unavailable",
        "download_truncated",
        "source_error",
        "rate_limited",
        "decoder_crashed",
        "out_of_memory",
        "internal_error",
    }
