"""A small real HTTP server that gives the answers of a test, in the shapes of the API's contract."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from deployments.demo.loopback import LoopbackServer

if TYPE_CHECKING:
    from collections.abc import Mapping

UPLOAD = "/api/upload"
REQUEST_ID = "req_0123456789"
REQUEST = f"/api/requests/{REQUEST_ID}"
STATUS = f"/api/status/{REQUEST_ID}"
RESULTS = f"{REQUEST}/results"
JSON = "application/json"
PROBLEM = "application/problem+json"


@dataclass(frozen=True)
class Call:
    """A request that the server got."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Reply:
    """An answer of the server. With `cut`, it hangs up after half of the body."""

    status: int
    body: bytes
    headers: Mapping[str, str]
    cut: bool


@dataclass
class Script:
    """The answers for each method and path, in order. The last one is repeated."""

    replies: dict[tuple[str, str], list[Reply]] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)

    def next(self, method: str, path: str) -> Reply:
        """Return the next answer, or 404 when the test gave none."""
        replies = self.replies.get((method, path))
        if not replies:
            body = json.dumps({"status": 404, "code": "not_found", "detail": "There is no such request."})
            return Reply(404, body.encode(), {"content-type": PROBLEM}, cut=False)
        return replies.pop(0) if len(replies) > 1 else replies[0]


class ContractServer(LoopbackServer):
    """The server, on a free port of 127.0.0.1 while the context lasts."""

    def __init__(self) -> None:
        self._script = Script()
        super().__init__(_handler(self._script))

    @property
    def calls(self) -> list[Call]:
        """The calls to the server, in order."""
        return self._script.calls

    def answer(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | bytes,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        cut: bool = False,
    ) -> None:
        """Queue an answer. A dict becomes JSON, or a problem document when the status says so."""
        content_type = PROBLEM if status >= 400 else JSON
        content = json.dumps(body).encode() if isinstance(body, dict) else body
        given = {"content-type": content_type, **(headers or {})}
        self._script.replies.setdefault((method, path), []).append(Reply(status, content, given, cut))


def accepted(**fields: object) -> dict[str, Any]:
    """Return the answer to an upload."""
    counts = {"rows": 2, "products": 2, "images": 4}
    known = {"requestId": REQUEST_ID, "status": "pending", "message": "Accepted.", "counts": counts, "rejectedRows": []}
    return {**known, **fields}


def status_of(state: str, *, completed: int = 0, failed: int = 0, **fields: object) -> dict[str, Any]:
    """Return the answer about a request of four images."""
    counts = {"rows": 2, "products": 2, "images": 4, "completed": completed, "failed": failed, "inFlight": 0}
    return {
        "requestId": REQUEST_ID,
        "status": state,
        "progress": 25 * (completed + failed),
        "products": [],
        "counts": {**counts, "unprocessed": 4 - completed - failed},
        "bytes": {"in": 4_000_000, "out": 1_000_000},
        "createdAt": "2026-11-24T10:00:00.000Z",
        "startedAt": "2026-11-24T10:00:00.500Z",
        "completedAt": "2026-11-24T10:00:04.000Z" if state in {"completed", "failed"} else None,
        "etaSeconds": None,
        "webhook": None,
        "failures": [],
        "nextCursor": None,
        **fields,
    }


def _handler(script: Script) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._reply()

        def do_POST(self) -> None:
            self._reply()

        def do_PATCH(self) -> None:
            self._reply()

        def do_DELETE(self) -> None:
            self._reply()

        def log_message(self, *_: object) -> None:
            pass

        def _reply(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            script.calls.append(Call(self.command, parts.path, dict(parse_qsl(parts.query)), headers, body))
            self._send(script.next(self.command, parts.path))

        def _send(self, reply: Reply) -> None:
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body[: len(reply.body) // 2] if reply.cut else reply.body)
            self.close_connection = reply.cut

    return Handler
