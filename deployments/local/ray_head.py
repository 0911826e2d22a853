"""Ray: a head node with token authentication, on loopback alone."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING, ClassVar

import httpx

from deployments.local import ports
from deployments.local.server import NotReadyError, Server

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deployments.local.credentials import Credentials
    from deployments.local.home import Home

OBJECT_STORE_BYTES = 256 * 1024 * 1024
"""The object store is small, because image bytes never go through it."""
_KEPT_SESSIONS = 3

LOOPBACK_ENVIRONMENT = {
    # `ray start` and `ray.init` replace 127.0.0.1 by an outer address unless there is no cluster. This variable, which
    # is meant for other systems, tells them so. Then every port of Ray listens on loopback, metrics included.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}
TUNING_ENVIRONMENT = {
    # The same on every node and driver: see a dead process within seconds, outlast a head that restarts.
    "RAY_gcs_rpc_server_reconnect_timeout_s": "300",
    "RAY_grpc_client_keepalive_time_ms": "5000",
    "RAY_grpc_client_keepalive_timeout_ms": "5000",
    "RAY_health_check_failure_threshold": "3",
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_task_oom_retries": "3",
    # Actors count as workers, so by default a worker ends after a second without work. Then the next batch waits for a
    # new worker and all its imports.
    "RAY_idle_worker_killing_time_threshold_ms": "300000",
    "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.5",  # at the default of 0.1 s the idle controller takes 4% of a core
    "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "2",  # three checks must fail: at the default of 10 s, after 30 s
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "deployments.api.proxy:middlewares",
}
HEAD_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # A node that is alone is never cut off, but may be so busy that it does not answer within a second.
    "RAY_health_check_failure_threshold": "40",
    "RAY_task_events_max_num_task_in_gcs": "2000",  # for the dashboard: the default of 100,000 takes 200 MB
    "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",  # there is no other node to move work to
}


class RayHead(Server):
    """The head of a cluster of one node.

    Args:
        home: The folder.
        numbers: The ports, by name.
        credentials: Holds the token.
        inherited: The variables that every task, actor and replica inherits.
    """

    name = "ray"
    port = ports.RAY_GCS
    # The proxy of Serve, which is a process of Ray, has the last one.
    listens_on = (ports.RAY_GCS, ports.RAY_DASHBOARD, ports.RAY_CLIENT, ports.RAY_AGENT, ports.HTTP)
    # A raylet whose agent dies ends with exit code 0, and `ray start --block` goes on without it.
    vital = ("/gcs/gcs_server", "/raylet/raylet")
    failures: ClassVar[tuple[type[Exception], ...]] = (httpx.HTTPError, NotReadyError, ValueError)

    def __init__(
        self, home: Home, numbers: Mapping[str, int], *, credentials: Credentials, inherited: Mapping[str, str]
    ) -> None:
        super().__init__(home, numbers)
        self._credentials = credentials
        self._inherited = inherited

    @property
    def address(self) -> str:
        """The address that drivers connect to, as `RAY_ADDRESS`."""
        return f"{ports.LOOPBACK}:{self.ports[ports.RAY_GCS.name]}"

    @property
    def dashboard_url(self) -> str:
        """The URL of the dashboard and of Serve's REST API."""
        return f"http://{ports.LOOPBACK}:{self.ports[ports.RAY_DASHBOARD.name]}"

    def prepare(self) -> None:
        """Remove the folders of all but the last few sessions."""
        sessions = sorted(path for path in self.home.ray.glob("session_2*") if path.is_dir())
        for session in sessions[: -_KEPT_SESSIONS + 1]:
            shutil.rmtree(session, ignore_errors=True)

    def driver_environment(self) -> dict[str, str]:
        """Return the variables that a driver needs to connect."""
        return {
            **TUNING_ENVIRONMENT,
            **LOOPBACK_ENVIRONMENT,
            "RAY_ADDRESS": self.address,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": self._credentials.ray_token,  # wins over your token for another cluster
            "RAY_AUTH_TOKEN_PATH": str(self.home.ray_token_file),
        }

    def environment(self) -> dict[str, str]:
        """Return the variables that the head needs, and those that it hands on.

        Changed settings reach the replicas only by a new head.
        """
        return {**self._inherited, **self.driver_environment(), **HEAD_ENVIRONMENT}

    def command(self) -> list[str]:
        """Return `ray start` of this Python's own Ray. By a port of 0, the process itself binds a free one."""
        return [
            sys.executable,
            "-m",
            "ray.scripts.scripts",
            "start",
            "--head",
            "--block",
            "--log-color=false",
            "--disable-usage-stats",
            f"--node-ip-address={ports.LOOPBACK}",
            f"--port={self.ports[ports.RAY_GCS.name]}",
            f"--dashboard-host={ports.LOOPBACK}",
            f"--dashboard-port={self.ports[ports.RAY_DASHBOARD.name]}",
            f"--dashboard-agent-listen-port={self.ports[ports.RAY_AGENT.name]}",
            f"--ray-client-server-port={self.ports[ports.RAY_CLIENT.name]}",
            "--min-worker-port=0",
            "--max-worker-port=0",
            f"--temp-dir={self.home.short_path() / 'ray'}",
            f"--object-store-memory={OBJECT_STORE_BYTES}",
            "--no-monitor",  # the autoscaler: one node has no use for it
            "--include-log-monitor=false",  # the output of workers stays in their log files
        ]

    def check(self) -> None:
        """Return when the dashboard answers and knows a living node."""
        headers = {"Authorization": f"Bearer {self._credentials.ray_token}"}
        with httpx.Client(headers=headers, timeout=self.check_timeout_seconds, trust_env=False) as client:
            answer = client.get(f"{self.dashboard_url}/nodes", params={"view": "summary"}).raise_for_status().json()
        nodes = answer.get("data", {}).get("summary", [])
        if not any(node.get("raylet", {}).get("state") == "ALIVE" for node in nodes):
            raise NotReadyError("the node has not joined yet")
