"""The options that commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cluster.client import Darkroom
from cluster.embedded import Home
from cluster.settings import Settings

if TYPE_CHECKING:
    from pydantic import SecretStr

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]
UrlOption = Annotated[
    str | None,
    typer.Option("--url", metavar="URL", help="Where the service is. [default: the one that `darkroom up` started]"),
]
HomeOption = Annotated[
    Path | None,
    typer.Option("--home", metavar="DIR", help="The folder of the embedded servers. [default: .darkroom]"),
]
DEFAULT_URL = "http://127.0.0.1:8000"


def settings_for(home: Path | None = None) -> Settings:
    """The settings, with the folder that the command line names."""
    settings = Settings()
    return settings if home is None else settings.model_copy(update={"home": home})


def connect(url: str | None, home: Path | None) -> Darkroom:
    """A client of the service that the options, the settings or the folder of the embedded servers name."""
    settings = settings_for(home)
    folder = Home(settings.home)
    address = url or settings.url or folder.url or DEFAULT_URL
    return Darkroom(address, api_key=_api_key(settings.api_key, folder))


def _api_key(given: SecretStr | None, folder: Home) -> str | None:
    if given is not None:
        return given.get_secret_value()
    return folder.api_key
