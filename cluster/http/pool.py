"""aiohttp's connections, made fit for servers that mean harm.

As they are, of aiohttp 3.14: idle ones have no bound, and what a server sends over one is read into memory without end
(100 MB a second) or taken for the answer to the next request; a body that ends with a connection reset passes for
whole; one whose chunks are garbage is waited for until the deadline; and a server that never answers the end of TLS
holds the socket for 30 seconds. tests/unit/cluster/http/test_pool.py fails when aiohttp renames what is used here.
"""

from __future__ import annotations

import atexit
import functools
import weakref
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp.client_proto import ResponseHandler

if TYPE_CHECKING:
    from aiohttp.client_reqrep import ConnectionKey

_END_OF_HEADERS = b"\r\n\r\n"


class Connection(ResponseHandler):
    """One connection, of which not more is believed than its server was asked for."""

    idle = False
    _answered = False

    def set_response_params(self, **params: Any) -> None:  # noqa: ANN401 - aiohttp's own, handed on
        """A request begins."""
        self.idle = self._answered = False
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        """Take a part of an answer, and leave when nobody asked for one; aiohttp calls with nothing at every read."""
        if self.idle:
            if data:
                self.close()
            return
        self._parse(data)
        if self.exception() is not None:
            self._fail_body()
        if self.idle and self.should_close:  # the answer was complete, and another one came with its end
            self.close()

    def _parse(self, data: bytes) -> None:
        if self._answered or not data:
            super().data_received(data)
            return
        # The headers for themselves: an error behind them would take them away.
        self._answered = True
        head, end, body = data.partition(_END_OF_HEADERS)
        super().data_received(head + end)
        if body:
            super().data_received(body)

    def connection_lost(self, exc: BaseException | None) -> None:
        """A body without a length is whole when its connection ends, but not when it breaks."""
        if exc is not None:
            self._fail_body()
        super().connection_lost(exc)

    def close(self) -> None:
        """At once, without a farewell that the other side could withhold."""
        self.abort()

    def _fail_body(self) -> None:
        if self._payload is not None and not self._payload.is_eof():
            self._payload.set_exception(aiohttp.ClientPayloadError())


class Pool(aiohttp.TCPConnector):
    """Keeps at most `limit` idle connections, and ends the one that has been idle longest."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - aiohttp's own, handed on
        super().__init__(**options)
        self._factory = functools.partial(Connection, loop=self._loop)  # type: ignore[assignment] # invariant
        atexit.register(_end, weakref.ref(self))

    def end(self) -> None:
        """Close without an event loop, as the connections of a Ray worker live until its process ends."""
        self._close(abort_ssl=True)

    def _release(self, key: ConnectionKey, protocol: ResponseHandler, *, should_close: bool = False) -> None:
        super()._release(key, protocol, should_close=should_close)
        if isinstance(protocol, Connection):
            protocol.idle = True
        while sum(map(len, self._conns.values())) > self.limit:
            self._end_longest_idle()

    def _end_longest_idle(self) -> None:
        key = min(self._conns, key=lambda key: self._conns[key][0][1])
        protocol, _ = self._conns[key].popleft()
        if not self._conns[key]:
            del self._conns[key]
        protocol.close()


def _end(reference: weakref.ref[Pool]) -> None:
    pool = reference()
    if pool is not None:
        pool.end()
