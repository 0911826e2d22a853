"""Several outputs, sizes in bytes, efforts, and the smallest of several formats."""

from __future__ import annotations

import random
from importlib import resources
from typing import TYPE_CHECKING

import pytest
from PIL import Image as Pillow

from actors.imaging.compress import compress
from cluster.codes import ImageErrorCode
from cluster.options import ImageOptions
from cluster.records import Decision, ImageFormat
from tests.unit.actors.imaging.pictures import LIMITS, difference, flat, look, photo, refusal, run, save
from tests.unit.actors.imaging.test_colour import display_p3

if TYPE_CHECKING:
    from actors.imaging.compressed import Compressed

SOURCE = save(photo(640, 480), "JPEG", quality=95)


def several(data: bytes, **options: object) -> list[Compressed]:
    return compress(data, ImageOptions.model_validate(options), LIMITS)


def test_several_outputs_of_one_source() -> None:
    outputs = several(
        SOURCE,
        outputs=[
            {"name": "thumb", "maxWidth": 100},
            {"name": "page", "maxWidth": 400, "format": "webp"},
            {"name": "zoom"},
        ],
    )
    assert [(each.width, each.height, each.format) for each in outputs] == [
        (100, 75, ImageFormat.JPEG),
        (400, 300, ImageFormat.WEBP),
        (640, 480, ImageFormat.JPEG),
    ]
    for each in outputs:
        assert look(each.data).size == (each.width, each.height)


@pytest.mark.parametrize("options", [{}, {"maxWidth": 300}, {"format": "webp"}, {"format": "png", "maxHeight": 99}])
def test_an_output_among_several_looks_as_it_does_alone(options: dict[str, object]) -> None:
    alone = run(SOURCE, **options)
    _, among = several(SOURCE, outputs=[{"name": "other", "maxWidth": 320}, {"name": "this", **options}])
    assert (among.width, among.height, among.format) == (alone.width, alone.height, alone.format)
    assert difference(look(among.data), look(alone.data)) < 2


def test_several_outputs_of_a_turned_picture() -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 6
    source = save(photo(640, 480), "JPEG", quality=95, exif=exif)
    small, large = several(source, outputs=[{"name": "small", "maxWidth": 120}, {"name": "large"}])
    assert (small.width, small.height) == (120, 160)
    assert (large.width, large.height) == (480, 640)


def test_moving_and_still_outputs_of_an_animation() -> None:
    frames = [photo(80, 60, seed) for seed in range(3)]
    source = save(frames[0], "WEBP", save_all=True, append_images=frames[1:], duration=50)
    moving, still = several(source, outputs=[{"name": "moving", "maxWidth": 40}, {"name": "still", "format": "jpeg"}])
    assert getattr(look(moving.data), "n_frames", 1) == 3
    assert (still.format, still.width, still.height) == (ImageFormat.JPEG, 80, 60)
    assert difference(look(still.data), frames[0]) < 8


@pytest.mark.parametrize("name", ["jpeg", "webp", "avif"])
def test_the_largest_quality_that_fits(name: str) -> None:
    free = run(SOURCE, format=name, quality=90)
    allowed = len(free.data) * 6 // 10
    fitted = run(SOURCE, format=name, quality=90, maxBytes=allowed)
    assert len(fitted.data) <= allowed
    assert fitted.quality is not None
    assert fitted.quality < 90
    assert len(run(SOURCE, format=name, quality=fitted.quality + 2).data) > allowed


def test_the_quality_stays_when_the_output_fits() -> None:
    assert run(SOURCE, quality=80, maxBytes=10_000_000).quality == 80


def test_an_image_that_does_not_fit_at_the_lowest_quality_is_refused() -> None:
    error = refusal(SOURCE, maxBytes=2000)
    assert error.code is ImageErrorCode.MAX_BYTES_EXCEEDED
    assert "quality 40" in error.message
    assert "2,000" in error.message
    lower = run(SOURCE, maxBytes=len(run(SOURCE, quality=20).data), minQuality=5)
    assert lower.quality is not None
    assert 18 <= lower.quality <= 22


def test_a_format_without_quality_cannot_be_made_to_fit() -> None:
    error = refusal(save(photo(), "PNG"), maxBytes=1000)
    assert error.code is ImageErrorCode.MAX_BYTES_EXCEEDED
    assert error.message.startswith("As PNG the image has ")
    assert "over the maxBytes of 1,000, and no quality to lower. Ask for another format" in error.message


def test_an_original_that_fits_is_kept() -> None:
    source = save(photo(), "JPEG", quality=30)
    kept = run(source, quality=90, maxBytes=len(source))
    assert (kept.data, kept.decision, kept.quality) == (source, Decision.KEPT_ORIGINAL, None)


def test_auto_takes_the_smallest() -> None:
    formats = ["jpeg", "webp", "png"]
    sizes = {name: len(run(SOURCE, format=name).data) for name in formats}
    chosen = run(SOURCE, format="auto", formats=formats)
    assert chosen.format.value == min(sizes, key=sizes.__getitem__)
    assert len(chosen.data) <= min(sizes.values()) * 1.02


