"""The similarity of outputs and sources: the mean structural similarity of luma at half resolution."""

from __future__ import annotations

import functools
import io
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from skimage import metrics

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_HALF = 2


def mean_similarity(sources: Sequence[Path], outputs: Sequence[bytes]) -> float:
    """Return the similarity, which is 1 for outputs that cannot be told from their sources."""
    return sum(map(_similarity, sources, outputs)) / len(outputs)


def _similarity(source: Path, output: bytes) -> float:
    measure: Any = metrics.structural_similarity  # its package has types, and this function has none
    return float(measure(_source_luma(source), _luma(output), data_range=255))


@functools.lru_cache(maxsize=32)
def _source_luma(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return _luma(path.read_bytes())


def _luma(data: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("L").reduce(_HALF))
