from __future__ import annotations

import pytest

from cluster.identifiers import identifier_age_seconds, new_identifier


def test_identifiers_are_unique_and_sort_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    for second in (1, 2, 3):
        monkeypatch.setattr("time.time_ns", lambda now=second: now * 1_000_000_000)
        made.append([new_identifier("req") for _ in range(100)])
    assert len({each for batch in made for each in batch}) == 300
    assert max(made[0]) < min(made[1])
    assert max(made[1]) < min(made[2])


def test_an_identifier_knows_its_age() -> None:
    identifier = new_identifier("req")
    assert identifier.startswith("req_")
    assert len(identifier) == 30
    assert 0 <= identifier_age_seconds(identifier) < 5


def test_a_foreign_identifier_has_no_age() -> None:
    with pytest.raises(ValueError, match="substring"):
        identifier_age_seconds("req_UUU")
