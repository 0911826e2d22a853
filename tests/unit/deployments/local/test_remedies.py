from __future__ import annotations

import pytest

from deployments.local.remedies import remedy

CASES = [
    (
        127,
        (
            "mongod: error while loading shared libraries: libcurl.so.4: cannot open shared object file: "
            "No such file or directory"
        ),
        "sudo apt install libcurl4`",
    ),
    (
        127,
        (
            "mongod: error while loading shared libraries: libcrypto.so.3: cannot open shared object file: "
            "No such file or directory"
        ),
        "sudo apt install libssl3`",
    ),
    (
        127,
        "x: error while loading shared libraries: libfoo.so.9: cannot open shared object file: No such file",
        "apt-file search libfoo.so.9",
    ),
    (
        1,
        "mongod: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.34' not found (required by mongod)",
        "Debian 12",
    ),
    (
        48,
        (
            '{"t":{"$date":"2026-01-01T00:00:00"},"s":"E","c":"CONTROL","id":20568,"msg":"Error setting up listener",'
            '"attr":{"error":{"code":9001,"codeName":"SocketException","errmsg":"Address already in use"}}}'
        ),
        "took its port while it started",
    ),
    (
        1,
        "# Could not create server TCP listening socket 127.0.0.1:6379: bind: Address already in use",
        "took its port while it started",
    ),
    (
        1,
        "F0101 s3.go:231 S3 API Server listener on 127.0.0.1:8333 error: bind: address already in use",
        "took its port while it started",
    ),
    (1, "[Errno 28] No space left on device: '/x/.darkroom/state.json'", "disk is full"),
    (1, "Can't open the append-only file: Permission denied", "belong to another user"),
    (
        62,
        (
            '{"s":"F","c":"CONTROL","id":20573,"msg":"Wrong mongod version","attr":{"error":"UPGRADE PROBLEM: Found an '
            'invalid featureCompatibilityVersion document (ERROR: Location4926900: Invalid"}}'
        ),
        "another version of MongoDB",
    ),
    (1, "# Can't handle RDB format version 11", "newer Redis"),
    (
        100,
        (
            '{"s":"E","c":"CONTROL","id":20557,"msg":"DBException in initAndListen, terminating","attr":{"error":'
            '"DBPathInUse: Unable to lock the lock file: /x/mongod.lock (Resource temporarily unavailable)."}}'
        ),
        "End that process first",
    ),
    (-4, "", "AVX"),
    (132, "Illegal instruction (core dumped)", "AVX"),
    (-9, "", "out of memory"),
    (None, "", "did not answer in time"),
    (3, "something that nobody has seen", "The reason is not known. See the log."),
]


@pytest.mark.parametrize(("exit_code", "tail", "expected"), CASES)
def test_the_remedy_names_what_to_do(exit_code: int | None, tail: str, expected: str) -> None:
    assert expected in remedy(exit_code, tail)
