"""The embedded stores from behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deployments.local.credentials import Credentials
from deployments.local.mongod import Mongod
from deployments.local.state import State

if TYPE_CHECKING:
    from pymongo import MongoClient

    from deployments.local.home import Home


def mongo_administrator(home: Home) -> MongoClient[dict[str, Any]]:
    """Return a client of the running mongod that may do everything. Darkroom's own user may not."""
    return Mongod(home, State.read(home.state_file).ports, credentials=Credentials.of(home)).administrator()
