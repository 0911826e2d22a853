"""The connections of aiohttp, made safe against hostile servers.

The connections of aiohttp 3.14 have these faults:

- The number of idle connections has no limit.
- A server may send over an idle connection. aiohttp reads that into memory without end (100 MB a second).
- Or aiohttp takes it for the answer to the next request.
- A body that ends with a connection reset counts as complete.
- A body with garbage for chunks is waited for until the deadline.
- Interim answers and the extensions of chunks are read at full speed until the deadline.
- Heads that every browser takes are refused. `cluster/http/wire_head.py` mends them before the parser sees them.
- A server that does not answer the end of TLS holds the socket for 30 seconds.

This module uses private names of aiohttp. tests/unit/cluster/http/test_pool.py fails if aiohttp renames one.
"""

from __future__ import annotations

import atexit
import functools
import weakref
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import BadHttpMessage

from cluster.http.wire_head import HeadReader, InvalidHeadError

if TYPE_CHECKING:
    from aiohttp.client_reqrep import ConnectionKey

# The bytes of an answer beside its body: interim answers, headers and the framing of chunks. Chunks of 100 bytes need a
# seventeenth of the body. Up to 256 KiB of these bytes may be a body that waits for its reader.
_MAX_FRAMING_BYTES = 1024 * 1024
_MAX_FRAMING_FRACTION = 16


class TooMuchFramingError(aiohttp.ClientPayloadError):
    """The server sent too many bytes that are no part of a body: interim answers, headers and the framing of chunks."""


class Connection(ResponseHandler):
    """One connection. It takes one answer for each request, and closes if the server sends more."""

    idle = False
    _answered = False
    _received_bytes = 0
    _head: HeadReader

    def set_response_params(self, **params: Any) -> None:  # noqa: ANN401 - aiohttp's own, handed on
        """Begin a request."""
        self.idle = self._answered = False
        self._received_bytes = 0
        self._head = HeadReader()
        self._payload = None
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        """Take a part of an answer. Data that nobody asked for closes the connection.

        aiohttp calls this at every read, also without data.
        """
        if self.idle:
            if data:
                self.close()
            return
        if self._has_too_much_framing():
            self._refuse(TooMuchFramingError())
            return
        self._received_bytes += len(data)
        self._parse(data)
        if self.exception() is not None:
            self._fail_body(aiohttp.ClientPayloadError())
        if self.idle and self.should_close:  # another answer came together with the end of this one
            self.close()

    def _parse(self, data: bytes) -> None:
        if self._answered or not data or self._parser is None:
            super().data_received(data)
            return
        self._head.feed(data)
        try:
            head = self._head.take()
        except InvalidHeadError:
            self._refuse(BadHttpMessage("not valid HTTP"))
            return
        if head is None:
            return
        self._answered = True
        if head.odd:
            self.force_close()
        # The head is parsed alone, because an error in the bytes behind it would discard it.
        super().data_received(head.data)
        body = self._head.rest()
        if body and self.exception() is None:
            super().data_received(body)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Fail the body if the connection broke. A body without a length is complete if the connection only ended."""
        if exc is not None:
            self._fail_body(aiohttp.ClientPayloadError())
        super().connection_lost(exc)

    def close(self) -> None:
        """Close at once. The end of TLS would wait for an answer of the server."""
        self.abort()

    def _has_too_much_framing(self) -> bool:
        body_bytes = 0 if self._payload is None else self._payload.total_bytes
        return self._received_bytes - body_bytes > _MAX_FRAMING_BYTES + body_bytes // _MAX_FRAMING_FRACTION

    def _refuse(self, error: Exception) -> None:
        self.set_exception(error)
        self._fail_body(error)
        if self.transport is not None:
            self.transport.abort()

    def _fail_body(self, error: Exception) -> None:
        if self._payload is not None and not self._payload.is_eof():
            self._payload.set_exception(error)


class Pool(aiohttp.TCPConnector):
    """A pool of at most `limit` idle connections. It closes the one that was idle longest.

    The pool closes its resolver, too.
    """

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - aiohttp's own, handed on
        super().__init__(**options)
        self._resolver_owner = True
        self._factory = functools.partial(Connection, loop=self._loop)  # type: ignore[assignment] # invariant
        atexit.register(_close_at_exit, weakref.ref(self))

    def close_at_exit(self) -> None:
        """Close without an event loop. The connections of a Ray worker live until its process ends."""
        self._close(abort_ssl=True)

    def _release(self, key: ConnectionKey, protocol: ResponseHandler, *, should_close: bool = False) -> None:
        super()._release(key, protocol, should_close=should_close)
        if isinstance(protocol, Connection):
            protocol.idle = True
        while sum(map(len, self._conns.values())) > self.limit:
            self._close_longest_idle()

    def _close_longest_idle(self) -> None:
        key = min(self._conns, key=lambda key: self._conns[key][0][1])
        protocol, _ = self._conns[key].popleft()
        if not self._conns[key]:
            del self._conns[key]
        protocol.close()


def _close_at_exit(reference: weakref.ref[Pool]) -> None:
    pool = reference()
    if pool is not None:
        pool.close_at_exit()
