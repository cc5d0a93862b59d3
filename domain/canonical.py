"""Canonical JSON (RFC 8785, JCS) for the restricted values of the ledger.

Invariants:
- Values are objects with ASCII keys, lists, strings, booleans, null and integers below 2^53 in magnitude; never floats.
  For these the standard library's sorted writer equals RFC 8785 byte for byte (a property test holds them equal).
- `parse_canonical` accepts exactly the bytes that `canonical` prints: no duplicate members, no other spelling.
"""

import json
from typing import Any

from domain.errors import MalformedError

MAX_INTEGER = 2**53 - 1
"""Greatest integer that every JSON reader keeps exact (RFC 7493 2.2)."""

_MAX_DEPTH = 32
_PLAIN = frozenset({str, bool, type(None)})
_WRITER = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"))

JsonValue = Any
"""A JSON value as decoded: dict, list, str, int, bool or None."""


def canonical(value: JsonValue) -> bytes:
    """Return the RFC 8785 bytes of a restricted value.

    Raises:
        MalformedError: for floats, integers of 2^53 and more, non-ASCII keys, lone surrogates or other types.
    """
    _check(value, 0)
    try:
        return _WRITER.encode(value).encode()
    except UnicodeEncodeError:
        raise MalformedError("a string holds a lone surrogate") from None


def parse_canonical(data: bytes) -> JsonValue:
    """Decode bytes that must be canonical already (parse, print again, compare).

    Raises:
        MalformedError: when they are not JSON, not restricted, or not canonical.
    """
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise MalformedError("not valid JSON") from None
    if canonical(value) != data:
        raise MalformedError("JSON is not in canonical form (RFC 8785)")
    return value


def same_json(left: JsonValue, right: JsonValue) -> bool:
    """Tell whether two restricted values print alike: as 1 and true do not, which Python calls equal.

    Raises:
        MalformedError: as `canonical` does.
    """
    if type(left) is str and type(right) is str:
        return left == right
    return canonical(left) == canonical(right)


def _check(value: JsonValue, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise MalformedError(f"JSON is nested deeper than {_MAX_DEPTH}")
    if type(value) in _PLAIN or isinstance(value, str):
        return
    if isinstance(value, int):
        if abs(value) > MAX_INTEGER:
            raise MalformedError("an integer is 2^53 or more; write it as a string")
    elif isinstance(value, dict):
        for key, member in value.items():
            if not isinstance(key, str) or not key.isascii():
                raise MalformedError("an object key is not ASCII")
            _check(member, depth + 1)
    elif isinstance(value, list | tuple):
        for member in value:
            _check(member, depth + 1)
    else:
        raise MalformedError(f"{type(value).__name__} has no place in canonical JSON here")
