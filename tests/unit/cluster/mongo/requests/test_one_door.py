"""All that touches the collection of requests is in its package, and comes through its door."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[5]
PACKAGE = ROOT / "cluster" / "mongo" / "requests"
CONNECTION = "cluster/mongo/connection.py"  # it gives the collection its name
RESTORE = "deployments/backup/snapshot.py"  # it copies whole collections, documents as they were
# The lease has a collection of its own.
A_WRITE = r"(?<!_leases)\.(insert_\w+|update_\w+|replace_\w+|delete_\w+|find_one_and_\w+|bulk_write)\("

INSIDE = {path.name: path.read_text() for path in PACKAGE.glob("*.py")}
OUTSIDE = {
    str(path.relative_to(ROOT)): path.read_text()
    for package in ("cluster", "actors", "deployments")
    for path in (ROOT / package).rglob("*.py")
    if path.parent != PACKAGE
}


def having(pattern: str, texts: dict[str, str]) -> set[str]:
    return {name for name, text in texts.items() if re.search(pattern, text)}


def test_one_module_writes_to_the_collection() -> None:
    assert having(A_WRITE, INSIDE) == {"writer.py"}


def test_nothing_outside_touches_the_collection() -> None:
    assert having(r"database\.requests\b", OUTSIDE) == set()
    assert having(r"\"processing_requests\"", OUTSIDE) == {CONNECTION}
    assert having(r"\.collection\(", OUTSIDE) == {CONNECTION, RESTORE}


def test_the_package_has_one_door() -> None:
    assert (
        having(r"cluster\.mongo\.requests\.|cluster\.mongo\.requests import .*\b(transitions|writer)\b", OUTSIDE)
        == set()
    )
