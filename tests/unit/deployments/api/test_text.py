"""A text that UTF-8 or MongoDB cannot hold is found and named wherever it is."""

from __future__ import annotations

import json

import pytest

from deployments.api.problems import problem
from deployments.api.text import printable, unusable_text
from tests.support.memory import peak_below

MOST_PEAK_BYTES = 2_000_000


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('"\\ud800"', ""),
        ('{"columns": {"Name": "a\\udfffb"}}', "columns.Name"),
        ('{"codes": ["timeout", "a\\u0000"]}', "codes.1"),
        ('{"\\ud800": 1}', "\\ud800"),
        ('{"a": {"b\\u0000": 1}}', "a.b\\u0000"),
        ('{"a": ["\\ud83d\\ude00", "é", "\\u2603", null, 1.5, true]}', None),
        ("[" * 900 + '"\\ud800"' + "]" * 900, ".".join("0" * 900)),
    ],
)
def test_an_unusable_text_is_named(text: str, place: str | None) -> None:
    assert unusable_text(json.loads(text)) == place


def test_the_places_of_many_texts_take_little_memory() -> None:
    value = {"k" * 32_000: [1] * 2_000}
    with peak_below(MOST_PEAK_BYTES):
        assert unusable_text(value) is None


def test_a_problem_can_quote_anything() -> None:
    answer = problem(400, "invalid_field", "There is no field \ud800\x00.")
    assert json.loads(bytes(answer.body))["detail"] == "There is no field \\ud800\\u0000."
    assert printable("plain ☃") == "plain ☃"
