from __future__ import annotations

import socket
from itertools import pairwise

import pytest

from deployments.local import ports


@pytest.mark.parametrize("address", [ports.LOOPBACK, "0.0.0.0"])  # noqa: S104 - it is what a neighbour may bind
def test_a_port_that_somebody_listens_on_is_not_free(address: str) -> None:
    with socket.create_server((address, 0)) as listener:
        number = listener.getsockname()[1]
        assert not ports.is_free(number)
    assert ports.is_free(number)


def test_the_usual_ports_do_not_meet() -> None:
    numbers = sorted(number for port in ports.ALL for number in port.span(port.usual))
    assert all(lower < upper for lower, upper in pairwise(numbers))
