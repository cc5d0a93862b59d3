"""A credential's `credentialStatus`: BitstringStatusListEntry (Bitstring Status List 1.0, section 2.1).

Invariants:
- Of closed shape: index and size in their one spelling, the list named by a URL, the entry's own id another one.
- `revocation` and `suspension` invalidate; `message` and `refresh` don't; any other purpose is unknown, and refuses.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from domain.errors import MalformedError

ENTRY_TYPE: Final = "BitstringStatusListEntry"
REVOCATION: Final = "revocation"
SUSPENSION: Final = "suspension"
INVALIDATING: Final = frozenset({REVOCATION, SUSPENSION})
INFORMING: Final = frozenset({"message", "refresh"})

_REQUIRED = frozenset({"type", "statusPurpose", "statusListIndex", "statusListCredential"})
_OPTIONAL = frozenset({"id", "statusSize", "statusMessage", "statusReference"})
_INDEX = re.compile(r"0|[1-9][0-9]{0,15}")
_LIST = re.compile(r"[a-z][a-z0-9+.-]{0,31}:[^\s\x00-\x1f]{1,2047}")
_MAX_ENTRIES = 8
_MAX_SIZE = 8


@dataclass(frozen=True, slots=True)
class StatusEntry:
    """Where a credential's status is: the purpose, the entry's index, its size in bits, and the list's URL."""

    purpose: str
    index: int
    size: int
    list_url: str


def entry_document(list_url: str, purpose: str, index: int) -> dict[str, str]:
    """Return a `credentialStatus` of one bit."""
    return {
        "id": f"{list_url}#{index}",
        "type": ENTRY_TYPE,
        "statusPurpose": purpose,
        "statusListIndex": str(index),
        "statusListCredential": list_url,
    }


def read_entries(value: object) -> tuple[StatusEntry, ...]:
    """Read `credentialStatus`: one entry, or a list of some.

    Raises:
        MalformedError: when one is not a BitstringStatusListEntry of a known purpose.
    """
    entries = value if isinstance(value, list) else [value]
    if not 0 < len(entries) <= _MAX_ENTRIES:
        raise MalformedError(f"credentialStatus is not one to {_MAX_ENTRIES} entries")
    return tuple(_read(entry) for entry in entries)


def _read(entry: object) -> StatusEntry:
    if not isinstance(entry, dict) or entry.get("type") != ENTRY_TYPE:
        raise MalformedError(f"a status is not a {ENTRY_TYPE}")
    if not _REQUIRED <= entry.keys() <= _REQUIRED | _OPTIONAL:
        raise MalformedError("a status lacks a member, or has one that is not known here")
    purpose, index, url = (entry[name] for name in ("statusPurpose", "statusListIndex", "statusListCredential"))
    if purpose not in (*INVALIDATING, *INFORMING):
        raise MalformedError("a status has a purpose that is not known here")
    if not isinstance(index, str) or not _INDEX.fullmatch(index):
        raise MalformedError("a statusListIndex is not a decimal string")
    if not isinstance(url, str) or not _LIST.fullmatch(url):
        raise MalformedError("a statusListCredential is not a URL")
    if "id" in entry and (not isinstance(entry["id"], str) or entry["id"] == url):
        raise MalformedError("a status's id is no URL, or the list's own")
    return StatusEntry(purpose, int(index), _size(entry), url)


def _size(entry: Mapping[str, Any]) -> int:
    size = entry.get("statusSize", 1)
    if type(size) is not int or not 1 <= size <= _MAX_SIZE:
        raise MalformedError(f"a statusSize is not a whole number from 1 to {_MAX_SIZE}")
    messages = entry.get("statusMessage")
    if messages is None and "statusMessage" not in entry and size == 1:
        return size
    if not isinstance(messages, list) or len(messages) != 1 << size:
        raise MalformedError("a statusMessage is not a list with one message for each value")
    for message in messages:
        if not isinstance(message, dict) or not all(isinstance(message.get(m), str) for m in ("status", "message")):
            raise MalformedError("a statusMessage lacks status or message")
    return size
