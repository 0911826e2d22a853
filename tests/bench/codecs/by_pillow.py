"""JPEG to a smaller JPEG by Pillow, as most people write it."""

from __future__ import annotations

import io

from PIL import Image, ImageOps


def compress(data: bytes, *, quality: int, optimise: bool) -> bytes:
    """Compress, upright and without metadata."""
    with Image.open(io.BytesIO(data)) as image:
        file = io.BytesIO()
        ImageOps.exif_transpose(image).save(file, "JPEG", quality=quality, optimize=optimise)
        return file.getvalue()
