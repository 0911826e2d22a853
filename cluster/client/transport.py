"""The HTTP of the client. It has one connection pool, bounded retries, and an `ApiError` for each problem document."""

from __future__ import annotations

import time
from contextlib import contextmanager
from io import SEEK_END, BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from cluster.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

AnswerT = TypeVar("AnswerT", bound=BaseModel)

MAX_STORE_SECONDS = 1800.0  # the limit of the service for storing a catalogue
CONNECT_TIMEOUT_SECONDS = 5.0
RETRYABLE_STATUSES = frozenset({httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE})
MAX_CALL_ATTEMPTS = 5
MAX_RETRY_PAUSE_SECONDS = 60.0
LOST_ANSWER_PAUSE_SECONDS = 1.0
FOREIGN_ANSWER_PAUSE_SECONDS = 5.0  # with five calls, as long as the service takes to come back
_NOT_DARKROOM = "not_darkroom"
_AWAY_CODES = frozenset({"store_unavailable", "starting", "interrupted"})
MIN_UPLOAD_BYTES_PER_SECOND = 50_000
"""The slowest pace of a living service at reading and storing a catalogue. A busy one was measured at 600,000."""


class Deadline:
    """A moment that no sleep goes past.

    Args:
        seconds: The time until then. None means that the moment never comes.
    """

    def __init__(self, seconds: float | None) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds

    def sleep(self, seconds: float) -> bool:
        """Sleep, but not past the deadline. Return False if the deadline had already come."""
        left_seconds = seconds if self._end is None else self._end - time.monotonic()
        if left_seconds <= 0:
            return False
        time.sleep(min(seconds, left_seconds))
        return True


