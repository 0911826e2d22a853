"""The command line: `darkroom`."""

from __future__ import annotations

from typing import Annotated

import typer

from cluster import __version__
from deployments.cli import backup, control, demo, doctor, submit, up, watch
from deployments.cli.epilog import EXAMPLE_ID, epilog
from deployments.cli.keys import keys

HELP = "Bulk image compression: a CSV of image URLs in, smaller copies in your own bucket out."
EPILOG = """
Start with: darkroom demo

Then: darkroom up --detach; darkroom submit catalogue.csv --watch
"""
app = typer.Typer(
    help=HELP, epilog=EPILOG, no_args_is_help=True, add_completion=False, pretty_exceptions_show_locals=False
)


def _print_version(asked: bool) -> None:  # noqa: FBT001 - typer passes it by position
    if asked:
        typer.echo(f"darkroom {__version__}")
        raise typer.Exit


VersionOption = Annotated[
    bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
]


@app.callback()
def main(*, version: VersionOption = False) -> None:  # noqa: D103 - its docstring would replace the help
    pass


app.command(epilog=up.UP_EPILOG)(up.up)
app.command(epilog=up.DOWN_EPILOG)(up.down)
app.command(epilog=demo.EPILOG)(demo.demo)
app.command(epilog=submit.EPILOG)(submit.submit)
app.command(epilog=watch.STATUS_EPILOG)(watch.status)
app.command(epilog=watch.WATCH_EPILOG)(watch.watch)
app.command(epilog=watch.RESULTS_EPILOG)(watch.results)
app.command(epilog=epilog(f"darkroom cancel {EXAMPLE_ID}", exit_codes=True))(control.cancel)
app.command(epilog=epilog(f"darkroom pause {EXAMPLE_ID}", exit_codes=True))(control.pause)
app.command(epilog=epilog(f"darkroom resume {EXAMPLE_ID}", exit_codes=True))(control.resume)
app.command(epilog=epilog(f"darkroom priority {EXAMPLE_ID} 9", exit_codes=True))(control.priority)
app.command(
    epilog=epilog(
        f"darkroom retry {EXAMPLE_ID} --watch",
        f"darkroom retry {EXAMPLE_ID} --code timeout --code source_error",
        exit_codes=True,
    )
)(control.retry)
app.command(epilog=epilog(f"darkroom delete {EXAMPLE_ID} --yes", exit_codes=True))(control.delete)
app.add_typer(keys, name="keys")
app.command(epilog=backup.BACKUP_EPILOG)(backup.backup)
app.command(epilog=backup.RESTORE_EPILOG)(backup.restore)
app.command(epilog=doctor.EPILOG)(doctor.doctor)
