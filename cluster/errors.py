"""Every error that Darkroom raises.

    DarkroomError
    ├── StoreUnavailableError      a store does not answer; transient, the caller may try again
    ├── StaleEpochError            a newer incarnation owns the request; the writer must stop
    ├── ImageError                 one image failed; `code` is an `ImageErrorCode`
    ├── RefusedError               the client asked for something that is not accepted
    │   ├── CatalogueError         the CSV has errors; every one of them is in `problems`
    │   └── OptionsError           the options have errors
    ├── BlockedAddressError        the guard refused a connection
    ├── ServerStartError           an embedded server did not start; names its log and the remedy
    ├── NamedStoreError            a store that you named cannot be used
    ├── HomeBusyError              another process starts or stops the same embedded servers
    ├── BackupError                a backup cannot be made or restored; `code` says why
    └── ApiError                   the HTTP API answered a client with a problem

Constructors take positional arguments and pass all of them on to `Exception`, because Ray pickles errors by `args`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cluster.codes import ImageErrorCode
    from cluster.records import RowProblem


_LISTED_PROBLEMS = 10  # a message with all of them would be as long as the body that has them


class DarkroomError(Exception):
    """The root of the tree. Its text is a message for the reader that can act on it."""


class StoreUnavailableError(DarkroomError):
    """A store (`mongodb`, `redis` or `s3`) does not answer."""

    def __init__(self, store: str, detail: str) -> None:
        super().__init__(store, detail)
        self.store = store
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.store} does not answer: {self.detail}"


class StaleEpochError(DarkroomError):
    """A write was refused because a newer incarnation of the coordinator owns the request."""


class ImageError(DarkroomError):
    """One image failed.

    Args:
        code: The stable code.
        message: One sentence for the owner of the catalogue.
        http_status: The status that the source answered, if it answered.
        retry_after_seconds: The pause that the source asked for, if it asked.
        cpu_seconds: The CPU time of the compression, if it had begun.
    """

    def __init__(
        self,
        code: ImageErrorCode,
        message: str,
        http_status: int | None = None,
        retry_after_seconds: float | None = None,
        cpu_seconds: float | None = None,
    ) -> None:
        super().__init__(code, message, http_status, retry_after_seconds, cpu_seconds)
        self.code = code
        self.message = message
        self.http_status = http_status
        self.retry_after_seconds = retry_after_seconds
        self.cpu_seconds = cpu_seconds

    def __str__(self) -> str:
        return self.message


class RefusedError(DarkroomError):
    """A client asked for something that is not accepted. The error becomes a problem document.

    Args:
        status: The HTTP status.
        code: The stable code, snake_case.
        detail: The problem and what to do about it.
        retry_after_seconds: When to try again, for 429 and 503.
    """

    def __init__(self, status: int, code: str, detail: str, retry_after_seconds: int | None = None) -> None:
        super().__init__(status, code, detail, retry_after_seconds)
        self.status = status
        self.code = code
        self.detail = detail
        self.retry_after_seconds = retry_after_seconds

    def __str__(self) -> str:
        return self.detail


class CatalogueError(RefusedError):
    """The CSV has errors.

    Args:
        problems: The first errors found, in the order of the file.
        total: The number of errors in all.
        can_skip: Whether the other rows could be accepted without those with errors.
    """

    def __init__(self, problems: Sequence[RowProblem], total: int, can_skip: bool = False) -> None:  # noqa: FBT001, FBT002 - errors take positions
        noun = "error" if total == 1 else "errors"
        remedy = (
            "Correct the listed rows, or upload the file again and skip rows with errors."
            if can_skip
            else "Correct the listed errors, and upload the file again."
        )
        detail = f"The CSV has {total:,} {noun}, and nothing was stored. {remedy}"
        super().__init__(422, "invalid_catalogue", detail)
        self.args = (problems, total, can_skip)
        self.problems = problems
        self.total = total


def listed(problems: Sequence[tuple[str, str]]) -> str:
    """Return the first problems in one line, each with its field, and the number of the others."""
    named = "; ".join(f"{field}: {message}" for field, message in problems[:_LISTED_PROBLEMS])
    others = len(problems) - _LISTED_PROBLEMS
    return f"{named}; and {others:,} more" if others > 0 else named


class OptionsError(RefusedError):
    """The options have errors, each with the field's name.

    Args:
        problems: Pairs of a field's name and its error.
    """

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        super().__init__(400, "invalid_options", f"The options are not valid. {listed(problems)}")
        self.args = (problems,)
        self.problems = problems


class BlockedAddressError(DarkroomError):
    """The guard refused a connection. The text tells neither the reason nor whether the host exists.

    Args:
        host: The host as the URL names it.
        port: The port of the URL.
    """

    def __init__(self, host: str, port: int) -> None:
        super().__init__(host, port)
        self.host = host
        self.port = port

    def __str__(self) -> str:
        return (
            f"Darkroom may not connect to {self.host} on port {self.port}. "
            "Use a URL with a public host and one of the usual ports."
        )


class ServerStartError(DarkroomError):
    """An embedded server did not start.

    Args:
        server: The name of the server.
        log_path: The path of its log. It is empty when there is none.
        log_tail: The last lines of the log, or another reason.
        remedy: The next thing to do, in a sentence or two.
    """

    def __init__(self, server: str, log_path: str, log_tail: str, remedy: str) -> None:
        super().__init__(server, log_path, log_tail, remedy)
        self.server = server
        self.log_path = log_path
        self.log_tail = log_tail
        self.remedy = remedy

    def __str__(self) -> str:
        log = f"\nLog: {self.log_path}" if self.log_path else ""
        return f"{self.server} did not start. {self.remedy}{log}\n{self.log_tail}"


class NamedStoreError(DarkroomError):
    """A store that you named cannot be used.

    Args:
        setting: The setting that names it.
        problem: The rest of a sentence that begins with the setting, and the remedy.
    """

    def __init__(self, setting: str, problem: str) -> None:
        super().__init__(setting, problem)
        self.setting = setting
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.setting} {self.problem}"


class HomeBusyError(DarkroomError):
    """Another process starts or stops the servers of the same folder, or keeps all other starts waiting.

    Args:
        path: The folder.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return (
            f"Another `darkroom up`, `down` or `restore` works on {self.path}. Wait until it has ended, then try again."
        )


class BackupError(DarkroomError):
    """A backup cannot be made or restored.

    Args:
        code: `target_exists`, `nothing_there` or `snapshot_too_old` of a backup; `damaged_backup`, `unknown_format`,
            `other_secret_key`, `service_not_stopped`, `database_not_empty` or `restore_incomplete` of a restore.
        detail: The problem and what to do about it.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail

    def __str__(self) -> str:
        return self.detail


class ApiError(DarkroomError):
    """The HTTP API answered with a problem document.

    Args:
        status: The HTTP status, or 0 when there was no answer.
        code: The stable code.
        detail: The problem.
        problem: The whole document.
    """

    def __init__(self, status: int, code: str, detail: str, problem: dict[str, object]) -> None:
        super().__init__(status, code, detail, problem)
        self.status = status
        self.code = code
        self.detail = detail
        self.problem = problem

    def __str__(self) -> str:
        return self.detail
