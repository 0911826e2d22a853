"""Writes the tables of settings and limits: `python -m tests.support.settings_table > cluster/SETTINGS.md`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple

from pydantic import SecretStr

from actors.queue import capacity, fair_queue
from actors.webhook import sender
from actors.worker import host_limiter, pipeline, processed_image
from cluster.http import url
from cluster.mongo import outbox
from cluster.s3 import bucket
from cluster.settings import MEBIBYTE, Settings
from deployments.api import admission, app, upload_form
from deployments.api.routes import status, upload
from deployments.catalogue import lines, reading

if TYPE_CHECKING:
    from types import ModuleType

_HEAD = """\
# Settings and limits

`python -m tests.support.settings_table > cluster/SETTINGS.md` writes this file. A test compares it with the code.

## Settings

A setting is an environment variable. `darkroom up` refuses a misspelt one, which begins with `DARKROOM_` but is none.
Write a duration as a number of seconds and a size as a number of bytes. 1 MiB is 1048576 bytes.
[Operations](../deployments/operations.md#settings) tells how settings reach each process.

| Setting | Default | Meaning |
| --- | --- | --- |
"""
_LIMITS_HEAD = """
## Limits that are not settings

These limits are constants in the code.

| Limit | Value | Constant |
| --- | --- | --- |
"""


class Limit(NamedTuple):
    """A constant that limits what a client or a source may do."""

    module: ModuleType
    name: str
    meaning: str

    @property
    def file(self) -> str:
        """The path of the module in the repository."""
        return f"{self.module.__name__.replace('.', '/')}.py"


LIMITS = (
    Limit(status, "DEFAULT_LIMIT", "The number of products or requests in a page when the client names none."),
    Limit(status, "MAX_LIMIT", "The largest number of products or requests in a page."),
    Limit(app, "FORM_OVERHEAD_BYTES", "The size of the form around the file of an upload."),
    Limit(upload_form, "MAX_FIELDS", "The largest number of fields in the form of an upload."),
    Limit(upload_form, "MAX_FIELD_BYTES", "The size of the largest field in that form."),
    Limit(upload_form, "MAX_FILES", "The largest number of fields that come from files. One of them is the catalogue."),
    Limit(upload_form, "MAX_DEADLINE_SECONDS", "The longest deadline of a request."),
    Limit(upload, "MAX_IDEMPOTENCY_KEY_CHARACTERS", "The length of the longest `Idempotency-Key`."),
    Limit(admission, "MAX_STORING_SECONDS", "The time to store a catalogue. Then the upload is answered 503."),
    Limit(lines, "MAX_ROW_BYTES", "The size of the largest row in a catalogue."),
    Limit(reading, "MAX_LISTED_PROBLEMS", "The largest number of errors of a catalogue that an answer lists."),
    Limit(url, "MAX_URL_CHARACTERS", "The length of the longest image URL or webhook URL."),
    Limit(bucket, "_LINK_VALIDITY_SECONDS", "The life of a presigned link to an output."),
    Limit(fair_queue, "MAX_PRIORITY", "The highest priority of a request. The lowest one is 0."),
    Limit(fair_queue, "AGEING_SECONDS", "The time of waiting that counts as one priority more."),
    Limit(fair_queue, "TURN_SECONDS", "The time at work after which a request can be preempted by an equal one."),
    Limit(fair_queue, "MIN_TURN_SECONDS", "The shortest time at work before a request can be preempted."),
    Limit(capacity, "_COORDINATORS_PER_CORE", "The requests at work for each core, without a setting."),
    Limit(capacity, "_MIN_COORDINATORS", "The requests at work on the smallest cluster, without a setting."),
    Limit(capacity, "_MAX_COORDINATORS", "The requests at work on the largest cluster, without a setting."),
    Limit(host_limiter, "_MAX_PAUSE_SECONDS", "The longest pause of a host that answered 429 or 503."),
    Limit(processed_image, "_MAX_RETRY_AFTER_SECONDS", "The longest pause of an image that its source can ask for."),
    Limit(pipeline, "_STORE_AWAY_TIMEOUT_SECONDS", "The time in which a worker repeats a write while a store is away."),
    Limit(sender, "_CONCURRENT_DELIVERIES", "The largest number of webhook calls at the same time."),
    Limit(sender, "_DELIVERIES_PER_HOST", "The largest number of webhook calls at the same time to one host."),
    Limit(outbox, "_MAX_RESPONSES", "The number of latest calls that a webhook delivery lists."),
)


def tables() -> str:
    """Return the text of `cluster/SETTINGS.md`."""
    settings = (
        _row(f"`DARKROOM_{name.upper()}`", _shown(name, field.default), " ".join((field.description or "").split()))
        for name, field in Settings.model_fields.items()
    )
    limits = (
        _row(each.meaning, _shown(each.name, getattr(each.module, each.name)), f"`{each.name}` in `{each.file}`")
        for each in LIMITS
    )
    return "".join((_HEAD, *settings, _LIMITS_HEAD, *limits))


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |\n"


def _shown(name: str, value: object) -> str:
    if isinstance(value, SecretStr) or value is None or value == ():
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    if isinstance(value, int) and name.lower().endswith("_bytes"):
        return f"{value // MEBIBYTE} MiB" if value >= MEBIBYTE else f"{value // 1024} KiB"
    if isinstance(value, int | float) and name.lower().endswith("_seconds"):
        return f"{value:,g} s" if value < 1_000_000 else f"{value:,} s"
    return f"{value:,}" if isinstance(value, int) and name != "port" else f"{value}"


if __name__ == "__main__":
    sys.stdout.write(tables())
