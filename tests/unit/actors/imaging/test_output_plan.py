"""The plan of an output, from plain facts: no file is opened here."""

from __future__ import annotations

import pytest

from actors.imaging.formats import SourceFormat
from actors.imaging.output_plan import OutputPlan, plan_formats
from actors.imaging.transform import Size
from cluster.options import OutputOptions
from cluster.records import ImageFormat

FULL = Size(600, 400)
STILL, MOVING = 1, 5


def auto(*formats: str) -> dict[str, object]:
    return {"format": "auto", "formats": list(formats)}


def plan(
    source: SourceFormat = SourceFormat.JPEG,
    options: dict[str, object] | None = None,
    *,
    frames: int = STILL,
    orientation: int = 1,
) -> OutputPlan:
    asked = OutputOptions.model_validate(options or {})
    return plan_formats(asked, source=source, frames=frames).sized(FULL, orientation=orientation)


def test_the_plan_of_the_defaults() -> None:
    assert plan() == OutputPlan(
        options=OutputOptions(),
        formats=(ImageFormat.JPEG,),
        own_format=ImageFormat.JPEG,
        size=FULL,
        unchanged_format=ImageFormat.JPEG,
        keeps_frames=False,
        loses_frames=False,
        keeps_profile=False,
    )


@pytest.mark.parametrize("source", SourceFormat)
def test_keep_keeps_every_format_but_bmp(source: SourceFormat) -> None:
    (kept,) = plan(source).formats
    assert kept.value == ("png" if source is SourceFormat.BMP else source.value)


@pytest.mark.parametrize("source", SourceFormat)
@pytest.mark.parametrize("asked", ["jpeg", "png", "webp", "avif"])
def test_a_format_by_name_is_taken(source: SourceFormat, asked: str) -> None:
    assert plan(source, {"format": asked}).formats == (ImageFormat(asked),)


def test_auto_tries_each_format_once_and_in_order() -> None:
    asked = auto("webp", "png", "keep", "jpeg")
    assert plan(SourceFormat.PNG, asked).formats == (ImageFormat.WEBP, ImageFormat.PNG, ImageFormat.JPEG)
    assert plan(SourceFormat.BMP, asked).formats == (ImageFormat.WEBP, ImageFormat.PNG, ImageFormat.JPEG)


@pytest.mark.parametrize(
    ("bounds", "size"),
    [
        ({}, FULL),
        ({"maxWidth": 300}, Size(300, 200)),
        ({"maxHeight": 100}, Size(150, 100)),
        ({"maxWidth": 300, "maxHeight": 100}, Size(150, 100)),
        ({"maxWidth": 6_000, "maxHeight": 6_000}, FULL),
        ({"maxWidth": 1}, Size(1, 1)),
    ],
)
def test_the_size_fits_the_bounds_and_never_grows(bounds: dict[str, object], size: Size) -> None:
    assert plan(options=bounds).size == size


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_bounds_are_those_of_the_upright_picture(orientation: int) -> None:
    sideways = orientation >= 5
    assert plan(options={"maxWidth": 200}, orientation=orientation).size == (
        Size(300, 200) if sideways else Size(200, 133)
    )
    assert plan(options={"maxHeight": 200}, orientation=orientation).size == (
        Size(200, 133) if sideways else Size(300, 200)
    )


@pytest.mark.parametrize(
    ("source", "options", "unchanged"),
    [
        (SourceFormat.JPEG, {}, ImageFormat.JPEG),
        (SourceFormat.JPEG, {"format": "jpeg", "quality": 1}, ImageFormat.JPEG),
        (SourceFormat.JPEG, {"maxWidth": 600, "maxHeight": 999}, ImageFormat.JPEG),
        (SourceFormat.JPEG, {"maxWidth": 599}, None),
        (SourceFormat.JPEG, {"format": "webp"}, None),
        (SourceFormat.JPEG, auto("webp", "keep"), ImageFormat.JPEG),
        (SourceFormat.JPEG, auto("webp", "avif"), None),
        (SourceFormat.GIF, {}, ImageFormat.GIF),
        (SourceFormat.BMP, {}, None),
    ],
)
def test_the_source_may_be_handed_on_in_its_own_format_and_size(
    source: SourceFormat, options: dict[str, object], unchanged: ImageFormat | None
) -> None:
    assert plan(source, options).unchanged_format is unchanged


@pytest.mark.parametrize("source", [SourceFormat.GIF, SourceFormat.WEBP])
@pytest.mark.parametrize(
    ("options", "formats", "moves"),
    [
        ({"format": "webp"}, (ImageFormat.WEBP,), True),
        ({"format": "jpeg"}, (ImageFormat.JPEG,), False),
        (auto("jpeg", "avif", "webp"), (ImageFormat.WEBP,), True),
        (auto("jpeg", "avif"), (ImageFormat.JPEG, ImageFormat.AVIF), False),
    ],
)
def test_an_animation_moves_where_a_format_can(
    source: SourceFormat, options: dict[str, object], formats: tuple[ImageFormat, ...], *, moves: bool
) -> None:
    moving = plan(source, options, frames=MOVING)
    assert (moving.formats, moving.keeps_frames, moving.loses_frames) == (formats, moves, not moves)


@pytest.mark.parametrize("source", [SourceFormat.GIF, SourceFormat.WEBP])
def test_a_still_has_no_frames_to_keep_or_lose(source: SourceFormat) -> None:
    still = plan(source, auto("jpeg", "webp"))
    assert still.formats == (ImageFormat.JPEG, ImageFormat.WEBP)
    assert not still.keeps_frames
    assert not still.loses_frames


def test_an_animated_png_moves_only_where_it_is_handed_on() -> None:
    kept = plan(SourceFormat.PNG, auto("webp", "keep"), frames=MOVING)
    assert kept.formats == (ImageFormat.PNG,)
    assert kept.unchanged_format is ImageFormat.PNG
    assert kept.loses_frames
    assert not kept.keeps_frames
    assert plan(SourceFormat.PNG, {"format": "webp"}, frames=MOVING).formats == (ImageFormat.WEBP,)


@pytest.mark.parametrize(
    ("source", "options", "keeps_profile"),
    [
        (SourceFormat.JPEG, {}, False),
        (SourceFormat.JPEG, {"keepMetadata": True}, True),
        (SourceFormat.GIF, {"keepMetadata": True}, False),
        (SourceFormat.GIF, {"keepMetadata": True, "format": "png"}, True),
        (SourceFormat.GIF, {"keepMetadata": True, **auto("keep", "png")}, False),
    ],
)
def test_the_profile_is_kept_where_every_format_can_hold_it(
    source: SourceFormat, options: dict[str, object], *, keeps_profile: bool
) -> None:
    assert plan(source, options).keeps_profile is keeps_profile
