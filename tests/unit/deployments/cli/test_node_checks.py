"""`darkroom doctor` names the nodes that do not join."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from deployments.cli.node_checks import check_nodes
from tests.support.http_server import served

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.requests import Request

    from deployments.cli.checks import Check

HEADERS = {"Authorization": "Bearer secret"}
KIND = "local.cluster.node"


@pytest.fixture
def head(tmp_path: Path) -> Path:
    """Return the home of a head node that `ray up` has set up."""
    (tmp_path / "ray_bootstrap_config.yaml").touch()
    return tmp_path


async def found(head: Path, **report: object) -> list[Check]:
    """Return the checks when Ray's dashboard gives this report, in the form of Ray 2.60."""

    def status(request: Request) -> JSONResponse:
        if request.headers.get("authorization") != HEADERS["Authorization"]:
            return JSONResponse({}, status_code=401)
        given = {"activeNodes": {KIND: 1}, "pendingNodes": [], "failedNodes": [], **report}
        return JSONResponse({"result": True, "data": {"clusterStatus": {"autoscalerReport": given}}})

    async with served(Starlette(routes=[Route("/api/cluster_status", status)])) as url:
        return await asyncio.to_thread(lambda: list(check_nodes(head, lambda: HEADERS, url)))


async def test_a_node_that_waits_for_ssh_is_named(head: Path) -> None:
    checks = await found(head, pendingNodes=[["10.0.0.4", KIND, "waiting-for-ssh"], ["10.0.0.5", KIND, "setting-up"]])
    told = [(each.document()["ok"], each.detail.split()[0], each.fix) for each in checks]
    assert [(ok, address) for ok, address, _ in told] == [(False, "10.0.0.4"), (None, "10.0.0.5")]
    assert "ssh-copy-id" in told[0][2]
    assert not told[1][2]


async def test_a_node_that_could_not_be_set_up_is_named(head: Path) -> None:
    (check,) = await found(head, failedNodes=[["10.0.0.4", KIND]])
    assert check.document()["ok"] is False
    assert "10.0.0.4" in check.detail
    assert "monitor.out" in check.fix


async def test_a_whole_cluster_is_well(head: Path) -> None:
    (check,) = await found(head, activeNodes={KIND: 3})
    assert check.document() == {"name": "nodes", "ok": True, "detail": "3 are there, and none is missing", "fix": ""}


def test_without_a_report_nothing_is_claimed(head: Path, unused_tcp_port: int) -> None:
    (check,) = check_nodes(head, lambda: HEADERS, f"http://127.0.0.1:{unused_tcp_port}")
    assert check.document()["ok"] is None


async def test_no_other_machine_is_asked_for_nodes(tmp_path: Path) -> None:
    assert await found(tmp_path) == []
