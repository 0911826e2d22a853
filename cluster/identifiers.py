"""Identifiers that sort by the time when they were made."""

from __future__ import annotations

import secrets
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_TIME_BITS = 48
_RANDOM_BITS = 80
_LENGTH = 26


def new_identifier(prefix: str) -> str:
    """Return `<prefix>_` and a new ULID in lower case.

    A ULID has 48 bits of milliseconds and 80 random bits, in Crockford's base 32.

    Source: https://github.com/ulid/spec.
    """
    milliseconds = time.time_ns() // 1_000_000 % (1 << _TIME_BITS)
    number = milliseconds << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)
    return f"{prefix}_" + "".join(_ALPHABET[number >> 5 * place & 31] for place in reversed(range(_LENGTH)))


def identifier_age_seconds(identifier: str) -> float:
    """Return the seconds since an identifier was made.

    Raises:
        ValueError: The text is not such an identifier.
    """
    number = 0
    for character in identifier.rpartition("_")[2]:
        number = number << 5 | _ALPHABET.index(character)
    return time.time() - (number >> _RANDOM_BITS) / 1000
