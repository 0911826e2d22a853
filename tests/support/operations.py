"""The commands of deployments/operations.md, as an operator would copy them."""

from __future__ import annotations

import re
from pathlib import Path

OPERATIONS = Path(__file__).parents[2] / "deployments" / "operations.md"


def commands(heading: str) -> list[str]:
    """Return the commands of the console blocks under a heading, down to the next heading, in order."""
    text = OPERATIONS.read_text()
    (section,) = re.findall(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#|\Z)", text, re.MULTILINE | re.DOTALL)
    blocks = re.findall(r"^```console\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ ")]
