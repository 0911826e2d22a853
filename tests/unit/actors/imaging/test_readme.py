"""The README of imaging is complete."""

from __future__ import annotations

from pathlib import Path

import actors.imaging
from cluster.codes import ImageErrorCode
from cluster.options import ImageOptions

FOLDER = Path(actors.imaging.__file__).parent
TEXT = (FOLDER / "README.md").read_text()


def test_every_code_is_there_and_marked_when_it_is_transient() -> None:
    assert [code for code in ImageErrorCode if f"`{code}`" not in TEXT] == []
    assert [code for code in ImageErrorCode if (f"*`{code}`*" in TEXT) != code.transient] == []


def test_every_option_is_there() -> None:
    aliases = [field.alias or name for name, field in ImageOptions.model_fields.items()]
    assert [name for name in aliases if f"`{name}`" not in TEXT] == []
