"""The options of a client for the outputs of a request."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator
from pydantic.alias_generators import to_camel


class Effort(StrEnum):
    """The time that an encoder may take to save bytes."""

    FAST = "fast"
    BALANCED = "balanced"
    MAX = "max"


_DEFAULT_MIN_QUALITY = 40
_MAX_OUTPUTS = 10
_MAX_OUTPUT_BYTES = 2**40  # above every image; MongoDB holds integers below 2**63


class OutputOptions(BaseModel):
    """The client's options for one output of each image."""

    model_config = ConfigDict(
        strict=True,  # without it, `true` would be the number 1
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        serialize_by_alias=True,
    )

    format: Literal["keep", "jpeg", "webp", "avif", "png", "auto"] = "keep"
    # The formats that `auto` tries.
    formats: list[Literal["keep", "jpeg", "webp", "avif", "png"]] = Field(default=[], validate_default=True)
    quality: int = Field(default=75, ge=1, le=100)  # of lossy formats
    effort: Effort = Field(default=Effort.BALANCED, strict=False)  # it comes as a text
    max_width: int | None = Field(default=None, ge=1, le=16_384)  # pixels; aspect is kept, nothing is enlarged
    max_height: int | None = Field(default=None, ge=1, le=16_384)  # pixels
    max_bytes: int | None = Field(default=None, ge=1, le=_MAX_OUTPUT_BYTES)  # quality is lowered until it fits
    min_quality: int | None = Field(default=None, ge=1, le=100)  # `max_bytes` lowers the quality only so far
    background: str = Field(default="#ffffff", pattern="^#[0-9a-fA-F]{6}$")  # under alpha where the format has none
    keep_metadata: bool = False  # EXIF, XMP, IPTC and the colour profile; the orientation is always applied

    @field_validator("formats")
    @classmethod
    def _check_formats(cls, formats: list[str], info: ValidationInfo) -> list[str]:
        is_auto = info.data.get("format") == "auto"
        if is_auto and not formats:
            raise ValueError('list the formats to try, for example ["jpeg", "webp"], beside "format": "auto"')
        if formats and not is_auto:
            raise ValueError('has an effect only with "format": "auto"')
        if len(set(formats)) < len(formats):
            raise ValueError("lists a format twice")
        return formats

    @field_validator("min_quality")
    @classmethod
    def _check_min_quality(cls, min_quality: int | None, info: ValidationInfo) -> int | None:
        if min_quality is None:
            return None
        if info.data.get("max_bytes", 0) is None:
            raise ValueError("has an effect only with maxBytes")
        if min_quality > info.data.get("quality", min_quality):
            raise ValueError("must not be above quality")
        return min_quality

    @property
    def lowest_quality(self) -> int:
        """The lowest quality that `max_bytes` may lead to."""
        return min(self.quality, _DEFAULT_MIN_QUALITY) if self.min_quality is None else self.min_quality


_NAMES_OF_OPTIONS = frozenset(OutputOptions.model_fields) | {to_camel(name) for name in OutputOptions.model_fields}


class NamedOutput(OutputOptions):
    """One of several outputs."""

    name: str = Field(pattern="^[a-z0-9][a-z0-9_-]{0,31}$")  # in the object's key and the result's column


class ImageOptions(OutputOptions):
    """The client's options, the same for every image of a request.

    Without `outputs`, each image has one output. With `outputs`, it has one for each of them. An option that an output
    leaves out has the value beside `outputs`.
    """

    outputs: list[NamedOutput] = Field(default=[], max_length=_MAX_OUTPUTS)

    @model_validator(mode="before")
    @classmethod
    def _inherit(cls, values: object) -> object:
        if not isinstance(values, dict) or not isinstance(values.get("outputs"), list):
            return values
        if len(values["outputs"]) > _MAX_OUTPUTS:  # they are refused, so nothing is copied for them
            return values
        common = {name: value for name, value in values.items() if name in _NAMES_OF_OPTIONS}
        return values | {"outputs": [_inherited(common, output) for output in values["outputs"]]}

    @field_validator("outputs")
    @classmethod
    def _check_names(cls, outputs: list[NamedOutput]) -> list[NamedOutput]:
        names = [output.name for output in outputs]
        if len(set(names)) < len(names):
            raise ValueError("have a name twice")
        return outputs

    @property
    def each_output(self) -> list[OutputOptions]:
        """The options of each output."""
        return list(self.outputs) or [self]

    @property
    def output_names(self) -> list[str]:
        """The names of the outputs. It is empty without `outputs`."""
        return [output.name for output in self.outputs]


def _inherited(common: dict[str, Any], output: object) -> object:
    if not isinstance(output, dict):
        return output
    if "format" in output:  # `formats` belongs to its `format`
        common = {name: value for name, value in common.items() if name != "formats"}
    return common | output
