"""All the hostile files, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.unit.actors.imaging.hostile import avifs, bmps, gifs, jpegs, pngs, strangers, tiffs, webps

if TYPE_CHECKING:
    from tests.unit.actors.imaging.hostile.case import Hostile

FILES: dict[str, Hostile] = {
    **jpegs.CASES,
    **pngs.CASES,
    **webps.CASES,
    **gifs.CASES,
    **tiffs.CASES,
    **avifs.CASES,
    **bmps.CASES,
    **strangers.POLYGLOTS,
    **strangers.STRANGERS,
    **strangers.MAGIC,
}