class Transport:
    """A connection pool to one service.

    Args:
        url: The address of the service, `http://` or `https://`.
        api_key: The key, sent as a bearer token.
        timeout_seconds: The longest silence of the service that counts as normal.
    """

    def __init__(self, url: str, *, api_key: str | None, timeout_seconds: float) -> None:
        if not url.startswith(("http://", "https://")):
            message = f"the service's address must start with http:// or https://, not {url!r}"
            raise ValueError(message)
        self.url = url.rstrip("/")
        self._http = httpx.Client(
            base_url=self.url,
            headers={"authorization": f"Bearer {api_key}"} if api_key else {},
            timeout=httpx.Timeout(timeout_seconds, connect=min(CONNECT_TIMEOUT_SECONDS, timeout_seconds)),
            trust_env=False,  # only the settings read the environment, and a proxy must not get in front of loopback
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def send(self, method: str, path: str, **arguments: Any) -> httpx.Response:  # noqa: ANN401 - httpx' own arguments, handed on
        """Return the answer with any status. Raises `ApiError` with status 0 if there is no answer."""
        with self._explained():
            return self._http.request(method, path, **arguments)

    def upload(
        self,
        path: str,
        catalogue: str | Path | bytes,
        *,
        filename: str | None,
        form: dict[str, str],
        headers: dict[str, str],
    ) -> httpx.Response:
        """Upload a catalogue and return the good answer. `retried` says when the catalogue is sent again.

        A large catalogue may take longer, because the service stores it before it answers.
        """
        name = filename or ("catalogue.csv" if isinstance(catalogue, bytes) else Path(catalogue).name)

        def send() -> httpx.Response:
            with BytesIO(catalogue) if isinstance(catalogue, bytes) else Path(catalogue).open("rb") as file:
                timeout = self._upload_timeout(file.seek(0, SEEK_END))
                file.seek(0)
                files = {"file": (name, file, "text/csv")}
                return self.send("POST", path, timeout=timeout, data=form, files=files, headers=headers)

        return retried(send)

    def _upload_timeout(self, size_bytes: int) -> httpx.Timeout:
        timeout = httpx.Timeout(self._http.timeout)
        if timeout.read is not None:
            timeout.read += min(size_bytes / MIN_UPLOAD_BYTES_PER_SECOND, MAX_STORE_SECONDS)
        return timeout

    def get(self, path: str, **params: str | int | None) -> httpx.Response:
        """Return the good answer to a GET. Arguments that are None are left out."""
        given = {name: value for name, value in params.items() if value is not None}
        return checked(self.send("GET", path, params=given))

    def stream(self, path: str, *, media_type: str, **params: str) -> Iterator[bytes]:
        """Yield the body of a good answer of this media type in pieces, as they come."""
        with self._explained(), self._http.stream("GET", path, params=params) as response:
            if not response.is_success:
                response.read()
                checked(response)
            if response.headers.get("content-type", "").partition(";")[0] != media_type:
                raise not_darkroom(response)
            yield from response.iter_bytes()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            detail = f"Nothing answers at {self.url}. Is the service running? `darkroom up` starts it."
            raise ApiError(0, "unreachable", detail, {}) from error
        except httpx.TransportError as error:
            detail = f"{self.url} took the call, but its answer was lost ({type(error).__name__}). Try again."
            raise ApiError(0, "answer_lost", detail, {}) from error
        except httpx.InvalidURL as error:
            raise ApiError(0, "unreachable", f"{self.url} is not a valid address: {error}.", {}) from error


def is_away(error: ApiError) -> bool:
    """Return whether the service, or a part that it needs, gave no answer.

    An answer of something else is none. A proxy answers like that while the service behind it starts or stops.
    """
    return error.status == 0 or error.code in _AWAY_CODES or _is_foreign(error)


def is_transient(error: ApiError) -> bool:
    """Return whether the error may go away by itself, such as a lost answer, an overload or a restart."""
    busy = error.status == httpx.codes.TOO_MANY_REQUESTS or httpx.codes.is_server_error(error.status)
    return busy or (is_away(error) and not _is_final(error.status))


def checked(response: httpx.Response) -> httpx.Response:
    """Return the answer if it is good.

    Raises:
        ApiError: The answer is a problem.
    """
    if response.is_success:
        return response
    if response.has_redirect_location:
        raise not_darkroom(response)
    problem = _document(response)
    code = str(problem.get("code") or _foreign_code(response.status_code))
    detail = str(problem.get("detail") or problem.get("title") or _unexplained(response))
    raise ApiError(response.status_code, code, detail, _with_retry_after(problem, response))


def answer(kind: type[AnswerT], response: httpx.Response) -> AnswerT:
    """Return a good answer as its record.

    Raises:
        ApiError: The answer is a problem, or it has not the fields of the record. In the second case, something else
            than Darkroom is at this address.
    """
    try:
        return kind.model_validate(_document(response))
    except ValidationError as error:
        checked(response)
        raise not_darkroom(response) from error


def not_darkroom(response: httpx.Response) -> ApiError:
    """Return the error of an answer that Darkroom does not give."""
    url = response.request.url.copy_with(path="/", query=None)
    target = f" and points to {response.headers['location']}" if response.has_redirect_location else ""
    detail = f"{url} answered {response.status_code}{target}, but not as Darkroom does. Is this the right address?"
    return ApiError(response.status_code, _NOT_DARKROOM, detail, {})


def retried(call: Callable[[], httpx.Response]) -> httpx.Response:
    """Return a good answer to a call that may safely be repeated.

    It is repeated after a lost answer, and after an answer of something else than Darkroom, but for a redirect and 413.
    It is repeated after 429 and 503 if their `Retry-After` is at most a minute. At most five calls are made. The error
    of the last one is raised.
    """
    for attempt in range(1, MAX_CALL_ATTEMPTS + 1):
        try:
            return checked(call())
        except ApiError as error:
            pause_seconds = _pause_seconds(error)
            if pause_seconds is None or attempt == MAX_CALL_ATTEMPTS:
                raise
            time.sleep(pause_seconds)
    raise AssertionError  # the loop returns or raises


def quoted(identifier: str) -> str:
    """Return an identifier as a part of a path."""
    return quote(identifier, safe="")


def retry_after_seconds(response: httpx.Response) -> float | None:
    """Return how long the server asked to wait. None means that it did not ask. Darkroom sends no dates here."""
    value = response.headers.get("retry-after", "")
    return float(value) if value.isdecimal() else None


def _foreign_code(status: int) -> str:
    return f"http_{status}"


def _is_foreign(error: ApiError) -> bool:
    return error.code in (_NOT_DARKROOM, _foreign_code(error.status))


def _is_final(status: int) -> bool:
    """Return whether something else than Darkroom would give this answer again: the address or the file is wrong."""
    return httpx.codes.is_redirect(status) or status == httpx.codes.REQUEST_ENTITY_TOO_LARGE


def _pause_seconds(error: ApiError) -> float | None:
    if error.code == "answer_lost":
        return LOST_ANSWER_PAUSE_SECONDS
    asked = error.problem.get("retryAfterSeconds", FOREIGN_ANSWER_PAUSE_SECONDS if _is_foreign(error) else None)
    may_repeat = error.status in RETRYABLE_STATUSES or (_is_foreign(error) and not _is_final(error.status))
    return asked if may_repeat and isinstance(asked, float) and asked <= MAX_RETRY_PAUSE_SECONDS else None


def _with_retry_after(problem: dict[str, Any], response: httpx.Response) -> dict[str, Any]:
    seconds = retry_after_seconds(response)
    return problem if seconds is None else {**problem, "retryAfterSeconds": seconds}


def _document(response: httpx.Response) -> dict[str, Any]:
    try:
        found = response.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _unexplained(response: httpx.Response) -> str:
    if response.status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE:
        return "A server before Darkroom refused the file as too large. Raise the limit of that server's bodies."
    said = f"answered {response.status_code} {response.reason_phrase} and did not say why"
    return f"The service {said}. It may be starting, or something else than Darkroom is at this address."
