"""Sealed payloads that this process has made itself, the newest: they are asked for again within a second or two.

Invariants:
- They are kept as they are stored, sealed: who reads one needs the log's keys as they are now. Only stored events name
  one, so it matters to nobody that one may be here and never be stored.
- Memory is bounded in bytes.
"""

import threading
from collections import OrderedDict
from typing import Final
from uuid import UUID

_MOST_BYTES: Final = 16_777_216
_LARGEST: Final = 1_048_576


class Payloads:
    """What was made last. Safe to use from several threads."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[UUID, bytes], bytes] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def put(self, log_id: UUID, digest: bytes, sealed: bytes) -> None:
        """Take up what was made, unless it is large."""
        if len(sealed) > _LARGEST:
            return
        with self._lock:
            if (log_id, digest) not in self._known:
                self._known[log_id, digest] = sealed
                self._bytes += len(sealed)
            while self._bytes > _MOST_BYTES:
                self._bytes -= len(self._known.popitem(last=False)[1])

    def get(self, log_id: UUID, digest: str) -> bytes | None:
        """Return the sealed bytes under a digest (hex), or None: then the database is asked."""
        with self._lock:
            return self._known.get((log_id, bytes.fromhex(digest)))

    def forget(self) -> None:
        """Let go of all."""
        with self._lock:
            self._known.clear()
            self._bytes = 0
