"""The JSON body of a route: known fields alone, of exactly their types, with usable texts."""

from __future__ import annotations

from pydantic import ConfigDict, model_validator

from cluster.records import Record
from deployments.api.text import UNUSABLE_TEXT, unusable_text


class JsonBody(Record):
    """The fields of a JSON body."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _check_texts(cls, value: object) -> object:
        place = unusable_text(value)
        if place is not None:
            message = f"{place} {UNUSABLE_TEXT}"
            raise ValueError(message)
        return value
