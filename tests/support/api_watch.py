"""A watch over an API with several addresses: how long was it away?"""

from __future__ import annotations

import threading
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Self

import httpx

if TYPE_CHECKING:
    from collections.abc import Sequence

_INTERVAL_SECONDS = 0.5
_ANSWER_SECONDS = 2.0


class ApiWatch:
    """Asks all addresses twice a second, as a load balancer with a real request does.

    The API answers when one of them gives a status, which needs a replica and the stores.

    Args:
        urls: The addresses.
        path: The path of a GET.
        token: The API key.
    """

    def __init__(self, urls: Sequence[str], path: str, token: str) -> None:
        self._asked = [f"{url}{path}" for url in urls]
        self._headers = {"Authorization": f"Bearer {token}"}
        self._ended = threading.Event()
        self._answered: list[float] = []
        self._threads = [threading.Thread(target=self._ask, args=(url,), daemon=True) for url in self._asked]

    def __enter__(self) -> Self:
        """Begin. The API answers now."""
        self._answered.append(time.monotonic())
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End, and count the time until now."""
        self._ended.set()
        for thread in self._threads:
            thread.join()
        self._answered.append(time.monotonic())

    @property
    def longest_gap_seconds(self) -> float:
        """The longest time without an answer from any address."""
        times = sorted(self._answered)
        return max(after - before for before, after in pairwise(times))

    def _ask(self, url: str) -> None:
        with httpx.Client(headers=self._headers, timeout=_ANSWER_SECONDS, trust_env=False) as client:
            while not self._ended.wait(_INTERVAL_SECONDS):
                try:
                    answer = client.get(url)
                except httpx.HTTPError:
                    continue
                if answer.status_code == httpx.codes.OK:
                    self._answered.append(time.monotonic())
