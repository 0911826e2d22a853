"""The exit codes of the commands, and the report of errors to you or your script."""

from __future__ import annotations

import functools
import signal
from enum import IntEnum
from typing import TYPE_CHECKING, Any, ParamSpec

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.text import Text

from cluster.client.transport import is_away
from cluster.errors import ApiError, BackupError, DarkroomError, StoreUnavailableError
from deployments.cli.display import more_errors, print_json, row_errors

if TYPE_CHECKING:
    from collections.abc import Callable

    from cluster.client import RequestStatus

P = ParamSpec("P")


class ExitCode(IntEnum):
    """The exit codes beside 0 for success and 2 for wrong usage, which is typer's own."""

    ERROR = 1
    SOME_IMAGES_FAILED = 3
    REQUEST_FAILED = 4
    REFUSED = 5
    UNREACHABLE = 6


EXIT_CODES_HELP = (
    "Exit codes: 0 all good, 1 error, 2 wrong usage, 3 completed but some images failed, 4 the request failed, "
    "5 the service refused, 6 the service does not answer."
)


def handle_errors(command: Callable[P, None]) -> Callable[P, None]:
    """Turn a command's errors into a message, or JSON with `--json`, and an exit code in place of a traceback."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # to clean up, too, when it is ended from outside
        try:
            command(*args, **kwargs)
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        except ApiError as error:
            _report_api_error(error, as_json=bool(kwargs.get("as_json")))
            raise typer.Exit(_code_of(error)) from None
        except ValidationError as error:
            _report("invalid_settings", _settings_message(error), as_json=bool(kwargs.get("as_json")))
            raise typer.Exit(ExitCode.ERROR) from None
        except BackupError as error:
            _report(error.code, error.detail, as_json=bool(kwargs.get("as_json")))
            raise typer.Exit(ExitCode.ERROR) from None
        except StoreUnavailableError as error:
            detail = f"{error}. `darkroom doctor` checks all stores."
            _report("error", detail, as_json=bool(kwargs.get("as_json")))
            raise typer.Exit(ExitCode.ERROR) from None
        except (DarkroomError, OSError, TimeoutError, ValueError) as error:
            _report("error", str(error) or type(error).__name__, as_json=bool(kwargs.get("as_json")))
            raise typer.Exit(ExitCode.ERROR) from None

    return wrapped


def exit_for(status: RequestStatus) -> None:
    """Exit with an error code if the request failed, or some of its images."""
    if status.status == "failed":
        raise typer.Exit(ExitCode.REQUEST_FAILED)
    if status.counts.failed:
        raise typer.Exit(ExitCode.SOME_IMAGES_FAILED)


def _report_api_error(error: ApiError, *, as_json: bool) -> None:
    if as_json:
        print_json({"error": {"status": error.status, "code": error.code, "detail": error.detail, **error.problem}})
        return
    console = Console(stderr=True)
    console.print(Text.assemble(("✗ ", "bold red"), error.detail, (f" ({error.code})", "dim")))
    if error.code == "invalid_api_key":
        console.print(
            "  Set DARKROOM_API_KEY, or name the folder of the key by --home. `darkroom keys create NAME` makes a key, "
            "where the service runs."
        )
    errors: Any = error.problem.get("errors")
    if errors:
        console.print(row_errors(errors))
        left = more_errors(len(errors), int(str(error.problem.get("errorCount", len(errors)))))
        if left:
            console.print(left)


def _report(code: str, detail: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"error": {"code": code, "detail": detail}})
    else:
        Console(stderr=True).print(Text.assemble(("✗ ", "bold red"), detail))


def _code_of(error: ApiError) -> ExitCode:
    return ExitCode.UNREACHABLE if is_away(error) else ExitCode.REFUSED


def _settings_message(error: ValidationError) -> str:
    problems = [
        f"DARKROOM_{str(each['loc'][0]).upper()}: {each['msg'].removeprefix('Value error, ')}"
        for each in error.errors()
    ]
    return " ".join(["The settings are not valid.", *(f"{problem}." for problem in problems)])
