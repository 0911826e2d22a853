"""Prints how all hostile files end, or those with a word in their name.

Usage: `python -m tests.unit.actors.imaging.hostile [WORD...]`.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from tests.unit.actors.imaging.hostile import cuts
from tests.unit.actors.imaging.hostile.case import WAYS
from tests.unit.actors.imaging.hostile.files import FILES
from tests.unit.actors.imaging.hostile.opened import Ending, Worker

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.unit.actors.imaging.hostile.case import Hostile


def chosen(words: list[str]) -> Iterator[tuple[str, Hostile]]:
    return ((name, file) for name, file in FILES.items() if not words or any(word in name for word in words))


def row(name: str, size: int, way: str, ending: Ending, remark: str = "") -> str:
    numbers = f"{ending.cpu_seconds * 1_000:>7,.0f} {ending.peak_mebibytes:>7,.0f}"
    return f"{name:<56} {size:>10,} {way:<6} {ending.code:<20} {numbers}  {remark}".rstrip() + "\n"


def summary(worker: Worker, name: str, files: Iterable[tuple[str, bytes]]) -> Iterator[str]:
    """Yield one row for each code that a family of files ends in, with the highest numbers."""
    worst: dict[str, list[tuple[int, Ending]]] = {}
    for _, data in files:
        ending = worker.open(data)
        worst.setdefault(ending.code, []).append((len(data), ending))
    for code, endings in sorted(worst.items()):
        highest = Ending(
            code=code,
            message="",
            cpu_seconds=max(ending.cpu_seconds for _, ending in endings),
            peak_mebibytes=max(ending.peak_mebibytes for _, ending in endings),
        )
        yield row(f"{name}: {len(endings)} files", max(size for size, _ in endings), "kept", highest)


def rows(worker: Worker, words: list[str]) -> Iterator[str]:
    yield f"{'file':<56} {'bytes':>10} {'way':<6} {'code':<20} {'CPU ms':>7} {'peak MB':>7}\n"
    for name, file in chosen(words):
        data = file.make()
        for way in file.ways:
            ending = worker.open(data, **WAYS[way])
            remark = "" if ending.code in file.expected else f"expected {' or '.join(sorted(file.expected))}"
            yield row(name, len(data), way, ending, remark)
    if not words:
        for name in cuts.LARGE_NAMES:
            yield from summary(worker, f"{name} cut at every kilobyte", cuts.truncations(name))
        yield from summary(worker, "mutations", cuts.mutations())


def main(words: list[str]) -> None:
    with Worker() as worker:
        for line in rows(worker, words):
            sys.stdout.write(line)
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
