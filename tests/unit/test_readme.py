"""The README tells the truth about what can be set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from cluster.codes import ImageErrorCode
from cluster.settings import MEBIBYTE, Settings

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

README = Path(__file__).parents[2] / "README.md"


def settings_table() -> str:
    """The rows of the README's table of settings."""
    return "\n".join(
        f"| `{name.upper()}` | {shown(field)} | {(field.description or '').replace(chr(10), ' ')} |"
        for name, field in Settings.model_fields.items()
    )


def shown(field: FieldInfo) -> str:
    default = field.default
    if isinstance(default, SecretStr) or default is None or default == ():
        return ""
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, int) and default >= MEBIBYTE and default % MEBIBYTE == 0:
        return f"{default // MEBIBYTE} MiB"
    if isinstance(default, tuple):
        return ", ".join(map(str, default))
    return f"{default:,}" if isinstance(default, int) and default >= 10_000 else f"{default}"


def test_every_setting_is_in_the_table_with_its_default() -> None:
    assert all(field.description for field in Settings.model_fields.values())
    assert settings_table() in README.read_text()


def test_every_code_of_an_image_is_there() -> None:
    text = README.read_text()
    assert [code for code in ImageErrorCode if f"`{code}`" not in text] == []
    assert [code for code in ImageErrorCode if code.transient and f"*`{code}`*" not in text] == []
