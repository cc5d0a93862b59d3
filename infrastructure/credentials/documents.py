"""Documents that carry proofs: JSON objects, decoded strictly and printed canonically (RFC 8785).

Invariants:
- Input is UTF-8 JSON in which no member occurs twice and no number is 2^53 or more, however it is written [readers
  that round such numbers would see another document under the same signature].
- Both directions are bounded in length; nesting as deep as the interpreter goes refuses and harms nothing.
"""

import json
from collections.abc import Mapping
from typing import Any

import rfc8785

from domain.canonical import MAX_INTEGER
from domain.errors import MalformedError
from infrastructure.keys.plaintext import encode_json

MAX_DOCUMENT_BYTES = 262_144
"""Greatest length of a secured document as JSON."""

_MAX_DIGITS = 17
"""Of an integer below 2^53, with its sign."""

Document = dict[str, Any]
"""A JSON object, decoded."""


def parse_document(data: bytes | str, *, limit: int = MAX_DOCUMENT_BYTES) -> Document:
    """Decode a JSON object in which no member occurs twice.

    Args:
        data: UTF-8 without byte order mark, or text.
        limit: greatest length in bytes (of text: in characters).

    Raises:
        MalformedError: when it is anything else, or longer.
    """
    if len(data) > limit:
        raise MalformedError(f"a document is longer than {limit} bytes")
    try:
        text = data if isinstance(data, str) else data.decode()  # json.loads would guess UTF-16 and UTF-32 from bytes
        document = _DECODER.decode(text)
    except (ValueError, RecursionError):
        raise MalformedError("a document is not valid JSON, or repeats a member") from None
    if not isinstance(document, dict):
        raise MalformedError("a document is not a JSON object")
    return document


def canonical_bytes(document: Mapping[str, Any], *, limit: int = MAX_DOCUMENT_BYTES) -> bytes:
    """Return the RFC 8785 bytes of a document.

    Raises:
        MalformedError: when it has no such form (integers of 2^53 and more, NaN, lone surrogates), or is too long.
    """
    value = dict(document)
    try:
        data = _printed(value)
    except (rfc8785.CanonicalizationError, UnicodeError, RecursionError):
        raise MalformedError("a document has no canonical form (RFC 8785)") from None
    if len(data) > limit:
        raise MalformedError(f"a document is longer than {limit} bytes")
    return data


def _printed(value: Document) -> bytes:
    """Return the RFC 8785 bytes: by the fast writer, which equals it on the values that it takes."""
    try:
        return encode_json(value)
    except MalformedError:
        return rfc8785.dumps(value)


def _unique_members(pairs: list[tuple[str, Any]]) -> Document:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError
    return members


def _integer(text: str) -> int:
    if len(text) > _MAX_DIGITS or abs(number := int(text)) > MAX_INTEGER:
        raise ValueError
    return number


def _fraction(text: str) -> float:
    number = float(text)
    if not abs(number) <= MAX_INTEGER:
        raise ValueError
    return number


def _no_number(_text: str) -> float:
    raise ValueError


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique_members, parse_int=_integer, parse_float=_fraction, parse_constant=_no_number
)
