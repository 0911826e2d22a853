"""No two starts choose the same port, and no SeaweedFS takes the socket of another one."""

from __future__ import annotations

import os
import signal
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deployments.local import grpc_sockets, ports, processes
from deployments.local.claims import Claims
from deployments.local.ports import Port
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

STARTS = 8
SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


@contextmanager
def listening(*, number: int = 0) -> Iterator[int]:
    with socket.create_server((ports.LOOPBACK, number)) as listener:
        yield listener.getsockname()[1]


def free_number() -> int:
    with listening() as number:
        return number


def choose(wanted: Sequence[Port], kept: Mapping[str, int]) -> dict[str, int]:
    with Claims() as claims:
        return claims.choose(wanted, kept)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in place of /tmp, where SeaweedFS has its sockets."""
    for name in ("_SOCKET", "_LOCK"):
        path = Path(getattr(grpc_sockets, name))
        monkeypatch.setattr(grpc_sockets, name, str(tmp_path / path.name))
    return tmp_path


@pytest.fixture
def s3() -> Port:
    return Port("s3", free_number() - ports.GRPC_OFFSET, grpc_part="s3")


def socket_of(port: Port, folder: Path, number: int) -> Path:
    return folder / f"seaweedfs-{port.grpc_part}-grpc-{number + ports.GRPC_OFFSET}.sock"


def test_the_usual_port_is_chosen_when_it_is_free() -> None:
    port = Port("redis", free_number())
    assert choose([port], {}) == {"redis": port.usual}


def test_the_next_free_port_is_chosen_when_the_usual_one_is_taken() -> None:
    with listening() as number:
        chosen = choose([Port("redis", number)], {})["redis"]
    assert number < chosen < number + 1000


def test_the_port_of_last_time_is_kept_while_it_is_free() -> None:
    port, kept = Port("redis", free_number()), free_number()
    assert choose([port], {"redis": kept}) == {"redis": kept}
    with listening(number=kept):
        assert choose([port], {"redis": kept}) == {"redis": port.usual}


def test_no_port_is_given_twice_and_none_that_another_server_keeps() -> None:
    usual = free_number()
    chosen = choose([Port("a", usual), Port("b", usual), Port("c", usual)], {"other": usual})
    assert len({*chosen.values(), usual}) == 4


def test_a_server_that_speaks_grpc_gets_a_pair(folder: Path, s3: Port) -> None:
    with listening(number=s3.usual + ports.GRPC_OFFSET):
        assert choose([s3], {})["s3"] != s3.usual


def test_the_usual_port_of_another_server_is_not_taken_as_a_free_one() -> None:
    with listening(number=free_number()) as number, pytest.MonkeyPatch.context() as patch:
        neighbour = Port("neighbour", number + 1)
        patch.setattr(ports, "ALL", (neighbour,))
        assert choose([Port("redis", number)], {})["redis"] != neighbour.usual


def test_starts_at_the_same_time_choose_different_ports(folder: Path, s3: Port) -> None:
    wanted = [Port("redis", free_number()), s3]
    with ExitStack() as stack, ThreadPoolExecutor(STARTS) as pool:
        starts = [stack.enter_context(Claims()) for _ in range(STARTS)]
        chosen = list(pool.map(lambda claims: claims.choose(wanted, {}), starts))
    numbers = [number for each in chosen for number in each.values()]
    assert len(set(numbers)) == len(wanted) * STARTS


def test_a_claim_ends_with_the_server_that_has_inherited_it(folder: Path, tmp_path: Path, s3: Port) -> None:
    redis = Port("redis", free_number())
    with Claims() as claims:
        assert claims.choose([redis, s3], {}) == {"redis": redis.usual, "s3": s3.usual}
        server = processes.spawn(
            SLEEP, environment=os.environ, log_file=tmp_path / "log", inherited=claims.descriptors_of(["redis", "s3"])
        )
        bystander = processes.spawn(SLEEP, environment=os.environ, log_file=tmp_path / "log")
    try:
        with Claims() as other:
            assert not other.hold(redis, redis.usual)
            assert not other.hold(s3, s3.usual)
            processes.send([server], signal.SIGKILL)
            wait_until(lambda: other.hold(redis, redis.usual), "the claim has ended")
            assert other.hold(s3, s3.usual)
            assert not other.hold(redis, redis.usual + 1)  # it has another number already
    finally:
        processes.stop_tree(server, tmp_path, grace_seconds=0)
        processes.stop_tree(bystander, tmp_path, grace_seconds=0)


def test_a_number_whose_socket_is_answered_is_not_taken(folder: Path, s3: Port) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(socket_of(s3, folder, s3.usual)))
        other.listen()
        assert choose([s3], {})["s3"] > s3.usual
        grpc_sockets.remove_sockets({"s3": s3.usual})
        assert socket_of(s3, folder, s3.usual).exists()


def test_what_a_dead_instance_has_left_is_no_obstacle_and_is_removed(folder: Path, s3: Port) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(socket_of(s3, folder, s3.usual)))
    assert choose([s3], {})["s3"] == s3.usual
    grpc_sockets.remove_sockets({"s3": s3.usual})
    assert list(folder.iterdir()) == []


def test_a_file_or_a_link_in_the_place_of_a_lock_is_not_followed(folder: Path, s3: Port) -> None:
    upper = s3.usual + ports.GRPC_OFFSET
    (folder / f"darkroom-seaweedfs-{upper}.lock").symlink_to(folder / "elsewhere")
    assert choose([s3], {})["s3"] > s3.usual
    assert not (folder / "elsewhere").exists()
