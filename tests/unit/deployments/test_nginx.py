"""The file for nginx lets through what Darkroom takes, and bounds the headers that Ray Serve does not bound."""

from __future__ import annotations

import re
from pathlib import Path

from cluster.settings import Settings
from deployments.api.admission import MAX_STORING_SECONDS
from deployments.api.bodies import MAX_JSON_BYTES, UPLOAD_PATH
from deployments.api.upload_bodies import FORM_OVERHEAD_BYTES

FILE = (Path(__file__).parents[3] / "deployments" / "nginx.conf").read_text()
UNITS = {"k": 1024, "m": 1024**2, "s": 1}


def block(head: str) -> str:
    """Return the directives of a block, without the blocks in it."""
    found = re.search(re.escape(head) + r" \{((?:[^{}]|\{[^{}]*\})*)\}", FILE)
    assert found is not None, head
    return re.sub(r"\n[^\n]*\{[^{}]*\}", "", found[1])


def value(directives: str, name: str) -> int:
    """Return the value of a directive in bytes or seconds."""
    found = re.search(rf"^\s*{name} (\d+)([kms]);", directives, re.MULTILINE)
    assert found is not None, name
    return int(found[1]) * UNITS[found[2]]


def test_every_line_is_a_directive_or_a_block() -> None:
    lines = [line.split("#")[0].strip() for line in FILE.splitlines()]
    assert all(line.endswith((";", "{", "}")) for line in lines if line)
    assert FILE.count("{") == FILE.count("}")


def test_half_sent_requests_end() -> None:
    server = block("server")
    assert value(server, "client_header_timeout") <= 10
    assert value(server, "client_body_timeout") == Settings.model_fields["upload_idle_seconds"].default
    assert "limit_conn darkroom " in server


def test_bodies_have_darkrooms_own_limits() -> None:
    upload = block(f"location = {UPLOAD_PATH}")
    assert value(block("server"), "client_max_body_size") == MAX_JSON_BYTES
    default_bytes = Settings.model_fields["max_upload_bytes"].default
    assert value(upload, "client_max_body_size") == default_bytes + FORM_OVERHEAD_BYTES
    assert "proxy_request_buffering off;" in upload
    assert value(upload, "proxy_read_timeout") > MAX_STORING_SECONDS


def test_darkroom_learns_that_a_request_came_by_https() -> None:
    assert "proxy_set_header X-Forwarded-Proto $scheme;" in block("server")
