"""What all records have in common."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Record(BaseModel):
    """A frozen record: snake_case in Python, camelCase in MongoDB and JSON."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True, serialize_by_alias=True)

    def document(self) -> dict[str, Any]:
        """The record as MongoDB holds it."""
        return self.model_dump()
