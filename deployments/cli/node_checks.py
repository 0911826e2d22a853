"""The checks of `darkroom doctor` for the nodes of `ray up`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx

from deployments.cli.checks import Check, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

DASHBOARD_URL = "http://127.0.0.1:8265"
_BOOTSTRAP_FILE = "ray_bootstrap_config.yaml"  # `ray up` leaves it on the head node alone
_REPORT_SECONDS = 5.0
_WAITS_FOR_SSH = "waiting-for-ssh"
_UPDATE_FAILED = "update-failed"
_SSH_FIX = (
    "Check that it runs and that port 22 is open. Then let it take the key, by `ssh-copy-id -i ~/.ssh/darkroom.pub`."
)
_SETUP_FIX = "Look at the end of /tmp/ray/session_latest/logs/monitor.out for the command that failed."


def check_nodes(
    home: Path, headers: Callable[[], Mapping[str, str]], dashboard_url: str = DASHBOARD_URL
) -> Iterator[Check]:
    """Check that no node of the cluster waits to join, by the report of the autoscaler.

    Only the head node of `ray up` has one. Elsewhere, nothing is checked.

    Args:
        home: The home of the user that runs Ray.
        headers: Gives the headers of a call to Ray's dashboard. It needs Ray, which may be missing elsewhere.
        dashboard_url: The URL of Ray's dashboard on this machine.
    """
    if not (home / _BOOTSTRAP_FILE).exists():
        return
    report = _report(headers(), dashboard_url)
    if report is None:
        yield Check("nodes", Verdict.NEUTRAL, "not known: the autoscaler does not report")
        return
    waiting = [(str(address), str(status)) for address, _, status in report.get("pendingNodes") or []]
    failed = [(str(address), _UPDATE_FAILED) for address, _ in report.get("failedNodes") or []]
    for address, status in [*waiting, *failed]:
        yield _of_node(address, status)
    if not waiting and not failed:
        count = sum((report.get("activeNodes") or {}).values())
        yield Check("nodes", Verdict.GOOD, f"{count} are there, and none is missing")


def _of_node(address: str, status: str) -> Check:
    if status == _WAITS_FOR_SSH:
        return Check("nodes", Verdict.FAULTY, f"{address} waits for ssh: the head node cannot log in to it", _SSH_FIX)
    if status == _UPDATE_FAILED:
        return Check("nodes", Verdict.FAULTY, f"{address} could not be set up", _SETUP_FIX)
    return Check("nodes", Verdict.NEUTRAL, f"{address} is being set up ({status})")


def _report(headers: Mapping[str, str], dashboard_url: str) -> dict[str, Any] | None:
    url = f"{dashboard_url}/api/cluster_status"
    try:
        answer = httpx.get(url, headers=headers, timeout=_REPORT_SECONDS, trust_env=False).raise_for_status().json()
    except (httpx.HTTPError, ValueError):
        return None
    status: dict[str, Any] = (answer.get("data") or {}).get("clusterStatus") or {}
    return status.get("autoscalerReport")
