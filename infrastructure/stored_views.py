r"""The scheduler's views of the whole cell, in feed order: stored ones as far as they go, made from entries beyond.

Invariants:
- A stored view opens only beside the entry that it is of: it is sealed for log, leaf index and leaf hash, under
  HMAC(cell secret, "ledger view key v1\0" || log id). A tenant's own key is no part of it: it outlives that key.
- What comes after those that were stored when this began is read from the entries, so that a watcher is told all of it.
  Only an entry whose key is gone by then comes from its stored view.
- What was made from entries is stored in batches, apart from the append and never before it.
"""

import hashlib
import hmac
import itertools
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple
from uuid import UUID

import orjson

from domain.errors import VerificationError
from domain.message import Recorded, Sealed
from domain.scheduling.views import View
from infrastructure.keys.at_rest import AtRest
from infrastructure.keys.plaintext import encode_json
from infrastructure.keys.stream_keys import DataKey
from infrastructure.ledger import Ledger
from infrastructure.postgres.feed import FeedRow
from infrastructure.postgres.sealed_views import SealedView, SealedViews
from infrastructure.redeciding.views import kept_view


class Folded(NamedTuple):
    """A view with its bytes, the leaf hash of its entry, and the event where it was read from that."""

    view: View
    recorded: Recorded | None
    data: bytes
    leaf_hash: bytes


_KEY = b"ledger view key v1\0"
_CONTEXT = b"ledger view v1\0"
_BATCH: Final = 1000


class StoredViews:
    """The views of one cell.

    Args:
        ledger: whose events they are of.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._rows = SealedViews(ledger.datastore)
        self._secret = ledger.keyring.platform_secrets().cell
        self._ciphers: dict[UUID, AtRest] = {}
        self._stored = self._rows.position()
        self._made: list[SealedView] = []
        self._known: dict[tuple[UUID, int], Recorded] = {}
        self._position = self._stored

    @property
    def stored(self) -> int:
        """Return up to which position of the feed there were views when this began: who goes on must begin there."""
        return self._stored

    def follow(self, rows: Sequence[FeedRow]) -> Iterator[tuple[FeedRow, Sequence[Folded]]]:
        """Yield each row of the feed with what is to be folded for it. Rows of one log in a row are read together.

        Raises:
            VerificationError: when a stored view is missing, was changed, or is of another entry.
        """
        for (log_id, stored), together in itertools.groupby(
            rows, key=lambda row: (row.log_id, row.position <= self._stored)
        ):
            group = list(together)
            first, last = group[0].first_index, group[-1].first_index + group[-1].count
            found = self._read(log_id, first, last) if stored else self._make(log_id, first, last)
            for row in group:
                at = row.first_index - first
                if not stored:
                    self._position = row.position
                yield row, found[at : at + row.count]
            if len(self._made) >= _BATCH:
                self.flush()

    def flush(self, *, durable: bool = False) -> None:
        """Store what was made from entries since the last time.

        Args:
            durable: wait until the disk has it and all that was stored before.
        """
        if self._made or durable:
            self._rows.put(self._made, self._position, durable=durable)
            self._made = []

    def remember(self, recorded: Sequence[Recorded]) -> None:
        """Take note of events that this process has just stored: they needn't be read back when they come."""
        self._known |= {(one.log_id, one.leaf_index): one for one in recorded}

    def complete(self, log_id: UUID, size: int) -> bool:
        """Tell whether each of a log's first `size` entries has its stored view."""
        return self._rows.count(log_id, size) == size

    def _read(self, log_id: UUID, first: int, last: int) -> list[Folded]:
        found = self._rows.read(log_id, first, last)
        if len(found) != last - first:
            raise VerificationError(f"views of the log {log_id} are missing between entries {first} and {last - 1}")
        return [self._folded(one, None) for one in found]

    def _make(self, log_id: UUID, first: int, last: int) -> list[Folded]:
        slot = self._ledger.log(log_id).slot
        found: list[Folded] = []
        for recorded in self._events(log_id, first, last):
            at = recorded.leaf_index
            kept = self._rows.read(log_id, at, at + 1) if isinstance(recorded.event, Sealed) else []
            folded = self._folded(kept[0], recorded) if kept else _made(recorded, slot)
            found.append(folded)
            sealed = self._cipher(log_id).seal(_context(log_id, at, recorded.leaf_hash), folded.data)
            self._made.append(SealedView(log_id, at, sealed))
        return found

    def _events(self, log_id: UUID, first: int, last: int) -> Iterable[Recorded]:
        known = [self._known.pop((log_id, index), None) for index in range(first, last)] if self._known else []
        whole = [one for one in known if one is not None]
        return whole if whole and len(whole) == last - first else self._ledger.newly(log_id, first, last)

    def _folded(self, one: SealedView, recorded: Recorded | None) -> Folded:
        context = _context(one.log_id, one.leaf_index, one.leaf_hash)
        data = self._cipher(one.log_id).open(context, one.sealed)
        return Folded(orjson.loads(data), recorded, data, one.leaf_hash)

    def _cipher(self, log_id: UUID) -> AtRest:
        cipher = self._ciphers.get(log_id)
        if cipher is None:
            key = hmac.digest(self._secret, _KEY + log_id.bytes, hashlib.sha256)
            cipher = self._ciphers[log_id] = AtRest([DataKey(0, key)], self._ledger.entropy)
        return cipher


def _context(log_id: UUID, leaf_index: int, leaf_hash: bytes) -> bytes:
    return _CONTEXT + log_id.bytes + struct.pack(">Q", leaf_index) + leaf_hash


def _made(recorded: Recorded, slot: int) -> Folded:
    view = kept_view(recorded, slot)
    return Folded(view, recorded, encode_json(view), recorded.leaf_hash)
