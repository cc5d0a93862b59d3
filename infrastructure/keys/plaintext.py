"""The sealed entry's inside: JCS JSON {at, event, stream, topic, version}, restricted (wire format, section 1).

Invariants:
- Values are ASCII-keyed objects, lists, strings, booleans, null and integers below 2^53, so a fast sorted writer prints
  RFC 8785; a property test holds it equal to `domain.canonical.canonical` and to `rfc8785`.
- Reading prints again and compares: one record has one spelling, and no member occurs twice.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from domain.errors import MalformedError

_OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_STRICT_INTEGER
_PLAIN = frozenset({str, int, bool, type(None)})
_MEMBERS = {"at", "event", "stream", "topic", "version"}
_MAX_DEPTH = 32


@dataclass(frozen=True, slots=True)
class EntryRecord:
    """One event as sealed: its stream, its version from 0, topic, recorded_at in ms since 1970, and content."""

    stream_id: UUID
    version: int
    topic: str
    at_ms: int
    event: dict[str, Any]


def encode_record(record: EntryRecord) -> bytes:
    """Return the plaintext of an entry.

    Raises:
        MalformedError: when a value lies outside the restricted JSON.
    """
    return encode_members(record.stream_id, record.version, record.topic, record.at_ms, record.event)


def encode_members(stream_id: UUID, version: int, topic: str, at_ms: int, event: dict[str, Any]) -> bytes:
    """Return the plaintext of an entry, from what an `EntryRecord` holds. Raises as `encode_record` does."""
    return encode_json({"at": at_ms, "event": event, "stream": str(stream_id), "topic": topic, "version": version})


def decode_record(plaintext: bytes) -> EntryRecord:
    """Read the plaintext of an entry.

    Raises:
        MalformedError: when it is not the one spelling of a record.
    """
    try:
        value = orjson.loads(plaintext)
    except ValueError:
        raise MalformedError("an entry's plaintext is not JSON") from None
    if encode_json(value) != plaintext:
        raise MalformedError("an entry's plaintext is not in canonical form (RFC 8785)")
    if not isinstance(value, dict) or value.keys() != _MEMBERS:
        raise MalformedError("an entry's plaintext has not exactly the members at, event, stream, topic, version")
    stream, version, topic, at_ms, event = (value[name] for name in ("stream", "version", "topic", "at", "event"))
    if type(version) is not int or version < 0 or type(at_ms) is not int or at_ms < 0:
        raise MalformedError("an entry's version or instant is not a whole number from 0")
    if type(topic) is not str or not topic.isascii() or not topic or type(event) is not dict:
        raise MalformedError("an entry's topic is not ASCII, or its event not an object")
    return EntryRecord(_stream_id(stream), version, topic, at_ms, event)


def encode_json(value: Any) -> bytes:
    """Return the RFC 8785 bytes of a restricted value, fast.

    Raises:
        MalformedError: for floats, integers of 2^53 and more, keys that are not ASCII strings, lone surrogates, other
            types (subclasses too), and more than 32 levels.
    """
    if type(value) not in _PLAIN:
        _check(value, 0)
    try:
        return orjson.dumps(value, option=_OPTIONS)
    except (TypeError, ValueError):
        raise MalformedError("an integer of 2^53 or more, or a lone surrogate, has no place in an entry") from None


def _check(value: Any, depth: int) -> None:
    kind = type(value)
    if depth > _MAX_DEPTH:
        raise MalformedError(f"JSON is nested deeper than {_MAX_DEPTH}")
    if kind is dict:
        for key in value:
            if type(key) is not str or not key.isascii():
                raise MalformedError("an object key is not an ASCII string")
        members = value.values()
    elif kind is list or kind is tuple:
        members = value
    else:
        raise MalformedError(f"{kind.__name__} has no place in an entry")
    for member in members:
        if type(member) not in _PLAIN:
            _check(member, depth + 1)


def _stream_id(text: object) -> UUID:
    try:
        stream_id = UUID(text) if isinstance(text, str) else None
    except ValueError:
        stream_id = None
    if stream_id is None or str(stream_id) != text:
        raise MalformedError("an entry's stream is not a lowercase UUID")
    return stream_id
