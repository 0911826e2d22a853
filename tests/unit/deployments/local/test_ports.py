from __future__ import annotations

import socket
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from deployments.local import ports

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def listening(*, address: str = ports.LOOPBACK, number: int = 0) -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind((address, number))
        listener.listen()
        yield listener.getsockname()[1]


def free_number() -> int:
    with listening() as number:
        return number


@pytest.mark.parametrize("address", [ports.LOOPBACK, "0.0.0.0"])  # noqa: S104 - it is what a neighbour may bind
def test_a_port_that_somebody_listens_on_is_not_free(address: str) -> None:
    with listening(address=address) as number:
        assert not ports.is_free(number)
    assert ports.is_free(number)


def test_the_usual_port_is_chosen_when_it_is_free() -> None:
    port = ports.Port("redis", free_number())
    assert ports.choose([port], {}) == {"redis": port.usual}


def test_the_next_free_port_is_chosen_when_the_usual_one_is_taken() -> None:
    with listening() as number:
        chosen = ports.choose([ports.Port("redis", number)], {})["redis"]
    assert number < chosen < number + 1000


def test_the_port_of_last_time_is_kept_while_it_is_free() -> None:
    port, kept = ports.Port("redis", free_number()), free_number()
    assert ports.choose([port], {"redis": kept}) == {"redis": kept}
    with listening(number=kept):
        assert ports.choose([port], {"redis": kept}) == {"redis": port.usual}


def test_no_port_is_given_twice_and_none_that_another_server_keeps() -> None:
    usual = free_number()
    wanted = [ports.Port("a", usual), ports.Port("b", usual), ports.Port("c", usual)]
    chosen = ports.choose(wanted, {"other": usual})
    assert len({*chosen.values(), usual}) == 4


def test_a_server_that_speaks_grpc_gets_a_pair() -> None:
    with ExitStack() as stack:
        upper = stack.enter_context(listening())
        port = ports.Port("s3", upper - ports.GRPC_OFFSET, with_grpc=True)
        chosen = ports.choose([port], {})["s3"]
    assert chosen != port.usual


def test_the_usual_ports_do_not_meet() -> None:
    numbers = sorted(
        number
        for port in ports.ALL
        for number in ([port.usual, port.usual + ports.GRPC_OFFSET] if port.with_grpc else [port.usual])
    )
    assert all(lower < upper for lower, upper in pairwise(numbers))


def test_the_usual_port_of_another_server_is_not_taken_as_a_free_one() -> None:
    with listening(number=free_number()) as number:
        neighbour = ports.Port("neighbour", number + 1)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ports, "ALL", (neighbour,))
            assert ports.choose([ports.Port("redis", number)], {})["redis"] != neighbour.usual
