"""Which errors of MongoDB mean that it is away for a while, by its answers as PyMongo reads them."""

from __future__ import annotations

import pytest
from pymongo.errors import OperationFailure
from pymongo.helpers_shared import _check_command_response

from cluster.errors import StoreUnavailableError
from cluster.mongo.connection import Document, mongo_errors

WIRE_VERSION = 17  # of MongoDB 6.0


def check(answer: Document) -> None:
    with mongo_errors():
        _check_command_response(answer, WIRE_VERSION)


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (6, "HostUnreachable"),
        (7, "HostNotFound"),
        (50, "MaxTimeMSExpired"),
        (89, "NetworkTimeout"),
        (91, "ShutdownInProgress"),
        (134, "ReadConcernMajorityNotAvailableYet"),
        (189, "PrimarySteppedDown"),
        (211, "KeyNotFound"),
        (262, "ExceededTimeLimit"),
        (9001, "SocketException"),
        (10107, "NotWritablePrimary"),
        (11600, "InterruptedAtShutdown"),
        (11602, "InterruptedDueToReplStateChange"),
        (13435, "NotPrimaryNoSecondaryOk"),
        (13436, "NotPrimaryOrSecondary"),
    ],
)
def test_a_read_that_meets_a_starting_or_ending_server_is_unavailable(code: int, name: str) -> None:
    with pytest.raises(StoreUnavailableError):
        check({"ok": 0.0, "code": code, "codeName": name, "errmsg": name})


def test_a_label_of_the_server_counts() -> None:
    with pytest.raises(StoreUnavailableError):
        check({"ok": 0.0, "code": 251, "errmsg": "NoSuchTransaction", "errorLabels": ["TransientTransactionError"]})


@pytest.mark.parametrize(("code", "name"), [(2, "BadValue"), (13, "Unauthorized"), (18, "AuthenticationFailed")])
def test_a_refusal_is_no_matter_of_time(code: int, name: str) -> None:
    with pytest.raises(OperationFailure):
        check({"ok": 0.0, "code": code, "codeName": name, "errmsg": name})
