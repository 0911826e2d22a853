"""The tables of a race, in GitHub's Markdown, and whether the goals were reached."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median, quantiles
from typing import TYPE_CHECKING

from tests.bench.codec import bytes_at
from tests.bench.contestants import QUALITY, Coding
from tests.bench.meter import Part
from tests.bench.pictures import HEIGHT, WIDTH

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.bench.codec import Point

MIN_OF_CEILING = 0.95
AIM_OF_CEILING = 1.2
MIN_OF_CELERY = 1.25
MIN_OF_NODE = 1.1
MAX_BYTES_RATIO = 1.0


@dataclass(frozen=True, slots=True)
class Line:
    """A contestant's medians. CPU time is in milliseconds an image."""

    family: str
    name: str
    images_per_second: float
    slowest: float
    fastest: float
    cpu_ms: dict[Part, float]
    codec_ms: float
    peak_bytes: int
    bytes_per_image: float
    point: Point

    @property
    def outside_codec_ms(self) -> float:
        """The CPU time of the workers outside the codec."""
        return self.cpu_ms[Part.WORKERS] - self.codec_ms


def print_report(coding: Coding, lines: Sequence[Line], curve: Sequence[Point], *, images: int, rounds: int) -> None:
    """Print all findings about one coding."""
    print(f"### JPEG to JPEG, quality {QUALITY}, {coding} coding")
    print()
    print(
        f"{images} images of {WIDTH} x {HEIGHT} pixels from one source into one bucket, all on this machine; ", end=""
    )
    print(f"medians of {rounds} rounds in turns.")
    print()
    ceiling = _fastest(lines, "ceiling")
    _print_table(
        ("contestant", "images/s", "slowest to fastest", "of the ceiling", "peak memory", "KB an image", "SSIM"),
        (_speed_cells(line, ceiling) for line in lines),
    )
    print(
        "CPU time, ms an image; the codec is measured alone, on all cores at once. Memory is that of all processes ",
        end="",
    )
    print("which the contestant needs beside S3, as proportional set size.")
    print()
    parts = [part for part in Part if part is not Part.WORKERS and any(line.cpu_ms.get(part) for line in lines)]
    _print_table(
        ("contestant", "workers", "of it decode + encode", "of it the rest", *parts, "all"),
        (_cpu_cells(line, parts) for line in lines),
    )
    for goal in _goals({line.family: _fastest(lines, line.family) for line in lines}, curve):
        print(f"- {goal}")
    print(flush=True)


def _speed_cells(line: Line, ceiling: Line) -> list[str]:
    return [
        line.name,
        f"{line.images_per_second:.1f}",
        f"{line.slowest:.1f} to {line.fastest:.1f}",
        f"{line.images_per_second / ceiling.images_per_second:.3f}",
        f"{line.peak_bytes / 1e6:.0f} MB",
        f"{line.bytes_per_image / 1e3:.1f}",
        f"{line.point.similarity:.4f}",
    ]


def _cpu_cells(line: Line, parts: Iterable[Part]) -> list[str]:
    figures = [
        line.cpu_ms[Part.WORKERS],
        line.codec_ms,
        line.outside_codec_ms,
        *(line.cpu_ms.get(part, 0) for part in parts),
        sum(line.cpu_ms.values()),
    ]
    return [line.name, *(f"{figure:.2f}" for figure in figures)]


def _goals(fastest: dict[str, Line], curve: Sequence[Point]) -> Iterable[str]:
    speed = fastest["darkroom"].images_per_second
    for family, wanted in (("ceiling", MIN_OF_CEILING), ("celery", MIN_OF_CELERY), ("node", MIN_OF_NODE)):
        if family in fastest:
            other = fastest[family]
            yield at_least(f"Darkroom by {other.name}", speed / other.images_per_second, wanted)
    yield at_least("The same by the ceiling, as an aim", speed / fastest["ceiling"].images_per_second, AIM_OF_CEILING)
    for family in ("celery", "node"):
        if family in fastest:
            peer = fastest[family].point
            ratio = bytes_at(curve, peer.similarity) / peer.size_bytes
            yield at_most(f"Darkroom's bytes by those of {family} at equal similarity", ratio, MAX_BYTES_RATIO)


def print_times(what: str, seconds: Sequence[float]) -> None:
    """Print a row of a table: p50, p95, slowest, and the number of values."""
    p95 = quantiles(seconds, n=20, method="inclusive")[-1] if len(seconds) > 1 else seconds[0]
    print(f"| {what} | {median(seconds):.2f} s | {p95:.2f} s | {max(seconds):.2f} s | {len(seconds)} |")


def at_least(what: str, found: float, wanted: float) -> str:
    """Return a sentence that tells whether a goal is reached."""
    return f"{what}: {found:.3f}, at least {wanted:g} wanted: {_said(reached=round(found, 3) >= wanted)}"


def at_most(what: str, found: float, wanted: float) -> str:
    """Return a sentence that tells whether a goal is reached."""
    return f"{what}: {found:.3f}, at most {wanted:g} wanted: {_said(reached=round(found, 3) <= wanted)}"


def _said(*, reached: bool) -> str:
    return "reached" if reached else "NOT reached"


def _fastest(lines: Iterable[Line], family: str) -> Line:
    return max((line for line in lines if line.family == family), key=lambda line: line.images_per_second)


def _print_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    print("| " + " | ".join(head) + " |")
    print("| --- |" + " ---: |" * (len(head) - 1))
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print()
