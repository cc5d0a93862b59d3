"""An event as it is told to who follows or reads a log: with its place, opened where it can be."""

from typing import Any

from domain.errors import ErasedError, UnknownError
from domain.message import Sealed
from infrastructure.logbook import Logbook
from infrastructure.postgres.records import StoredEntry


def told(book: Logbook, entry: StoredEntry) -> dict[str, Any]:
    """Return an event's members. `sealed` says that its content can't be opened here."""
    event, at_ms = None, None
    try:
        (recorded,) = book.opened([entry])
    except (ErasedError, UnknownError):
        pass  # the keys are destroyed, or are not in this keyring
    else:
        if not isinstance(recorded.event, Sealed):
            event, at_ms = recorded.event.payload(), recorded.at_ms
    return {
        "leaf_index": entry.leaf_index,
        "leaf_hash": entry.leaf_hash.hex(),
        "stream": str(entry.stream_id),
        "version": entry.version,
        "topic": entry.topic,
        "at_ms": at_ms,
        "sealed": event is None,
        "event": event,
    }
