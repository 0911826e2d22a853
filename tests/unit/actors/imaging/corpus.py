"""Valid pictures of every kind that is read, for the tests that look at their outputs.

All show the same scene where they can: a photograph with another colour in each corner and sharp edges of colour. No
turn, mirroring, shift or wrong colour then stays unseen.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image as Pillow
from PIL import ImageCms, ImageDraw

import deployments.demo
from actors.imaging.libvips import VipsImage, pyvips
from tests.unit.actors.imaging.pictures import save

if TYPE_CHECKING:
    from collections.abc import Callable

PHOTOGRAPHS = Path(next(iter(deployments.demo.__path__))) / "pictures"
SIZE = (200, 150)
CORNER = 24
CORNERS = ((230, 30, 40), (30, 200, 70), (40, 60, 220), (240, 220, 40))
ORIENTATION = 0x0112
DURATIONS = (50, 70, 90)
ADOBE_RGB = {
    b"rXYZ": (0.60974, 0.31111, 0.01947),
    b"gXYZ": (0.20528, 0.62567, 0.06087),
    b"bXYZ": (0.14919, 0.06322, 0.74457),
    b"wtpt": (0.9642, 1.0, 0.8249),
}


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of picture.

    Attributes:
        make: The function that makes the file.
        original: The picture in it, where only one library can read the file.
        converted: Whether it must be encoded again, and may therefore grow. The reason is its orientation, its colours,
            or metadata that cannot be cut out.
        exact: Whether `keep` loses nothing.
        hard: How many times the loss of the whole scene it loses by encoding. A small picture has less room for the
            same edges.
    """

    make: Callable[[], bytes]
    original: Callable[[], Pillow.Image] | None = None
    converted: bool = False
    exact: bool = False
    hard: float = 1.0


@cache
def scene(width: int = SIZE[0], height: int = SIZE[1], shift: int = 0) -> Pillow.Image:
    """Return a part of a photograph with corners and stripes of plain colours."""
    with Pillow.open(PHOTOGRAPHS / "colour-pencils.jpg") as photograph:
        part = photograph.convert("RGB").resize((width, height), Pillow.Resampling.LANCZOS, (40, 60, 460, 375))
    if min(width, height) < 2 * CORNER:
        return part
    draw = ImageDraw.Draw(part)
    side = CORNER
    right, bottom = width - side, height - side
    for colour, (left, top) in zip(CORNERS, ((0, 0), (right, 0), (0, bottom), (right, bottom)), strict=True):
        draw.rectangle((left, top, left + side - 1, top + side - 1), colour)
    for number in range(4 if width > 100 else 1):
        left = side + 9 + 13 * number + shift
        draw.rectangle((left, 0, left + 6, side), ((200, 30, 160), (20, 160, 170))[number % 2])
    return part


@cache
def translucent() -> Pillow.Image:
    """Return the scene behind a ramp of alpha."""
    picture = scene().convert("RGBA")
    picture.putalpha(Pillow.linear_gradient("L").resize(SIZE).rotate(90))
    return picture


def grey() -> Pillow.Image:
    return scene().convert("L")


def vips(picture: Pillow.Image) -> VipsImage:
    bands = len(picture.getbands())
    image = pyvips.Image.new_from_memory(picture.tobytes(), *picture.size, bands, "uchar")
    return image.copy(interpretation="b-w" if bands < 3 else "srgb")


def deep(picture: Pillow.Image) -> VipsImage:
    """Return the picture in 16 bits a channel."""
    image = vips(picture)
    return image.linear(257, 0).cast("ushort").copy(interpretation="grey16" if image.bands == 1 else "rgb16")


@cache
def profile(name: str) -> bytes:
    """Return a profile by its name: `p3` or `cmyk` of libvips, or `srgb` of Little CMS."""
    if name == "srgb":
        return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data: bytes = vips(scene(8, 8)).icc_transform(name, input_profile="srgb").get("icc-profile-data")
    return data


def _fixed(*values: float) -> bytes:
    return b"".join(round(value * 65_536).to_bytes(4, "big", signed=True) for value in values)


