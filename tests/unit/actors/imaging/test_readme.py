"""The README of imaging is complete."""

from __future__ import annotations

from pathlib import Path

import actors.imaging
from cluster.options import ImageOptions

FOLDER = Path(actors.imaging.__file__).parent
TEXT = (FOLDER / "README.md").read_text()


def test_every_option_is_there() -> None:
    aliases = [field.alias or name for name, field in ImageOptions.model_fields.items()]
    assert [name for name in aliases if f"`{name}`" not in TEXT] == []
