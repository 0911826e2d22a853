"""The pool against servers that misbehave. Most of these tests fail with the connector of aiohttp itself."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
from ipaddress import IPv4Network
from typing import TYPE_CHECKING

import pytest

from cluster.codes import ImageErrorCode
from cluster.errors import ImageError
from cluster.http.download import download
from cluster.http.session import guarded_session
from cluster.settings import Settings
from tests.support.origin import Origin, reply, slow_headers
from tests.support.waiting import wait_until_async
from tests.unit.cluster.http.raw import CHUNKED, OK, hang_up_on_second_request, length, raw

if TYPE_CHECKING:
    import aiohttp

    from tests.support.origin import Exchange

OPEN = Settings(allowed_networks=(IPv4Network("127.0.0.1/32"),), connect_timeout_seconds=2, download_timeout_seconds=5)


async def to_loopback(host: str, port: int) -> list[str]:
    return ["127.0.0.1"]


async def fetch(session: aiohttp.ClientSession, url: str) -> bytes:
    return (await download(session, url, settings=OPEN)).data


async def gone(origin: Origin) -> None:
    async def no_connections() -> bool:
        return not origin.connections

    await wait_until_async(no_connections, "the connections are closed", timeout_seconds=2)


async def test_connections_are_kept_alive_and_reused(origin: Origin) -> None:
    url = origin.route("/", reply(b"hello"))
    async with guarded_session(OPEN, max_connections=2) as session:
        for _ in range(5):
            assert await fetch(session, url) == b"hello"
    assert len({request.client_port for request in origin.requests}) == 1


async def test_a_connection_that_the_server_ended_in_the_meantime_costs_no_error(origin: Origin) -> None:
    url = origin.route("/", hang_up_on_second_request(reply(b"hello")))
    async with guarded_session(OPEN, max_connections=2) as session:
        for _ in range(3):
            assert await fetch(session, url) == b"hello"
    assert len(origin.requests) == 5


async def test_nor_do_many_of_them_after_a_pause_of_the_event_loop(origin: Origin) -> None:
    slow = origin.route("/slow", slow_headers(0.2, reply(b"hello")))
    fast = origin.route("/fast", reply(b"hello"))
    async with guarded_session(OPEN, max_connections=4) as session:
        await asyncio.gather(*(fetch(session, slow) for _ in range(4)))
        assert len(origin.connections) == 4
        for connection in list(origin.connections):
            connection.shutdown(socket.SHUT_RDWR)
        for _ in range(4):
            assert await fetch(session, fast) == b"hello"


async def test_no_more_connections_are_idle_than_may_be_in_use(origin: Origin) -> None:
    origin.route("/", reply(b"hello"))
    async with guarded_session(OPEN, max_connections=2, resolve=to_loopback) as session:
        for number in range(6):
            await fetch(session, f"http://shop{number}.example:{origin.port}/")

        async def two_are_left() -> bool:
            return len(origin.connections) == 2

        await wait_until_async(two_are_left, "the oldest were ended", timeout_seconds=2)
        ports = {request.client_port for request in origin.requests}
        await fetch(session, f"http://shop5.example:{origin.port}/")
        assert origin.requests[-1].client_port in ports


async def test_of_the_host_that_was_idle_longest_one_connection_is_ended_at_a_time(origin: Origin) -> None:
    origin.route("/", reply(b"hello"))
    origin.route("/slow", slow_headers(0.2, reply(b"hello")))
    async with guarded_session(OPEN, max_connections=2, resolve=to_loopback) as session:
        first, other = (f"http://{name}.example:{origin.port}" for name in ("first", "other"))
        await asyncio.gather(*(fetch(session, f"{first}/slow") for _ in range(2)))
        of_first = {request.client_port for request in origin.requests}
        assert len(of_first) == 2
        await fetch(session, f"{other}/")

        async def two_are_left() -> bool:
            return len(origin.connections) == 2

        await wait_until_async(two_are_left, "the oldest was ended", timeout_seconds=2)
        of_other = origin.requests[-1].client_port
        await asyncio.gather(*(fetch(session, f"{host}/") for host in (first, other)))
        used = {request.client_port for request in origin.requests[-2:]}
        assert of_other in used
        assert used - {of_other} < of_first


@pytest.mark.parametrize(
    "segments", [(length(5) + b"hello" + length(3) + b"bad",), (length(5), b"hello" + length(3) + b"bad")]
)
async def test_an_answer_that_nobody_asked_for_is_nobodys_answer(origin: Origin, segments: tuple[bytes, ...]) -> None:
    generous = origin.route("/a", raw(*segments, b""))
    url = origin.route("/b", reply(b"good"))
    async with guarded_session(OPEN, max_connections=2) as session:
        assert await fetch(session, generous) == b"hello"
        assert await fetch(session, url) == b"good"


async def test_a_server_cannot_fill_the_memory_over_an_idle_connection(origin: Origin) -> None:
    written: list[int] = []
    over = threading.Event()

    def flood(exchange: Exchange) -> None:
        reply(b"hello")(exchange)
        exchange.pause(0.1)
        try:
            while True:
                exchange.wfile.write(length(0) * 1_000)
                written.append(1)
        finally:
            over.set()

    url = origin.route("/", flood)
    async with guarded_session(OPEN, max_connections=2) as session:
        assert await fetch(session, url) == b"hello"
        assert await asyncio.to_thread(over.wait, 5)
    assert len(written) < 500  # the part that the kernel took


@pytest.mark.parametrize("headers", [(OK + b"\r\n", b"hello"), (OK + b"\r\nhello",)])
async def test_a_body_without_a_length_is_whole_at_the_end_but_not_at_a_break(
    origin: Origin, headers: tuple[bytes, ...]
) -> None:
    whole = origin.route("/whole", raw(*headers))
    broken = origin.route("/broken", raw(*headers, reset=True))
    async with guarded_session(OPEN, max_connections=2) as session:
        assert await fetch(session, whole) == b"hello"
        with pytest.raises(ImageError) as caught:
            await fetch(session, broken)
    assert (caught.value.code, caught.value.http_status) == (ImageErrorCode.DOWNLOAD_TRUNCATED, 200)


@pytest.mark.parametrize(
    "segments",
    [(CHUNKED, b"5\r\nhello\r\nzz\r\n"), (CHUNKED + b"5\r\nhello\r\n", b"zz\r\n"), (CHUNKED + b"zz\r\nhello\r\n",)],
)
async def test_chunks_that_are_garbage_end_the_download_at_once(origin: Origin, segments: tuple[bytes, ...]) -> None:
    url = origin.route("/", raw(*segments, *[b""] * 60))
    async with guarded_session(OPEN, max_connections=2) as session, asyncio.timeout(2):
        with pytest.raises(ImageError) as caught:
            await fetch(session, url)
    assert (caught.value.code, caught.value.http_status) == (ImageErrorCode.DOWNLOAD_TRUNCATED, 200)


@pytest.mark.parametrize("segments", [(length(3) + b"hello",), (length(3), b"hello"), (length(3) + b"hel", b"lo")])
async def test_a_length_that_is_too_short_is_believed(origin: Origin, segments: tuple[bytes, ...]) -> None:
    url = origin.route("/a", raw(*segments))
    next_url = origin.route("/b", reply(b"good"))
    async with guarded_session(OPEN, max_connections=2) as session:
        assert await fetch(session, url) == b"hel"
        await gone(origin)
        assert await fetch(session, next_url) == b"good"


_PROGRAM = """
import asyncio
from ipaddress import IPv4Network

from cluster.http.download import download
from cluster.http.session import guarded_session
from cluster.settings import Settings


async def main():
    settings = Settings(allowed_networks=(IPv4Network("127.0.0.1/32"),))
    session = guarded_session(settings, max_connections=2)
    print((await download(session, "{url}", settings=settings)).data.decode())
    return session


session = asyncio.new_event_loop().run_until_complete(main())
"""


def test_a_process_may_end_without_closing_its_pool(origin: Origin) -> None:
    program = _PROGRAM.format(url=origin.route("/", reply(b"hello")))
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "hello\n", "")


async def test_a_pool_closes_without_its_event_loop(origin: Origin) -> None:
    url = origin.route("/", reply(b"hello"))
    session = guarded_session(OPEN, max_connections=2)
    await fetch(session, url)
    pool = session.connector
    assert pool is not None
    pool.close_at_exit()  # type: ignore[attr-defined] # a Pool's
    assert session.closed
