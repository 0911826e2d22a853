"""The options that commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cluster.client import Darkroom
from cluster.settings import Settings
from deployments.local.home import Home

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for a script.")]
UrlOption = Annotated[
    str | None,
    typer.Option("--url", metavar="URL", help="The URL of the service, by default the one that `darkroom up` started."),
]
HomeOption = Annotated[
    Path | None,
    typer.Option("--home", metavar="DIR", help="The folder of the embedded servers, .darkroom by default."),
]
DEFAULT_URL = "http://127.0.0.1:8000"


def settings_for(home: Path | None = None) -> Settings:
    """Return the settings, with the folder that the command line names."""
    settings = Settings()
    return settings if home is None else settings.model_copy(update={"home": home})


def connect(url: str | None, home: Path | None) -> Darkroom:
    """Return a client of the service that the options, the settings or the folder of the embedded servers name."""
    settings = settings_for(home)
    folder = Home(settings.home)
    address = url or settings.url or folder.url or DEFAULT_URL
    return Darkroom(address, api_key=api_key(settings, folder))


def api_key(settings: Settings, folder: Home) -> str | None:
    """Return the API key of the settings or of the folder, or None when there is none."""
    if settings.api_key is not None:
        return settings.api_key.get_secret_value()
    return folder.api_key