@cache
def adobe_rgb() -> bytes:
    """Build a profile with the primaries and the gamma of Adobe RGB (1998), as ICC.1 describes it."""
    xyz = {name: b"XYZ " + bytes(4) + _fixed(*values) for name, values in ADOBE_RGB.items()}
    curve = b"curv" + bytes(4) + (1).to_bytes(4, "big") + (563).to_bytes(2, "big") + bytes(2)
    name = b"Wide gamut\0"
    described = b"desc" + bytes(4) + len(name).to_bytes(4, "big") + name + bytes(79)
    curves = dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    tags = {b"desc": described, b"cprt": b"text" + bytes(4) + b"none\0", **xyz, **curves}
    table, body, start = len(tags).to_bytes(4, "big"), b"", 128 + 4 + 12 * len(tags)
    for tag, value in tags.items():
        table += tag + (start + len(body)).to_bytes(4, "big") + len(value).to_bytes(4, "big")
        body += value + bytes(-len(value) % 4)
    head = bytes(4) + b"lcms\x02\x10\0\0mntrRGB XYZ " + bytes(12) + b"acsp" + bytes(28) + _fixed(*ADOBE_RGB[b"wtpt"])
    whole = head.ljust(128, b"\0") + table + body
    return len(whole).to_bytes(4, "big") + whole[4:]


def exif(orientation: int = 1) -> Pillow.Exif:
    tags = Pillow.Exif()
    tags[ORIENTATION] = orientation
    tags[0x010F] = "a camera"
    return tags


def jpeg(picture: Pillow.Image | None = None, **how: object) -> bytes:
    return save(picture or scene(), "JPEG", **{"quality": 92, **how})


def subsampled_in_height() -> bytes:
    """Make a JPEG of 4:4:0, which no encoder at hand writes, from one of 4:2:2. It shows the scene in disorder."""
    source = bytearray(jpeg(subsampling="4:2:2"))
    frame = source.index(b"\xff\xc0")
    source[frame + 5 : frame + 9] = struct.pack(">HH", *SIZE)
    assert source[frame + 11] == 0x21
    source[frame + 11] = 0x12
    return bytes(source)


def cmyk(*, tagged: bool) -> bytes:
    image = vips(scene()).icc_transform("cmyk", input_profile="srgb", intent="relative")
    data: bytes = image.jpegsave_buffer(Q=95, keep="icc" if tagged else "none")
    return data


def ultra_hdr() -> bytes:
    image = vips(scene()).colourspace("scrgb").linear(2.5, 0).copy(interpretation="scrgb")
    data: bytes = image.uhdrsave_buffer(Q=92)
    return data


