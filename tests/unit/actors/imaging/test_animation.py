from __future__ import annotations

import pytest
from PIL import Image as Pillow
from PIL import ImageSequence

from cluster.codes import ImageErrorCode
from cluster.records import Decision, ImageFormat
from tests.unit.actors.imaging.pictures import difference, flat, look, near, photo, pixel, refusal, run, save

COLOURS = [(250, 10, 10), (10, 250, 10), (10, 10, 250), (250, 250, 10), (10, 250, 250)]
DURATIONS = [50, 60, 70, 80, 90]


def animation(name: str, size: tuple[int, int] = (80, 60), **how: object) -> bytes:
    frames = [flat(colour, size=size) for colour in COLOURS]
    return save(frames[0], name, save_all=True, append_images=frames[1:], duration=DURATIONS, loop=3, **how)


def frames_of(data: bytes) -> list[Pillow.Image]:
    return [frame.convert("RGB") for frame in ImageSequence.Iterator(look(data))]


def durations_of(data: bytes) -> list[int]:
    durations = []
    for frame in ImageSequence.Iterator(look(data)):
        frame.load()  # only then does Pillow know the duration in a WebP
        durations.append(frame.info["duration"])
    return durations


@pytest.mark.parametrize(("name", "target"), [("GIF", "keep"), ("GIF", "webp"), ("WEBP", "keep"), ("WEBP", "webp")])
@pytest.mark.parametrize("bounds", [{}, {"max_width": 41}])
def test_frames_durations_and_loops_are_kept(name: str, target: str, bounds: dict[str, int]) -> None:
    output = run(animation(name), format=target, quality=95, **bounds)
    size = (41, 31) if bounds else (80, 60)
    assert (output.width, output.height) == size
    frames = frames_of(output.data)
    assert len(frames) == 5
    for frame, colour in zip(frames, COLOURS, strict=True):
        assert frame.size == size
        assert difference(frame, flat(colour, size=size)) < 8  # the whole frame: none bleeds into the next
    assert durations_of(output.data) == DURATIONS
    assert look(output.data).info["loop"] in {3, 4}  # GIF counts repetitions, WebP counts runs


@pytest.mark.parametrize("name", ["GIF", "WEBP", "PNG"])
@pytest.mark.parametrize("target", ["jpeg", "avif"])
def test_the_first_frame_is_taken_where_the_format_is_still(name: str, target: str) -> None:
    output = run(animation(name), format=target, quality=95)
    assert (output.width, output.height) == (80, 60)
    assert getattr(look(output.data), "n_frames", 1) == 1
    assert near(pixel(output.data), COLOURS[0], 10)


def test_a_gif_becomes_a_still_png() -> None:
    output = run(animation("GIF"), format="png")
    assert pixel(output.data) == COLOURS[0]
    assert output.format is ImageFormat.PNG


def test_an_animated_png_keeps_its_frames_when_nothing_else_is_asked() -> None:
    source = animation("PNG")
    output = run(source)
    assert output.decision is Decision.KEPT_ORIGINAL
    assert len(frames_of(output.data)) == 5
    assert len(frames_of(run(source, max_width=40).data)) == 1


def test_a_photographic_animation_gets_smaller_as_webp() -> None:
    frames = [photo(seed=seed) for seed in range(6)]
    source = save(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=40)
    output = run(source, format="webp")
    assert len(output.data) < len(source) / 2
    for frame, expected in zip(frames_of(output.data), frames, strict=True):
        assert difference(frame, expected) < 8


def test_transparent_animations_stay_transparent() -> None:
    frames = [flat((*colour, alpha), "RGBA") for colour, alpha in zip(COLOURS, (255, 0, 255, 0, 255), strict=True)]
    source = save(frames[0], "WEBP", save_all=True, append_images=frames[1:], duration=40, lossless=True)
    output = look(run(source, max_width=32).data)
    alphas = [frame.convert("RGBA").getpixel((9, 9)) for frame in ImageSequence.Iterator(output)]
    assert [value[3] for value in alphas if isinstance(value, tuple)] == [255, 0, 255, 0, 255]


def test_the_same_animation_gives_the_same_bytes() -> None:
    assert run(animation("GIF"), format="webp") == run(animation("GIF"), format="webp")
    assert run(animation("GIF"), max_width=30) == run(animation("GIF"), max_width=30)


@pytest.mark.parametrize("name", ["GIF", "WEBP", "PNG"])
@pytest.mark.parametrize("target", ["keep", "jpeg"])
def test_more_frames_than_allowed(name: str, target: str) -> None:
    frames = [flat((number * 2, 0, 0), size=(8, 8)) for number in range(102)]
    source = save(frames[0], name, save_all=True, append_images=frames[1:101], duration=40, lossless=True)
    error = refusal(source, format=target)
    assert error.code is ImageErrorCode.TOO_MANY_FRAMES
    assert error.message == "The animation has 101 frames, over the limit of 100. Make it shorter."
    assert run(save(frames[0], name, save_all=True, append_images=frames[1:100], duration=40, lossless=True)).data


@pytest.mark.parametrize("name", ["GIF", "WEBP"])
def test_frames_count_as_pixels(name: str) -> None:
    error = refusal(greys(name, 3_000, 2_000))
    assert error.code is ImageErrorCode.TOO_MANY_PIXELS
    assert error.message.startswith(
        "The animation has 5 frames of 6 megapixels, 30 in all. This is over the limit of 16"
    )
    assert run(greys(name, 1_600, 2_000), format="jpeg", max_width=100).width == 100


def greys(name: str, width: int, height: int) -> bytes:
    """Make an animation of five grey frames."""
    frames = [flat(number * 40, "L", (width, height)) for number in range(5)]
    return save(frames[0], name, save_all=True, append_images=frames[1:], duration=40)
