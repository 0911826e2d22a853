"""Darkroom whole, as a contestant: from the HTTP upload to the last result, with all records and progress kept."""

from __future__ import annotations

import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cluster.errors import ApiError
from deployments.local import processes
from tests.bench.contestants import Coding, Done, Site
from tests.bench.meter import Part
from tests.support.catalogues import catalogue
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_RUN_SECONDS = 600
_OPTIONS: Mapping[Coding, Mapping[str, object]] = {Coding.BASELINE: {"effort": "fast"}, Coding.OPTIMISED: {}}


@contextmanager
def standing_still(site: Site) -> Iterator[None]:
    """Stop Ray's processes for a block: idle, they would take an eighth of a core from a contestant."""
    _signal_ray(site, signal.SIGSTOP)
    try:
        yield
    finally:
        _signal_ray(site, signal.SIGCONT)


class DarkroomWhole:
    """Darkroom, with all its parts.

    Args:
        site: The site to work on. Its Ray stands still outside of a run.
    """

    family = "darkroom"
    name = "darkroom"
    codec = "darkroom"
    own = frozenset({Part.WORKERS, Part.RUNTIME, Part.MONGOD, Part.REDIS})

    def __init__(self, site: Site) -> None:
        self._site = site

    @contextmanager
    def running(self, coding: Coding) -> Iterator[_Running]:
        _signal_ray(self._site, signal.SIGCONT)
        try:
            wait_until(self._is_ready, "Darkroom is ready", timeout_seconds=60)
            yield _Running(self._site, coding)
        finally:
            _signal_ray(self._site, signal.SIGSTOP)

    def _is_ready(self) -> bool:
        with self._site.service.client() as darkroom:
            try:
                return darkroom.ready().ready
            except ApiError:
                return False


class _Running:
    def __init__(self, site: Site, coding: Coding) -> None:
        self._site = site
        self._options = _OPTIONS[coding]

    def run(self, urls: Sequence[str]) -> Done:
        """Run a request, timed to the end that the service itself gives: the client looks only now and then."""
        rows = catalogue(*[[url] for url in urls])
        with self._site.service.client() as darkroom:
            begun = time.time()
            request_id = darkroom.submit(rows, options=self._options).request_id
            status = darkroom.wait(request_id, timeout_seconds=_RUN_SECONDS)
        if status.counts.completed != len(urls) or status.completed_at is None:
            raise RuntimeError(f"{status.counts.failed} of {len(urls)} images failed: {status.failures}")
        return Done(status.completed_at.timestamp() - begun, request_id)

    def members(self) -> dict[int, Part]:
        return {**self._site.members(), **self._site.ray_members()}


def _signal_ray(site: Site, number: signal.Signals) -> None:
    processes.send(site.ray_processes(), number)
