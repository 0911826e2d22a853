"""`darkroom keys`: make, list and revoke API keys."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cluster.errors import DarkroomError
from cluster.mongo.api_keys import ApiKeyStore, key_id_of
from cluster.mongo.connection import Database
from cluster.records import ApiKey, Scope
from cluster.secrets import Secrets
from deployments.cli.deployment import deployment_settings
from deployments.cli.display import print_json
from deployments.cli.epilog import epilog
from deployments.cli.exit_codes import handle_errors
from deployments.cli.options import HomeOption, JsonOption, api_key, settings_for
from deployments.local.home import Home

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cluster.settings import Settings

T = TypeVar("T")
EPILOG = epilog(
    'darkroom keys create "web shop"',
    "darkroom keys create dashboard --read-only --beside 1f2e3d4c5b6a",
    "darkroom keys secret",
    "darkroom keys list",
    "darkroom keys revoke 1f2e3d4c5b6a",
    notes="These commands use MongoDB. Run them where DARKROOM_MONGO_URL is set, or beside .darkroom/.",
)
commands = typer.Typer()
keys = typer.Typer(no_args_is_help=True, epilog=EPILOG, help="Make, list and revoke API keys.")
commands.add_typer(keys, name="keys")


@keys.command(epilog=EPILOG)
@handle_errors
def create(
    name: Annotated[str, typer.Argument(help="The name of its user.")],
    *,
    read_only: Annotated[bool, typer.Option("--read-only", help="The key may read, but not upload or change.")] = False,
    beside: Annotated[
        str | None, typer.Option(metavar="ID", help="The key also sees the requests of this one.")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key. Show it once, with the secret that signs its webhooks."""
    settings = deployment_settings(home)
    scopes = [Scope.READ] if read_only else list(Scope)
    secrets = Secrets(settings)  # first, because the secret key may be missing
    key, token = asyncio.run(_with_keys(settings, lambda store: store.create(name=name, scopes=scopes, beside=beside)))
    secret = secrets.webhook_secret(key.owner)
    if as_json:
        print_json({**_document(key), "key": token, "webhookSecret": secret})
        return
    console = Console(soft_wrap=True)
    console.print(Text.assemble(("✓ ", "bold green"), "Keep the key. It is not shown again.\n"))
    console.print(Text.assemble("  API key         ", (token, "cyan")))
    console.print(Text.assemble("  Webhook secret  ", (secret, "cyan")))


@keys.command("list")
@handle_errors
def list_keys(*, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List all keys, revoked ones too, by their ids. The keys themselves are not shown."""
    found = asyncio.run(_with_keys(deployment_settings(home), lambda store: store.list_all()))
    if as_json:
        print_json([_document(key) for key in found])
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("Id", "Name", "May", "Made", "Revoked"):
        table.add_column(column, no_wrap=True)
    for key in found:
        revoked = "" if key.revoked_at is None else f"{key.revoked_at:%Y-%m-%d %H:%M}"
        made = f"{key.created_at:%Y-%m-%d %H:%M}"
        table.add_row(key.key_id, Text(key.name), ", ".join(key.scopes), made, Text(revoked, style="yellow"))
    Console().print(table)


@keys.command()
@handle_errors
def secret(
    key_id: Annotated[
        str | None, typer.Argument(metavar="ID", help="The id of the key. Without it: the key in .darkroom/.")
    ] = None,
    *,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the secret that signs a key's webhooks when an upload brings none of its own."""
    settings, here = deployment_settings(home), settings_for(home)
    wanted = key_id or key_id_of(api_key(here, Home(here.home)) or "")
    if not wanted:
        raise DarkroomError("Name the id of a key. `darkroom keys list` shows all ids.")
    owner = asyncio.run(_with_keys(settings, lambda store: store.owner_of(wanted)))
    found = Secrets(settings).webhook_secret(owner)
    if as_json:
        print_json({"keyId": wanted, "webhookSecret": found})
    else:
        typer.echo(found)


@keys.command()
@handle_errors
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The id, as `darkroom keys list` shows it.")],
    *,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Revoke a key. From now on, every call with it is refused."""
    if not asyncio.run(_with_keys(deployment_settings(home), lambda store: store.revoke(key_id))):
        raise DarkroomError(f"There is no valid key {key_id}. `darkroom keys list` shows all ids.")
    if as_json:
        print_json({"keyId": key_id, "revoked": True})
    else:
        Console().print(Text.assemble(("✓ ", "bold green"), f"{key_id} is revoked."))


async def _with_keys(settings: Settings, act: Callable[[ApiKeyStore], Awaitable[T]]) -> T:
    async with Database.open(settings) as database:
        await database.ensure_indexes()
        return await act(ApiKeyStore(database))


def _document(key: ApiKey) -> dict[str, Any]:
    return key.model_dump(mode="json", exclude={"secret_hash"})
