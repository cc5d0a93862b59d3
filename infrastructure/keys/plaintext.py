"""The sealed entry's inside: JCS JSON {at, event, stream, topic, version}, restricted (wire format, section 1).

Invariants:
- Values are ASCII-keyed objects, lists, strings, booleans, null and integers below 2^53, so a fast sorted writer prints
  RFC 8785; a property test holds it equal to `domain.canonical.canonical` and to `rfc8785`.
- Reading prints again and compares: one record has one spelling, and no member occurs twice.
"""

from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import Any
from uuid import UUID

import orjson

from domain.canonical import parse_canonical
from domain.errors import MalformedError
from domain.identifiers import same_uuid

_OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_STRICT_INTEGER
_PLAIN = frozenset({str, int, bool, type(None)})
_STRING = frozenset({str})
_INTEGER = frozenset({int})
_CONTAINERS = frozenset({dict, list})
_MEMBERS = {"at", "event", "stream", "topic", "version"}
_members = itemgetter("stream", "version", "topic", "at", "event")
_MAX_DEPTH = 32
_BEFORE_EVENT = b',"event":'
_AFTER_EVENT = b',"stream":"'
"""Within {"at", "event", "stream", "topic", "version"}: the stream's text, topic and version hold no such bytes."""


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
    if {type(at_ms), type(version)} != _INTEGER or type(topic) is not str:
        raise MalformedError("an entry's version or instant is not a whole number, or its topic no string")
    members = {"at": at_ms, "event": event, "stream": str(stream_id), "topic": topic, "version": version}
    return _checked_print(members, event, 1)


def decode_record(plaintext: bytes) -> EntryRecord:
    """Read the plaintext of an entry.

    Raises:
        MalformedError: when it is not the one spelling of a record.
    """
    value = _canonical_value(plaintext)
    if not isinstance(value, dict) or value.keys() != _MEMBERS:
        raise MalformedError("an entry's plaintext has not exactly the members at, event, stream, topic, version")
    stream, version, topic, at_ms, event = _members(value)
    if type(version) is not int or version < 0 or type(at_ms) is not int or at_ms < 0:
        raise MalformedError("an entry's version or instant is not a whole number from 0")
    if type(stream) is not str:
        raise MalformedError("an entry's stream is not a lowercase UUID")
    if type(topic) is not str or not topic.isascii() or not topic or type(event) is not dict:
        raise MalformedError("an entry's topic is not ASCII, or its event not an object")
    return EntryRecord(_stream_id(stream), version, topic, at_ms, event)


def event_bytes(plaintext: bytes) -> bytes:
    """Return the canonical JSON of the event inside a plaintext that `decode_record` takes: a slice of it."""
    return plaintext[plaintext.index(_BEFORE_EVENT) + len(_BEFORE_EVENT) : plaintext.rindex(_AFTER_EVENT)]


def _canonical_value(plaintext: bytes) -> Any:
    try:
        value = orjson.loads(plaintext)
    except ValueError:
        raise MalformedError("an entry's plaintext is not JSON") from None
    if plaintext.isascii():  # and so is every key, which orjson makes a string: floats and the depth are left to check
        _check_numbers(value, 0)
    elif type(value) not in _PLAIN:
        _check(value, 0)
    if _printed(value) != plaintext:
        raise MalformedError("an entry's plaintext is not in canonical form (RFC 8785)")
    return value


def _check_numbers(value: Any, depth: int) -> None:
    """Check of a decoded value what `encode_json` checks, but for its keys."""
    members = value.values() if type(value) is dict else value if type(value) is list else (value,)
    if depth == _MAX_DEPTH and type(value) in _CONTAINERS and value:
        raise MalformedError(f"JSON is nested deeper than {_MAX_DEPTH}")
    if _PLAIN.issuperset(map(type, members)):
        return
    for member in members:
        kind = type(member)
        if kind is float:
            raise MalformedError("float has no place in an entry")
        if kind not in _PLAIN:
            _check_numbers(member, depth + 1)


def decode_json(data: bytes) -> Any:
    """Decode what `encode_json` prints: as `domain.canonical.parse_canonical` does, with the same result, fast.

    Raises:
        MalformedError: when it is anything else.
    """
    try:
        return _canonical_value(data)
    except MalformedError:
        return parse_canonical(data)  # whose words say what is wrong


def print_decoded(value: Any) -> bytes:
    """Return the canonical JSON of a value that is made of what `decode_record` or `decode_json` gave out.

    Those have checked it already; nothing else may come here.
    """
    return orjson.dumps(value, option=_OPTIONS)


def encode_json(value: Any) -> bytes:
    """Return the RFC 8785 bytes of a restricted value, fast.

    Raises:
        MalformedError: for floats, integers of 2^53 and more, keys that are not ASCII strings, lone surrogates, other
            types (subclasses too), and more than 32 levels.
    """
    return _printed(value) if type(value) in _PLAIN else _checked_print(value, value, 0)


def _checked_print(value: Any, part: Any, depth: int) -> bytes:
    """Print a value of which one part, so deep inside, is still to be checked.

    Where all that was printed is ASCII, so is every key; the flat objects that events mostly are have only the types of
    their members left to look at.
    """
    flat = type(part) is dict and _PLAIN.issuperset(map(type, part.values()))
    if not flat:
        _check(part, depth)
    printed = _printed(value)
    if flat and not (printed.isascii() and _STRING.issuperset(map(type, part))):
        _check(part, depth)
    return printed


def _printed(value: Any) -> bytes:
    try:
        return orjson.dumps(value, option=_OPTIONS)
    except (TypeError, ValueError):
        raise MalformedError("an integer of 2^53 or more, or a lone surrogate, has no place in an entry") from None


def _check(value: Any, depth: int) -> None:
    kind = type(value)
    if depth > _MAX_DEPTH or (depth == _MAX_DEPTH and value):
        raise MalformedError(f"JSON is nested deeper than {_MAX_DEPTH}")
    if kind is dict:
        if value and (set(map(type, value)) != _STRING or not "".join(value).isascii()):
            raise MalformedError("an object key is not an ASCII string")
        members = value.values()
    elif kind is list or kind is tuple:
        members = value
    else:
        raise MalformedError(f"{kind.__name__} has no place in an entry")
    if not _PLAIN.issuperset(map(type, members)):
        for member in members:
            if type(member) not in _PLAIN:
                _check(member, depth + 1)


@lru_cache(maxsize=4096)
def _stream_id(text: str) -> UUID:
    try:
        stream_id = same_uuid(UUID(text).int)
    except ValueError:
        stream_id = None
    if stream_id is None or str(stream_id) != text:
        raise MalformedError("an entry's stream is not a lowercase UUID")
    return stream_id
