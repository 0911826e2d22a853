"""Pictures for tests: cheap to make, and large enough that compression pays."""

from __future__ import annotations

import io
import random

from PIL import Image, ImageDraw, ImageFilter


def picture(*, width: int = 320, height: int = 240, seed: int = 1) -> Image.Image:
    """Make a picture with edges and soft areas, different for every seed."""
    numbers = random.Random(seed)  # noqa: S311 - repeatable test data
    image = Image.new("RGB", (width, height), tuple(numbers.choices(range(256), k=3)))
    draw = ImageDraw.Draw(image)
    for _ in range(40):
        x, y = numbers.randrange(width), numbers.randrange(height)
        size = numbers.randrange(5, width // 3)
        draw.ellipse((x, y, x + size, y + size), fill=tuple(numbers.choices(range(256), k=3)))
    return image.filter(ImageFilter.GaussianBlur(1))


def jpeg(*, width: int = 320, height: int = 240, seed: int = 1) -> bytes:
    """Make a JPEG of quality 95, as cameras write them."""
    return _saved(picture(width=width, height=height, seed=seed), format="JPEG", quality=95)


def png(*, width: int = 320, height: int = 240, seed: int = 1) -> bytes:
    """Make a PNG with alpha."""
    image = picture(width=width, height=height, seed=seed)
    image.putalpha(picture(width=width, height=height, seed=seed + 1).convert("L"))
    return _saved(image, format="PNG", compress_level=1)


def _saved(image: Image.Image, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, **options)  # type: ignore[arg-type] # Pillow's own options, handed on
    return file.getvalue()
