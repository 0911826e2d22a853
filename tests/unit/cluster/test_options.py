from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from cluster.options import Effort, ImageOptions


def options(**fields: Any) -> ImageOptions:  # noqa: ANN401 - as JSON has them
    return ImageOptions.model_validate(fields)


def problem(**fields: Any) -> tuple[str, str]:  # noqa: ANN401 - as JSON has them
    with pytest.raises(ValidationError) as caught:
        options(**fields)
    (error,) = caught.value.errors()
    return ".".join(map(str, error["loc"])), error["msg"]


def test_without_outputs_there_is_one_without_a_name() -> None:
    chosen = options(quality=60)
    assert [each.quality for each in chosen.each_output] == [60]
    assert chosen.output_names == []


def test_an_output_inherits_options_that_it_does_not_set() -> None:
    chosen = options(
        quality=60, effort="max", outputs=[{"name": "thumb", "maxWidth": 200}, {"name": "big", "quality": 80}]
    )
    thumb, big = chosen.each_output
    assert (thumb.quality, thumb.max_width, thumb.effort) == (60, 200, Effort.MAX)
    assert (big.quality, big.max_width, big.effort) == (80, None, Effort.MAX)
    assert chosen.output_names == ["thumb", "big"]


def test_the_formats_of_auto_are_not_inherited_by_another_format() -> None:
    chosen = options(format="auto", formats=["jpeg", "webp"], outputs=[{"name": "a"}, {"name": "b", "format": "png"}])
    assert [each.formats for each in chosen.each_output] == [["jpeg", "webp"], []]


def test_options_survive_the_database() -> None:
    chosen = options(quality=60, maxBytes=9, outputs=[{"name": "a", "minQuality": 20}, {"name": "b", "format": "webp"}])
    assert ImageOptions.model_validate(chosen.model_dump()) == chosen


@pytest.mark.parametrize(
    ("fields", "lowest"),
    [({}, 40), ({"quality": 30}, 30), ({"maxBytes": 1000, "minQuality": 10}, 10)],
)
def test_the_quality_is_not_lowered_below_the_minimum_or_40(fields: dict[str, Any], lowest: int) -> None:
    assert options(**fields).lowest_quality == lowest


@pytest.mark.parametrize(
    ("fields", "where", "what"),
    [
        ({"format": "heic"}, "format", "'auto'"),
        ({"format": "auto"}, "formats", "list the formats to try"),
        ({"formats": ["jpeg"]}, "formats", 'only with "format": "auto"'),
        ({"format": "auto", "formats": ["jpeg", "jpeg"]}, "formats", "twice"),
        ({"format": "auto", "formats": ["auto"]}, "formats.0", "'keep'"),
        ({"effort": "most"}, "effort", "'balanced'"),
        ({"quality": 0}, "quality", "greater than or equal to 1"),
        ({"quality": 101}, "quality", "less than or equal to 100"),
        ({"maxBytes": 0}, "maxBytes", "greater than or equal to 1"),
        ({"maxBytes": 2**63}, "maxBytes", "less than or equal to"),  # MongoDB could not hold it
        ({"minQuality": 20}, "minQuality", "only with maxBytes"),
        ({"maxBytes": 5, "minQuality": 80}, "minQuality", "above quality"),
        ({"maxWidth": 0}, "maxWidth", "greater than or equal to 1"),
        ({"background": "white"}, "background", "pattern"),
        ({"sharpen": True}, "sharpen", "Extra inputs"),
        ({"sharpen": True, "outputs": [{"name": "a"}]}, "sharpen", "Extra inputs"),
        ({"outputs": [{"maxWidth": 3}]}, "outputs.0.name", "required"),
        ({"outputs": [{"name": "a/b"}]}, "outputs.0.name", "pattern"),
        ({"outputs": [{"name": "a"}, {"name": "a"}]}, "outputs", "name twice"),
        ({"outputs": [{"name": "a", "quality": 0}]}, "outputs.0.quality", "greater than or equal to 1"),
        ({"outputs": [{"name": "a", "outputs": []}]}, "outputs.0.outputs", "Extra inputs"),
        ({"outputs": [{"name": f"n{number}"} for number in range(11)]}, "outputs", "at most 10"),
        ({"outputs": [1]}, "outputs.0", "dictionary"),
        ({"outputs": "thumb"}, "outputs", "list"),
    ],
)
def test_refused_with_the_field_s_name(fields: dict[str, Any], where: str, what: str) -> None:
    location, message = problem(**fields)
    assert location == where
    assert what in message
