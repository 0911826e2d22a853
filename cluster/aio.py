"""Tasks of asyncio: loops without end, work in the background, and calls that several callers share."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from cluster.retry import failures_logged

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from typing import NoReturn

T = TypeVar("T")
_CANCEL_AGAIN_SECONDS = 0.2
logger = logging.getLogger("darkroom.aio")


async def forever(
    step: Callable[[], Awaitable[object]],
    pause: Callable[[], Awaitable[object]],
    name: str,
    *,
    request_id: str | None = None,
) -> NoReturn:
    """Take a step again and again, with a pause after each, whether it succeeds or fails.

    Args:
        step: One step.
        pause: Returns when the next step is due.
        name: The name of the loop in the log.
        request_id: The request that it works for, for the log.

    Raises:
        StaleEpochError: A step raised it: a newer process has taken over, so this one must stop.
    """
    while True:
        with failures_logged(name, then="it is tried again", request_id=request_id):
            await step()
        await pause()


async def wait_until_set(event: asyncio.Event, seconds: float) -> None:
    """Return when the event is set, or when the time is over."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)


class Background:
    """Work that no caller waits for. The event loop alone would let a task be collected before its end."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._named: dict[str, asyncio.Task[Any]] = {}

    def start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Begin a piece of work, which handles its own errors."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def start_once(self, name: str, work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        """Begin a piece of work unless one of the same name still runs."""
        if not self.runs(name):
            self._named[name] = self.start(work())
            self._named[name].add_done_callback(lambda _: self._named.pop(name))

    def runs(self, name: str) -> bool:
        """Whether a piece of work of that name has begun and not ended."""
        return name in self._named

    async def end(self) -> None:
        """Cancel all work that has not ended."""
        await end(*self._tasks)


async def end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks until they have ended. They handle their own errors.

    One cancel is not enough: redis-py waits by `asyncio.wait_for`, which on Python 3.11 loses a cancel that comes
    together with the answer. A loop without end would then go on.
    """
    left = {*tasks}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=_CANCEL_AGAIN_SECONDS)
    await asyncio.gather(*tasks, return_exceptions=True)


class SingleFlight(Generic[T]):
    """Concurrent callers share one call. Cancelling a caller does not cancel the call.

    So a thread that cannot be stopped is not started twice.

    Args:
        call: The call. Its errors go to all callers.
    """

    def __init__(self, call: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._call = call
        self._running: asyncio.Task[T] | None = None

    async def __call__(self) -> T:
        """Return the outcome of the call that runs, or of a new one."""
        return await asyncio.shield(self.task())

    def task(self) -> asyncio.Task[T]:
        """Return the call that runs, or a new one."""
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._call())
            self._running.add_done_callback(_retrieve_error)
        return self._running


class FreshCalls(Generic[T]):
    """Calls by key, each of which begins after it was asked for. Callers that wait for the same one share it.

    Args:
        call: The call, with its key. Its errors go to all callers. Calls with different keys run at the same time.
    """

    def __init__(self, call: Callable[[str], Coroutine[Any, Any, T]]) -> None:
        self._call = call
        self._running: dict[str, asyncio.Task[T]] = {}
        self._next: dict[str, SingleFlight[T]] = {}

    async def __call__(self, key: str) -> T:
        """Return the outcome of the next call for this key, which begins when the one that runs has ended."""
        if key not in self._next:
            self._next[key] = SingleFlight(partial(self._run, key, self._running.get(key)))
        return await self._next[key]()

    async def _run(self, key: str, earlier: asyncio.Task[T] | None) -> T:
        if earlier is not None:
            await asyncio.wait([earlier])
        this = self._running[key] = self._next.pop(key).task()
        try:
            return await self._call(key)
        finally:
            if self._running[key] is this:
                del self._running[key]


class Question(Generic[T]):
    """A question to the head node, which may be away. It is asked once at a time, since each call holds a thread.

    Args:
        ask: Asks.
        wait_seconds: How long a caller waits for the answer.
    """

    def __init__(self, ask: Callable[[], Coroutine[Any, Any, T]], wait_seconds: float) -> None:
        self._ask = SingleFlight(ask)
        self._wait_seconds = wait_seconds
        self._unread: asyncio.Task[T] | None = None
        self._now = asyncio.get_running_loop().time
        self._answered_at = self._now()

    @property
    def unanswered_seconds(self) -> float:
        """The time since the last answer."""
        return self._now() - self._answered_at

    async def answer(self) -> T | None:
        """Return the answer, or None when it is an error or late. The next caller gets a late one."""
        asking = self._unread = self._unread or self._ask.task()
        await asyncio.wait([asking], timeout=self._wait_seconds)
        if not asking.done():
            return None
        self._unread = None
        if (error := asking.exception()) is not None:
            logger.warning("the head node did not answer: %s", error)
            return None
        self._answered_at = self._now()
        return asking.result()


def _retrieve_error(task: asyncio.Task[Any]) -> None:
    """Keep asyncio from warning about an error that no caller is left to hear of."""
    if not task.cancelled():
        task.exception()
