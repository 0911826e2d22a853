"""A client of Ray Serve that deploys the applications and waits until they answer."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import httpx
import yaml

from cluster.errors import ServerStartError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

_PATH = "/api/serve/applications/"
_DEPLOY_TIMEOUT_SECONDS = 60.0
_PROBE_TIMEOUT_SECONDS = 5.0
_SERVE_POLL_SECONDS = 0.2
_SERVER_ERROR = 500
_MESSAGE_CHARACTERS = 2000  # from the end: a traceback gives its reason there
_LOGS = "Ray's session logs (ray/session_latest/logs/serve)"
_NOT_DEPLOYED = frozenset({"NOT_STARTED", "DEPLOYING", "DEPLOY_FAILED"})
_FAILED = frozenset({"DEPLOY_FAILED", "UNHEALTHY"})


def dashboard_headers(token: str | None) -> dict[str, str]:
    """Return the headers of a call to Ray's dashboard. Without a token, Ray finds the one of this process."""
    if token is not None:
        return {"Authorization": f"Bearer {token}"}
    from ray._private.authentication.http_token_authentication import (  # noqa: PLC0415 - it takes a second
        get_auth_headers_if_auth_enabled,
    )

    return get_auth_headers_if_auth_enabled({})


class ServeClient:
    """A client of one cluster's Ray Serve, by the REST API of its dashboard.

    Args:
        dashboard_url: The URL of the dashboard.
        token: The cluster's token. With None, Ray finds the one of this process's environment.
        log_path: The log that an error names.
        check: Called again and again during a wait. It raises when there is no use in waiting.
    """

    def __init__(
        self,
        dashboard_url: str,
        token: str | None,
        *,
        log_path: str = _LOGS,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._url = dashboard_url.rstrip("/")
        self._token = token
        self._log_path = log_path
        self._check = check

    def deploy(
        self,
        config_file: Path,
        *,
        http_host: str,
        http_port: int,
        replica_environment: Mapping[str, str],
        timeout_seconds: float = 90,
    ) -> None:
        """Send the applications of a Serve config file. They start afterwards: see `await_ready`.

        Args:
            config_file: YAML, as `serve deploy` takes it.
            http_host: Overrides the host in the file.
            http_port: Overrides the port in the file.
            replica_environment: Added to every application's `runtime_env`, when there is any.
            timeout_seconds: How long to try while the dashboard is not ready.

        Raises:
            ServerStartError: The dashboard does not answer or refuses, or the cluster serves other applications.
        """
        config = configured(
            yaml.safe_load(config_file.read_text()),
            http_host=http_host,
            http_port=http_port,
            replica_environment=replica_environment,
        )
        others = self.applications() - {each["name"] for each in config["applications"]}
        if others:
            raise self._error(
                f"The cluster serves other applications: {', '.join(sorted(others))}.",
                "It would remove other applications. Add Darkroom's to their Serve config file, and `serve deploy` it.",
            )
        deadline = time.monotonic() + timeout_seconds
        while (problem := self._put(config)) is not None:
            self._check()
            if time.monotonic() > deadline:
                raise self._error(problem, f"Check that Ray's dashboard runs at {self._url}, and see its log.")
            threading.Event().wait(_SERVE_POLL_SECONDS)

    def applications(self) -> set[str]:
        """Return the names of all applications of the cluster, or none when the dashboard does not answer."""
        return set(self._found())

    def is_deployed(self) -> bool:
        """Return whether there are applications, and none of them has failed to start or has still to start."""
        statuses = {each.get("status") for each in self._found().values()}
        return bool(statuses) and not statuses & _NOT_DEPLOYED

    def failure(self) -> str | None:
        """Return why applications failed, in Serve's words. None: none failed, or the dashboard does not answer."""
        failed = [(name, each) for name, each in self._found().items() if each.get("status") in _FAILED]
        return "\n".join(line for name, each in failed for line in _messages(name, each)) or None

    def _deploying(self) -> str | None:
        """Return which applications are not deployed yet. Until then an older one may answer."""
        starting = [name for name, each in self._found().items() if each.get("status") not in {"RUNNING", *_FAILED}]
        return f"{', '.join(starting)}: deploying" if starting else None

    def _found(self) -> dict[str, Any]:
        try:
            with self._client(_PROBE_TIMEOUT_SECONDS) as client:
                found: dict[str, Any] = client.get(_PATH).raise_for_status().json().get("applications", {})
        except (httpx.HTTPError, ValueError):
            return {}
        return found

    def shutdown(self, *, timeout_seconds: float) -> None:
        """Remove all applications. Return when their replicas have sent the answers that they had begun.

        Raises:
            httpx.HTTPError: The dashboard does not answer, or not in time.
        """
        with self._client(timeout_seconds) as client:
            client.delete(_PATH).raise_for_status()

    def _put(self, config: Mapping[str, Any]) -> str | None:
        try:
            with self._client(_DEPLOY_TIMEOUT_SECONDS) as client:
                answer = client.put(_PATH, json=config)
        except httpx.TransportError as error:
            return f"{type(error).__name__}: {error}"
        if answer.is_success:
            return None
        text = f"{answer.status_code} {answer.text}"
        if answer.status_code < _SERVER_ERROR:
            raise self._error(text, "It refused the applications. Its answer gives the reason.")
        return text

    def _client(self, timeout_seconds: float) -> httpx.Client:
        return httpx.Client(
            base_url=self._url, headers=dashboard_headers(self._token), timeout=timeout_seconds, trust_env=False
        )

    def _error(self, detail: str, remedy: str) -> ServerStartError:
        return ServerStartError("Ray Serve", self._log_path, detail, remedy)

    def await_ready(self, url: str, *, timeout_seconds: float, on_problem: Callable[[str], None] | None = None) -> None:
        """Wait until `{url}/readyz` answers 200.

        Args:
            url: The URL of the service.
            timeout_seconds: How long to wait.
            on_problem: Called with the reason for the wait, each time that it changes.

        Raises:
            ServerStartError: The service is not ready in time, or an application has failed for good.
        """
        deadline = time.monotonic() + timeout_seconds
        last = ""
        while (problem := self._deploying() or readiness_problem(url)) is not None:
            self._check()
            if problem != last and on_problem is not None:
                on_problem(problem)
            last = problem
            if (failure := self.failure()) is not None:
                raise self._error(failure, "An application cannot start. Its message gives the reason.")
            if time.monotonic() > deadline:
                raise self._error(problem, f"{url}/readyz was not ready within {timeout_seconds:.0f} s. See the log.")
            threading.Event().wait(_SERVE_POLL_SECONDS)


def configured(
    config: Mapping[str, Any], *, http_host: str, http_port: int, replica_environment: Mapping[str, str]
) -> dict[str, Any]:
    """Return the config with the address and the environment of its applications filled in."""
    options = {**(config.get("http_options") or {}), "host": http_host, "port": http_port}
    applications = [_with_environment(each, replica_environment) for each in config["applications"]]
    return {**config, "http_options": options, "applications": applications}


def readiness_problem(url: str) -> str | None:
    """Return the complaint of `{url}/readyz`, or None when it answers 200."""
    try:
        answer = httpx.get(f"{url.rstrip('/')}/readyz", timeout=_PROBE_TIMEOUT_SECONDS, trust_env=False)
    except httpx.HTTPError as error:
        return f"{type(error).__name__}: {error}"
    return None if answer.status_code == httpx.codes.OK else f"{answer.status_code} {answer.text[:2000]}"


def _messages(name: str, application: Mapping[str, Any]) -> list[str]:
    deployments = application.get("deployments", {}).values()
    messages = [application.get("message", ""), *(each.get("message", "") for each in deployments)]
    return [f"{name}: {message.strip()[-_MESSAGE_CHARACTERS:]}" for message in messages if message]


def _with_environment(application: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    if not environment:
        return dict(application)
    runtime_env = application.get("runtime_env") or {}
    variables = {**environment, **runtime_env.get("env_vars", {})}
    return {**application, "runtime_env": {**runtime_env, "env_vars": variables}}
