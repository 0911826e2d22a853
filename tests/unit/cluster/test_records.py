"""The stored names of fields that have another name in Python."""

from __future__ import annotations

from cluster.records import Image, Place


def test_the_stored_name_of_duplicate_of_is_repeats() -> None:
    document = Image(duplicate_of=Place(row=2, index=1)).document()
    assert document["repeats"] == {"row": 2, "index": 1}
    assert "duplicateOf" not in document
    assert "duplicate_of" not in document
    assert Image.model_validate(document).duplicate_of == Place(row=2, index=1)
    assert "repeats" not in Image().model_dump(exclude={"duplicate_of"})
