"""The id of a request, which the answer and the logs have."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.datastructures import Headers

REQUEST_ID_HEADER = "X-Request-Id"
_VALID = re.compile(r"[\x21-\x7e]{1,128}")


def given_request_id(headers: Headers) -> str | None:
    """Return the id that came with a request, or None when it is missing, long, or not visible ASCII."""
    given = headers.get(REQUEST_ID_HEADER, "")
    return given if _VALID.fullmatch(given) else None
