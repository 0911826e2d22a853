"""The deployment whose stores a command uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.errors import DarkroomError
from deployments.cli.options import settings_for
from deployments.local.home import Home
from deployments.local.stack import started_stack

if TYPE_CHECKING:
    from pathlib import Path

    from cluster.settings import Settings


def deployment_settings(home: Path | None) -> Settings:
    """Return the settings of the deployment whose stores a command uses.

    Raises:
        DarkroomError: No deployment is known here.
    """
    settings = settings_for(home)
    stack = started_stack(Home(settings.home))
    if stack is not None:
        return stack.settings
    if "mongo_url" not in settings.model_fields_set:
        if settings.url is not None:
            raise DarkroomError(
                f"This command uses the MongoDB of the service, and only {settings.url} is known here. "
                "Run it where the service runs: beside .darkroom/, or on a node."
            )
        detail = f"No Darkroom runs from {settings.home}. Run `darkroom up`, or set --home or DARKROOM_MONGO_URL."
        raise DarkroomError(detail)
    return settings
