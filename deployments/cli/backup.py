"""`darkroom backup` and `darkroom restore`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from cluster.mongo.connection import Database
from cluster.redis.connection import forget_all
from cluster.secrets import Secrets
from deployments.backup import snapshot as backups
from deployments.cli.deployment import deployment_settings
from deployments.cli.display import print_json
from deployments.cli.epilog import epilog
from deployments.cli.exit_codes import handle_errors
from deployments.cli.options import HomeOption, JsonOption, settings_for
from deployments.cli.server_progress import ServerProgress
from deployments.local.home import Home
from deployments.local.stores_only import stores_only

if TYPE_CHECKING:
    from cluster.settings import Settings
    from deployments.backup.folder import Manifest

commands = typer.Typer()
BACKUP_EPILOG = epilog(
    "darkroom backup /backups/darkroom-2026-11-24",
    notes="The service may run meanwhile. Run this command where DARKROOM_MONGO_URL is set, or beside .darkroom/. The "
    "images in S3 and the secret key are not in the backup. Keep DARKROOM_SECRET_KEY, or .darkroom/secrets.json, at "
    "another place: a restore needs it.",
)
RESTORE_EPILOG = epilog(
    "darkroom restore /backups/darkroom-2026-11-24",
    notes="Run this command before the first `darkroom up`, with the same settings. It needs the secret key of the "
    "backup: set DARKROOM_SECRET_KEY, or copy secrets.json to .darkroom/. It removes what Darkroom has in Redis, which "
    "is rebuilt.",
)


@commands.command(epilog=BACKUP_EPILOG)
@handle_errors
def backup(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The new folder. It must not exist yet.")],
    *,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write all records, keys and pending webhooks, as they are at one moment, to a new folder."""
    _tell("Backed up", asyncio.run(_back_up(deployment_settings(home), folder)), as_json=as_json)


@commands.command(epilog=RESTORE_EPILOG)
@handle_errors
def restore(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="The folder that `darkroom backup` has made.", exists=True)
    ],
    *,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Restore a backup into an empty MongoDB. `darkroom up` then finishes the requests that had not ended."""
    settings = settings_for(home)
    with (
        ServerProgress(Console(stderr=True), quiet=as_json) as progress,
        stores_only(settings, Home(settings.home), progress.update) as complete,
    ):
        manifest = asyncio.run(_restore(complete, folder))
    _tell("Restored", manifest, as_json=as_json)


async def _back_up(settings: Settings, folder: Path) -> Manifest:
    async with Database.open(settings) as database:
        return await backups.back_up(database, folder, secrets=Secrets(settings))


async def _restore(settings: Settings, folder: Path) -> Manifest:
    async with Database.open(settings) as database:
        manifest = await backups.restore(database, folder, secrets=Secrets(settings))
    await forget_all(settings)  # the bucket may not have the results that it knows
    return manifest


def _tell(done: str, manifest: Manifest, *, as_json: bool) -> None:
    if as_json:
        print_json(manifest.model_dump(mode="json"))
        return
    counts = ", ".join(f"{each.documents:,} {name}" for name, each in manifest.collections.items())
    text = f"{done} as of {manifest.created_at:%Y-%m-%d %H:%M:%S} UTC: {counts}."
    Console(soft_wrap=True).print(Text.assemble(("✓ ", "bold green"), text))
