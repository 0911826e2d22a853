"""Pictures that crash their decoder, eat all memory, or never come out: each fails alone, and all others are done."""

from __future__ import annotations

import io
import os
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.catalogues import catalogue
from tests.support.jobs import finished
from tests.support.origin import Origin, reply
from tests.support.pictures import jpeg, picture
from tests.support.service import Service, running_service

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.faults.conftest import Note

MAX_IMAGE_MEMORY_BYTES = 600_000_000
CODES = {"segfault": "decoder_crashed", "memory": "out_of_memory", "hang": "timeout"}
POISONED = Path(__file__).parents[1] / "support" / "poisoned"


@pytest.fixture(scope="module")
def poisonable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service whose decoder has faults."""
    with pytest.MonkeyPatch.context() as patch:
        folders = [str(POISONED), *filter(None, [os.environ.get("PYTHONPATH")])]
        patch.setenv("PYTHONPATH", os.pathsep.join(folders))
        home = tmp_path_factory.mktemp("poison")
        with running_service(home, max_image_memory_bytes=MAX_IMAGE_MEMORY_BYTES) as running:
            yield running


def poison(kind: str, seed: int) -> bytes:
    file = io.BytesIO()
    picture(seed=seed).save(file, "JPEG", quality=95, comment=f"poison: {kind}".encode())
    return file.getvalue()


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("good", "each"), [(40, 1), pytest.param(200, 5, marks=pytest.mark.long)])
def test_poison_fails_alone(poisonable: Service, good: int, each: int, note: Note) -> None:
    bad = [kind for kind in CODES for _ in range(each)]
    with Origin() as origin, poisonable.client() as darkroom:
        urls = [origin.route(f"/good-{number}.jpg", reply(jpeg(seed=number))) for number in range(good)]
        for number, kind in enumerate(bad):
            url = origin.route(f"/bad-{number}.jpg", reply(poison(kind, seed=1000 + number)))
            urls.insert(number * len(urls) // len(bad), url)
        begun = time.monotonic()
        status, products = finished(darkroom, catalogue(*[[url] for url in urls]), timeout_seconds=500)
        seconds = time.monotonic() - begun
    images = {product.input_image_urls[0]: product.images[0] for product in products}
    assert (status.counts.completed, status.counts.failed) == (good, len(bad))
    for url, image in images.items():
        assert image.status == ("completed" if "good" in url else "failed"), (url, image)
    failed = Counter(image.error.code for image in images.values() if image.error)
    assert failed == dict.fromkeys(CODES.values(), each)
    attempts = {image.attempts for image in images.values() if image.error}
    assert attempts == {poisonable.settings.max_attempts}
    assert len(poisonable.object_keys(status.request_id)) == good
    note(f"{len(bad)} poison images among {good} (the whole job)", seconds)
