"""The two Ray Serve deployments. `cluster/serve.yaml` names them and tells how they scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ray import serve

from cluster.settings import Settings
from cluster.telemetry import log_as_json
from deployments.api.app import status_app, upload_app
from deployments.api.services import Services

if TYPE_CHECKING:
    from starlette.types import ASGIApp


def build_upload_app() -> ASGIApp:
    """Return the application of a replica of `Upload`."""
    log_as_json()
    return upload_app(Services(Settings()))


def build_status_app() -> ASGIApp:
    """Return the application of a replica of `Status`."""
    log_as_json()
    return status_app(Services(Settings()))


upload = serve.deployment(name="Upload")(serve.ingress(build_upload_app)()).bind()
status = serve.deployment(name="Status")(serve.ingress(build_status_app)()).bind()
