from __future__ import annotations

import json
import logging
import sys

from cluster.telemetry import JsonFormatter


def test_a_line_of_the_log_is_json_with_its_request() -> None:
    record = logging.makeLogRecord(
        {"name": "darkroom.x", "levelname": "INFO", "msg": "closed %s", "args": ("it",), "requestId": "req_1"}
    )
    entry = json.loads(JsonFormatter().format(record))
    assert entry.pop("time").endswith("+00:00")
    assert entry == {"level": "info", "logger": "darkroom.x", "message": "closed it", "requestId": "req_1"}


def test_an_exception_stays_on_one_line() -> None:
    try:
        raise ValueError("no\nway")  # noqa: TRY301 - the formatter needs a real one
    except ValueError:
        record = logging.makeLogRecord({"msg": "failed", "exc_info": sys.exc_info()})
    line = JsonFormatter().format(record)
    assert "\n" not in line
    assert "ValueError: no\nway" in json.loads(line)["exception"]
