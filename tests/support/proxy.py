"""A TCP proxy on loopback between the service and a store, that can be slow, break connections, or garble what passes.

with Proxy(port) as proxy:
    proxy.fault = Fault.RESET   # from now on, and for the connections that there are
    proxy.fault = None
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import threading
from enum import StrEnum, auto
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

CHUNK_BYTES = 64 * 1024
DELAY_SECONDS = 0.3
BREAK_EVERY_SECONDS = 0.5
GARBLED_SHARE = 0.2


class Fault(StrEnum):
    """The faults of a proxy's connections."""

    DELAY = auto()
    """Each piece comes later."""
    CUT = auto()
    """Connections are closed, and new ones, too, after a moment."""
    RESET = auto()
    """Connections are closed in the same way, by a TCP reset."""
    CORRUPT = auto()
    """Some pieces are replaced by noise of the same length."""
    SILENCE = auto()
    """Connections stay open, and nothing passes, for good: as when a firewall forgets them. Later ones are well."""


class Proxy:
    """One proxy, on a port of its own.

    Args:
        target_port: Of the store, on loopback.
        seed: Of the noise.
    """

    def __init__(self, target_port: int, *, seed: int = 0) -> None:
        self._target_port = target_port
        self._chance = random.Random(seed)  # noqa: S311 - to be repeated
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy")
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._fault: Fault | None = None
        self._silences = 0  # so far

    @property
    def fault(self) -> Fault | None:
        """The current fault."""
        return self._fault

    @fault.setter
    def fault(self, fault: Fault | None) -> None:
        self._fault = fault
        self._silences += fault is Fault.SILENCE

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self) -> None:
        # Not asyncio's own server: a connection that comes while it closes is never closed.
        self._loop.add_reader(self._listener, lambda: self._begin(self._serve(self._listener.accept()[0])))
        self._begin(self._break())

    async def _stop(self) -> None:
        self._loop.remove_reader(self._listener)
        self._listener.close()
        await asyncio.sleep(0)  # All tasks have taken their first step then, and end what they have when cancelled.
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _break(self) -> None:
        while True:
            await asyncio.sleep(BREAK_EVERY_SECONDS)
            if self.fault in {Fault.CUT, Fault.RESET}:
                for writer in self._writers:
                    self._end(writer)

    def _end(self, writer: asyncio.StreamWriter) -> None:
        if self.fault is Fault.RESET:
            connection: socket.socket = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):  # it has ended meanwhile
                # Linger for no time: the kernel sends a reset instead of an orderly end.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.close()

    async def _serve(self, connection: socket.socket) -> None:
        here = await asyncio.open_connection(sock=connection, limit=CHUNK_BYTES)
        with self._ended(here[1]), contextlib.suppress(OSError):  # the store itself is away
            there = await asyncio.open_connection("127.0.0.1", self._target_port, limit=CHUNK_BYTES)
            with self._ended(there[1]):
                silences = self._silences
                ways = [
                    self._begin(self._pass_on(here[0], there[1], silences)),
                    self._begin(self._pass_on(there[0], here[1], silences)),
                ]
                try:
                    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for way in ways:
                        way.cancel()

    @contextlib.contextmanager
    def _ended(self, writer: asyncio.StreamWriter) -> Iterator[None]:
        self._writers.add(writer)
        try:
            yield
        finally:
            self._writers.discard(writer)
            self._end(writer)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, silences: int) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(CHUNK_BYTES):
                if self.fault is Fault.DELAY:
                    await asyncio.sleep(DELAY_SECONDS)
                if self.fault is Fault.SILENCE or self._silences > silences:
                    continue
                writer.write(self._garbled(data) if self.fault is Fault.CORRUPT else data)
                await writer.drain()

    def _garbled(self, data: bytes) -> bytes:
        return self._chance.randbytes(len(data)) if self._chance.random() < GARBLED_SHARE else data