def everything_attached() -> bytes:
    image = vips(scene()).copy()
    image.set_type(pyvips.GValue.blob_type, "xmp-data", b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>")
    iptc = b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0\0\0\0\x06\x1c\x02\x05\0\x01a"
    image.set_type(pyvips.GValue.blob_type, "iptc-data", iptc)
    image.set_type(pyvips.GValue.gstr_type, "exif-ifd0-Make", "a camera")
    data: bytes = image.jpegsave_buffer(Q=92)
    return data


def animation(name: str, **how: object) -> bytes:
    frames = [scene(80, 60, shift=3 * number) for number in range(3)]
    return save(frames[0], name, save_all=True, append_images=frames[1:], duration=list(DURATIONS), loop=0, **how)


def transparent_animation() -> bytes:
    frames = [translucent().resize((80, 60)).rotate(90 * number) for number in range(3)]
    return save(frames[0], "WEBP", save_all=True, append_images=frames[1:], duration=50, lossless=True)


def vips_file(saver: str, image: VipsImage, **how: object) -> bytes:
    data: bytes = getattr(image, f"{saver}save_buffer")(**how)
    return data


def palette(*, transparent: bool = False) -> bytes:
    picture = scene().quantize(64)
    return save(picture, "PNG", **({"transparency": 5} if transparent else {}))


JPEGS: dict[str, Kind] = {
    "jpeg 4:4:4": Kind(lambda: jpeg(subsampling="4:4:4")),
    "jpeg 4:2:2": Kind(lambda: jpeg(subsampling="4:2:2")),
    "jpeg 4:2:0": Kind(lambda: jpeg(subsampling="4:2:0")),
    "jpeg 4:4:0": Kind(subsampled_in_height, hard=1.6),
    "jpeg grey": Kind(lambda: jpeg(grey())),
    "jpeg progressive": Kind(lambda: jpeg(progressive=True)),
    "jpeg with restart markers": Kind(lambda: jpeg(restart_marker_blocks=3)),
    "jpeg of quality 30": Kind(lambda: jpeg(quality=30)),
    **{
        f"jpeg turned by {turn}": Kind(lambda turn=turn: jpeg(exif=exif(turn)), converted=turn != 1)  # type: ignore[misc] # a default
        for turn in range(1, 9)
    },
    "jpeg of 1 by 1": Kind(lambda: jpeg(scene(1, 1)), hard=2.6),
    "jpeg of 7 by 5": Kind(lambda: jpeg(scene(7, 5)), hard=2.6),
    "jpeg of 17 by 13": Kind(lambda: jpeg(scene(17, 13)), hard=2.6),
    "jpeg in sRGB": Kind(lambda: jpeg(icc_profile=profile("srgb"))),
    "jpeg in Adobe RGB": Kind(lambda: jpeg(icc_profile=adobe_rgb()), converted=True),
    "jpeg in Display P3": Kind(lambda: jpeg(icc_profile=profile("p3")), converted=True),
    "jpeg in CMYK": Kind(lambda: cmyk(tagged=False), converted=True),
    "jpeg in CMYK with a profile": Kind(lambda: cmyk(tagged=True), converted=True),
    "jpeg with EXIF, XMP and IPTC": Kind(everything_attached),
    "jpeg with a gain map": Kind(ultra_hdr),
}
PNGS: dict[str, Kind] = {
    "png": Kind(lambda: save(scene(), "PNG"), exact=True),
    "png grey": Kind(lambda: save(grey(), "PNG"), exact=True),
    "png grey with alpha": Kind(lambda: save(translucent().convert("LA"), "PNG"), exact=True),
    "png with alpha": Kind(lambda: save(translucent(), "PNG"), exact=True),
    "png with a palette": Kind(palette, exact=True),
    "png with a transparent palette": Kind(lambda: palette(transparent=True), exact=True),
    "png of 1 bit": Kind(lambda: save(scene().convert("1"), "PNG"), exact=True),
    "png of 16 bits": Kind(lambda: vips_file("png", deep(scene())), exact=True),
    "png of 16 bits, grey": Kind(lambda: vips_file("png", deep(grey())), exact=True),
    "png interlaced": Kind(lambda: vips_file("png", vips(scene()), interlace=True), exact=True),
    "png in Display P3": Kind(lambda: save(scene(), "PNG", icc_profile=profile("p3")), converted=True),
    "png turned": Kind(lambda: save(scene(), "PNG", exif=exif(6)), converted=True, exact=True),
}
OTHERS: dict[str, Kind] = {
    "webp": Kind(lambda: save(scene(), "WEBP", quality=90)),
    "webp lossless": Kind(lambda: save(scene(), "WEBP", lossless=True), exact=True),
    "webp with alpha": Kind(lambda: save(translucent(), "WEBP", quality=90)),
    "webp animated": Kind(lambda: animation("WEBP", quality=90), hard=1.7),
    "webp animated with alpha": Kind(transparent_animation, exact=True, hard=1.7),
    "gif": Kind(lambda: save(scene().quantize(64), "GIF")),
    "gif animated": Kind(lambda: animation("GIF"), hard=1.7),
    "gif with transparency": Kind(lambda: save(scene().quantize(64), "GIF", transparency=5)),
    "avif": Kind(lambda: save(scene(), "AVIF", quality=90)),
    "avif 4:4:4": Kind(lambda: save(scene(), "AVIF", quality=90, subsampling="4:4:4")),
    "avif of 10 bits": Kind(
        lambda: vips_file("heif", deep(scene()), compression="av1", bitdepth=10, Q=90, keep="none")
    ),
    "avif with EXIF": Kind(lambda: save(scene(), "AVIF", quality=60, exif=exif()), converted=True),
    "avif with alpha": Kind(lambda: save(translucent(), "AVIF", quality=90)),
    "tiff": Kind(lambda: save(scene(), "TIFF"), exact=True),
    "tiff grey": Kind(lambda: save(grey(), "TIFF"), exact=True),
    "tiff with alpha": Kind(lambda: save(translucent(), "TIFF"), exact=True),
    "tiff of 1 bit": Kind(lambda: save(scene().convert("1"), "TIFF", compression="group4"), exact=True),
    "tiff of 16 bits": Kind(lambda: vips_file("tiff", deep(scene())), original=scene, exact=True),
    "tiff in LZW": Kind(lambda: save(scene(), "TIFF", compression="tiff_lzw"), exact=True),
    "tiff in JPEG": Kind(lambda: save(scene(), "TIFF", compression="jpeg", quality=92)),
    "tiff tiled": Kind(lambda: vips_file("tiff", vips(scene()), tile=True, tile_width=64, tile_height=64), exact=True),
    "tiff in CMYK": Kind(lambda: vips_file("tiff", pyvips.Image.jpegload_buffer(cmyk(tagged=True))), converted=True),
    "bmp": Kind(lambda: save(scene(), "BMP"), original=scene, exact=True),
    "bmp with a palette": Kind(
        lambda: save(scene().quantize(64), "BMP"), original=lambda: scene().quantize(64).convert("RGB"), exact=True
    ),
    "bmp grey": Kind(lambda: save(grey(), "BMP"), original=grey, exact=True),
}
CORPUS: dict[str, Kind] = {**JPEGS, **PNGS, **OTHERS}