def test_auto_prefers_lossless_for_flat_drawings() -> None:
    assert run(save(flat((9, 8, 7)), "BMP"), format="auto", formats=["jpeg", "keep"]).format is ImageFormat.PNG


def test_auto_keeps_transparency_when_it_can() -> None:
    transparent = photo(64, 48)
    transparent.putalpha(Pillow.linear_gradient("L").resize((64, 48)))
    source = save(transparent, "PNG")
    assert run(source, format="auto", formats=["jpeg", "png"]).format is ImageFormat.PNG
    assert run(source, format="auto", formats=["jpeg"]).format is ImageFormat.JPEG


def test_auto_drops_an_alpha_channel_that_hides_nothing() -> None:
    opaque = photo(320, 240)
    opaque.putalpha(255)
    assert run(save(opaque, "PNG"), format="auto", formats=["jpeg", "png"]).format is ImageFormat.JPEG


def test_auto_keeps_movement_when_it_can() -> None:
    frames = [photo(40, 30, seed) for seed in range(3)]
    source = save(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=50)
    chosen = run(source, format="auto", formats=["avif", "webp"])
    assert chosen.format is ImageFormat.WEBP
    assert getattr(look(chosen.data), "n_frames", 1) == 3


def test_auto_passes_over_a_format_that_cannot_hold_the_picture() -> None:
    wide = save(flat(9, "L", (16_384, 8)), "PNG")  # WebP allows 16,383
    assert run(wide, format="auto", formats=["webp", "png"]).format is ImageFormat.PNG
    assert refusal(wide, format="auto", formats=["webp"]).code is ImageErrorCode.ENCODE_FAILED


@pytest.mark.parametrize("name", ["jpeg", "webp", "avif", "png"])
def test_more_effort_makes_smaller_files(name: str) -> None:
    source = (resources.files("deployments.demo") / "pictures" / "fig-close-up.jpg").read_bytes()
    fast, balanced, most = (
        run(source, format=name, effort=effort, maxWidth=300) for effort in ("fast", "balanced", "max")
    )
    assert len(most.data) <= len(balanced.data) <= len(fast.data) * 1.02
    assert len(most.data) < len(fast.data)
    assert difference(look(most.data), look(fast.data)) < 5


@pytest.mark.parametrize("effort", ["fast", "balanced"])
@pytest.mark.parametrize("quality", [40, 75, 89, 90])
def test_the_short_way_gives_the_same_as_the_general_way(effort: str, quality: int) -> None:
    short = run(SOURCE, quality=quality, effort=effort)
    general, _ = several(SOURCE, outputs=[{"name": "a", "quality": quality, "effort": effort}, {"name": "b"}])
    assert short.decision is general.decision is Decision.COMPRESSED
    assert len(short.data) == pytest.approx(len(general.data), rel=0.02)
    assert difference(look(short.data), look(general.data)) < 0.5
    assert look(short.data).layer == look(general.data).layer  # type: ignore[attr-defined] # the sampling of chroma


@pytest.mark.parametrize("quality", [85, 90, 95, 100])
@pytest.mark.parametrize("effort", ["fast", "balanced", "max"])
def test_noise_that_hardly_gets_smaller(quality: int, effort: str) -> None:
    noise = Pillow.frombytes("RGB", (400, 400), random.Random(1).randbytes(480_000))  # noqa: S311 - must repeat
    source = save(noise, "JPEG", quality=100, subsampling="4:4:4")
    output = run(source, quality=quality, effort=effort)
    assert len(output.data) <= len(source)
    assert look(output.data).size == (400, 400)


def test_auto_does_not_lower_the_quality_to_save_a_few_bytes_more() -> None:
    webp = len(run(SOURCE, format="webp", quality=90).data)
    assert len(run(SOURCE, format="jpeg", quality=90).data) > webp
    chosen = run(SOURCE, format="auto", formats=["jpeg", "webp"], quality=90, maxBytes=webp, minQuality=1)
    assert (chosen.format, chosen.quality) == (ImageFormat.WEBP, 90)


def test_auto_keeps_an_animated_png() -> None:
    frames = [photo(40, 30, seed) for seed in range(3)]
    source = save(frames[0], "PNG", save_all=True, append_images=frames[1:], duration=50)
    assert run(source, format="auto", formats=["webp", "keep"]).data == run(source).data
    still = run(source, format="webp")
    assert getattr(look(still.data), "n_frames", 1) == 1
    assert difference(look(still.data), frames[0]) < 8


def test_the_same_bytes_every_time() -> None:
    options = {
        "format": "auto",
        "formats": ["jpeg", "webp"],
        "outputs": [{"name": "a"}, {"name": "b", "maxBytes": 9000}],
    }
    assert several(SOURCE, **options) == several(SOURCE, **options)


@pytest.mark.parametrize("name", ["jpeg", "png", "webp", "avif"])
def test_the_profile_is_kept_with_the_metadata(name: str) -> None:
    profile = display_p3()
    source = save(photo(), "PNG", icc_profile=profile)
    kept, converted = run(source, format=name, keepMetadata=True), run(source, format=name)
    assert look(kept.data).info["icc_profile"] == profile
    assert "icc_profile" not in look(converted.data).info
