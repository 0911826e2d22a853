"""The form of an upload: a multipart body, or a raw CSV with query parameters."""

from __future__ import annotations

import json
import tempfile
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic.alias_generators import to_camel
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException

from cluster.errors import OptionsError, RefusedError, listed
from cluster.options import ImageOptions
from deployments.api.form_parser import FILE_FIELD, UploadFormParser
from deployments.api.text import UNUSABLE_TEXT, unusable_text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from starlette.requests import Request

_MAX_BYTES_IN_MEMORY = 1024 * 1024  # a larger file goes to disk
MAX_FILES = 4
MAX_FIELDS = 20
MAX_FIELD_BYTES = 64 * 1024
MAX_DEADLINE_SECONDS = 30 * 24 * 3600
_CSV_TYPES = frozenset({"text/csv", "application/csv"})


FORM_SCHEMA: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary", "description": "The catalogue, a CSV."},
                        "webhookUrl": {
                            "type": "string",
                            "description": "The URL that is called when the request has ended.",
                        },
                        "webhookSecret": {
                            "type": "string",
                            "description": "Signs the call: `whsec_` and the base64 of 24 to 64 bytes.",
                        },
                        "priority": {"type": "integer", "minimum": 0, "maximum": 9, "default": 5},
                        "deadlineSeconds": {
                            "type": "number",
                            "description": "Seconds until the request fails. Images that are done by then stay.",
                        },
                        "options": {"type": "string", "description": 'A JSON object, for example `{"quality": 70}`.'},
                        "onInvalidRow": {"type": "string", "enum": ["reject", "skip"], "default": "reject"},
                        "dryRun": {
                            "type": "boolean",
                            "default": False,
                            "description": "Validate the catalogue and store nothing.",
                        },
                        "columns": {
                            "type": "string",
                            "description": 'A JSON object with your column names: `{"Input Image Urls": "Photos"}`.',
                        },
                    },
                }
            },
            "text/csv": {"schema": {"type": "string"}},
        },
    }
}
"""The schema of the body for OpenAPI. FastAPI cannot derive it, because the body is read as a stream."""


class UploadFields(BaseModel):
    """The fields of the form without the file."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel)

    webhook_url: str | None = None
    webhook_secret: str | None = None  # signs the call in place of the API key's own secret
    priority: int = Field(default=5, ge=0, le=9)
    deadline_seconds: float | None = Field(default=None, ge=1, le=MAX_DEADLINE_SECONDS)
    options: ImageOptions = ImageOptions()
    on_invalid_row: Literal["reject", "skip"] = "reject"
    dry_run: bool = False
    columns: dict[str, str] = {}

    @field_validator("webhook_url", "webhook_secret", "deadline_seconds", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return value or None  # an HTML form sends every field

    @field_validator("options", "columns", mode="before")
    @classmethod
    def _parse_json(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        try:
            parsed = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise ValueError("is not valid JSON") from error
        place = unusable_text(parsed)
        if place is not None:
            message = f"{place} {UNUSABLE_TEXT}"
            raise ValueError(message)
        return parsed


@dataclass(frozen=True, slots=True)
class UploadForm:
    """One upload as it was sent."""

    file: IO[bytes]
    filename: str | None
    fields: UploadFields


@asynccontextmanager
async def upload_form(request: Request) -> AsyncIterator[UploadForm]:
    """Read the form of an upload. A large file goes to disk, and is removed at the end of the block.

    Raises:
        RefusedError: 400 for a malformed form, 413 for a large one, 415 for a body that is neither a form nor a CSV.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == "multipart/form-data":
        async with _multipart(request) as form:
            yield form
    elif media_type in _CSV_TYPES:
        async with _raw(request) as form:
            yield form
    else:
        raise RefusedError(
            415, "not_a_csv", "Send the CSV as the field `file` of a multipart/form-data form, or as a text/csv body."
        )


@asynccontextmanager
async def _multipart(request: Request) -> AsyncIterator[UploadForm]:
    try:
        async with aclosing(request.stream()) as stream:
            form = await UploadFormParser(
                request.headers, stream, max_files=MAX_FILES, max_fields=MAX_FIELDS, max_part_size=MAX_FIELD_BYTES
            ).parse()
    except MultiPartException as error:
        message = f"The form is not valid multipart/form-data. {error.message}"
        raise RefusedError(400, "malformed_form", message) from error
    except UnicodeError as error:  # some of Python's own codecs never decode
        raise RefusedError(
            400, "malformed_form", "The form has a name or a text that is not in its charset. Send it in UTF-8."
        ) from error
    try:
        files = form.getlist(FILE_FIELD)
        if not files or not isinstance(files[0], UploadFile):
            raise RefusedError(400, "missing_file", "The form has no file in the field `file`. Put the CSV there.")
        if len(files) > 1:
            raise RefusedError(400, "several_files", "The form has several files. Upload one at a time.")
        fields = {name: await _text(value) for name, value in form.multi_items() if name != FILE_FIELD}
        _check_texts({**fields, FILE_FIELD: files[0].filename})
        yield UploadForm(files[0].file, files[0].filename, _parse_fields(fields))
    finally:
        await form.close()


async def _text(value: UploadFile | str) -> str:
    """Return the text of a field. It may come from a file, as with `curl -F options=@options.json`."""
    if isinstance(value, str):
        return value
    return (await value.read(MAX_FIELD_BYTES)).decode(errors="replace")


@asynccontextmanager
async def _raw(request: Request) -> AsyncIterator[UploadForm]:
    _check_texts(dict(request.query_params))
    fields = _parse_fields(dict(request.query_params))
    with tempfile.SpooledTemporaryFile(max_size=_MAX_BYTES_IN_MEMORY) as file:
        async for chunk in request.stream():
            file.write(chunk)
        file.seek(0)
        yield UploadForm(file, None, fields)


def _check_texts(fields: Mapping[str, object]) -> None:
    field = unusable_text(dict(fields))
    if field is not None:
        raise RefusedError(400, "invalid_field", f"The form is not valid. {field} {UNUSABLE_TEXT}.")


def _parse_fields(fields: Mapping[str, Any]) -> UploadFields:
    try:
        return UploadFields.model_validate(fields)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        problems = [(_field_name(each["loc"]), _message(each)) for each in found]
    if all(field.partition(".")[0] == "options" for field, _ in problems):
        raise OptionsError([(field.removeprefix("options."), message) for field, message in problems])
    raise RefusedError(400, "invalid_field", f"The form is not valid. {listed(problems)}")


def _field_name(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location)


def _message(error: Mapping[str, Any]) -> str:
    if error["type"] == "extra_forbidden":
        return "there is no such field"
    return str(error["msg"]).removeprefix("Value error, ")
