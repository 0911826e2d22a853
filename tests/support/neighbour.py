"""Another program on this machine, which has a port that a server wants."""

from __future__ import annotations

import socketserver
import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from deployments.local.ports import LOOPBACK
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def neighbour(number: int) -> Iterator[None]:
    """Take the port for the block, as soon as it is free, and hang up on all callers."""
    with ExitStack() as stack:

        def listens() -> bool:
            try:
                servers.append(stack.enter_context(_Neighbour((LOOPBACK, number), socketserver.BaseRequestHandler)))
            except OSError:
                return False
            return True

        servers: list[_Neighbour] = []
        wait_until(listens, f"port {number} is free")
        thread = threading.Thread(target=servers[0].serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield
        finally:
            servers[0].shutdown()
            thread.join()


class _Neighbour(socketserver.TCPServer):
    allow_reuse_address = True
