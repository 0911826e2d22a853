"""The patience with a server that is getting ready. On a slow machine it takes longer, and uses the CPU meanwhile."""

from __future__ import annotations

from dataclasses import dataclass

WORK_SHARE = 0.1
"""A server that uses less of one core is idle. An idle Ray with its dashboard uses 5 to 10%."""
LONGEST_FACTOR = 10
"""A server that works for ever is given up after so many timeouts."""


@dataclass
class Patience:
    """The wait for one server.

    Args:
        timeout_seconds: How long an idle server may take.
        begun_seconds: The time of the start, on any clock.
    """

    timeout_seconds: float
    begun_seconds: float

    def __post_init__(self) -> None:
        self._since_seconds = self.begun_seconds
        self._cpu_seconds = 0.0

    def is_over(self, now_seconds: float, cpu_seconds: float) -> bool:
        """Return whether the wait is over.

        Args:
            now_seconds: The time, on the same clock.
            cpu_seconds: All CPU time that the server has used.
        """
        if now_seconds - self.begun_seconds > self.timeout_seconds * LONGEST_FACTOR:
            return True
        if cpu_seconds - self._cpu_seconds >= self.timeout_seconds * WORK_SHARE:
            self._since_seconds, self._cpu_seconds = now_seconds, cpu_seconds
        return now_seconds - self._since_seconds > self.timeout_seconds
