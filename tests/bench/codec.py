"""The cost and the output of each contestant's codec alone, in a process of its own."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tests.bench.contestants import QUALITY, Coding, LineProcess
from tests.bench.peers import node_bullmq
from tests.bench.similarity import mean_similarity

if TYPE_CHECKING:
    from collections.abc import Sequence

QUALITIES = (50, 60, 65, 70, 75, 80, 85, 90)


class Point(NamedTuple):
    """Means over the photographs at one quality."""

    similarity: float
    size_bytes: float


def cpu_seconds(codec: str, photographs: Sequence[Path], coding: Coding) -> float:
    """Return the codec's CPU seconds an image, with every core busy: cores that share a cache slow each other."""
    command = (
        node_bullmq.command("measure.mjs")
        if codec == node_bullmq.NodeBullMQ.codec
        else [sys.executable, "-m", "tests.bench.codecs", codec]
    )
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        measuring = [
            stack.enter_context(LineProcess(command, environment=os.environ)) for _ in range(os.cpu_count() or 1)
        ]
        for process in measuring:
            process.send(_job(photographs, coding, QUALITY, folder, passes=1))
        return fmean(process.answer()["cpuSeconds"] for process in measuring)


def darkroom_curve(photographs: Sequence[Path], coding: Coding) -> list[Point]:
    """Return bytes and similarity of Darkroom's codec, from the lowest quality to the highest."""
    command = [sys.executable, "-m", "tests.bench.codecs", "darkroom"]
    points = []
    with LineProcess(command, environment=os.environ) as process, tempfile.TemporaryDirectory() as folder:
        for quality in QUALITIES:
            process.ask(_job(photographs, coding, quality, folder, passes=0))
            outputs = [Path(folder, f"{number}.jpg").read_bytes() for number in range(len(photographs))]
            points.append(point(photographs, outputs))
    return points


def point(photographs: Sequence[Path], outputs: Sequence[bytes]) -> Point:
    """Return the mean size and similarity of outputs."""
    return Point(mean_similarity(photographs, outputs), sum(map(len, outputs)) / len(outputs))


def bytes_at(curve: Sequence[Point], similarity: float) -> float:
    """Return the bytes that a codec needs for a similarity, between the qualities that were tried."""
    lowest, highest = curve[0].similarity, curve[-1].similarity
    if not lowest <= similarity <= highest:
        raise ValueError(f"similarity {similarity:.4f} is not between {lowest:.4f} and {highest:.4f}")
    found = np.interp(similarity, [each.similarity for each in curve], [each.size_bytes for each in curve])
    return float(found)


def _job(photographs: Sequence[Path], coding: Coding, quality: int, folder: str, *, passes: int) -> dict[str, object]:
    return {
        "files": [str(path) for path in photographs],
        "quality": quality,
        "optimise": coding is Coding.OPTIMISED,
        "folder": folder,
        "passes": passes,
    }
