"""The result that a duplicate gets from its original."""

from __future__ import annotations

import pytest

from actors.request.duplicates import shared
from cluster.records import Decision, Image, Status


@pytest.mark.parametrize(
    ("status", "decision"), [(Status.COMPLETED, Decision.DEDUPLICATED), (Status.FAILED, Decision.COMPRESSED)]
)
def test_a_duplicate_cost_no_compression(status: Status, decision: Decision) -> None:
    original = Image(status=status, bytes_in=100, bytes_out=40, cpu_seconds=0.25, decision=Decision.COMPRESSED)
    assert shared(original) == original.model_copy(update={"cpu_seconds": None, "decision": decision})
