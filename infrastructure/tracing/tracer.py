"""Follows the feed for the rounds: what was committed since the round before, and the state that closes the next one.

Invariants:
- A round's trace covers whole transactions: all that is visible when it is made, from where the round before ended.
- The closing state is the one that the last batch left. Inputs after it are traced, and folded before the next batch.
- Memory holds hashes of what is not traced yet, never views; the state is kept at each round, and gone on from.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

from domain.canonical import canonical
from domain.identifiers import PLATFORM_SLOT
from domain.transparency.anchors import slot_key
from domain.transparency.traces import (
    CLOSING_LEAF,
    Kind,
    TraceTree,
    cell_key,
    entry_salt,
    order_salt,
    order_value,
    padding_seed,
    root_of_cells,
    trace_value,
)
from infrastructure.commands.loading import load_genesis
from infrastructure.engine_digest import engine_digest
from infrastructure.ledger import Ledger
from infrastructure.postgres.feed import Feed
from infrastructure.redeciding.checkpoints import DECIDER, ROUNDS, StateStore
from infrastructure.redeciding.replay import Kept, Replay
from infrastructure.stored_views import StoredViews
from infrastructure.tracing.covers import Trace

_PAGE = 500


class Entry(NamedTuple):
    """What is traced of an entry: where it lies, its leaf hash and its view's (32 bytes each)."""

    position: int
    slot: int
    leaf_hash: bytes
    view_digest: bytes
    kind: Kind


class TraceKeys:
    """The keys that a cell's traces are made with, derived from the anchor secret (32 bytes)."""

    def __init__(self, anchor_secret: bytes, cell: int) -> None:
        self._secret = anchor_secret
        self._cell = cell_key(anchor_secret, cell)
        self._slots: dict[int, bytes] = {}

    def order_salt(self, round_index: int, place: int) -> bytes:
        """Return the salt of a place."""
        return order_salt(self._cell, round_index, place)

    def entry_salt(self, round_index: int, slot: int, leaf_hash: bytes) -> bytes:
        """Return the salt of an entry."""
        key = self._slots.get(slot)
        if key is None:
            key = self._slots[slot] = slot_key(self._secret, slot)
        return entry_salt(key, round_index, leaf_hash)

    def padding_seed(self, round_index: int) -> bytes:
        """Return what a round's padding follows from."""
        return padding_seed(self._cell, round_index)

    def value(self, round_index: int, place: int, entry: Entry) -> bytes:
        """Return `t` of an entry."""
        order = order_value(self.order_salt(round_index, place), round_index, place)
        salt = self.entry_salt(round_index, entry.slot, entry.leaf_hash)
        return trace_value(salt, entry.kind, entry.leaf_hash, entry.view_digest, order)

    def tree(self, round_index: int, entries: Sequence[Entry]) -> TraceTree:
        """Return the trace of a round; its closing state is the last of the entries."""
        values = [self.value(round_index, place, entry) for place, entry in enumerate(entries)]
        return TraceTree(values, self.padding_seed(round_index))

    def __repr__(self) -> str:
        return "TraceKeys(redacted)"


def closing(position: int, digest: bytes) -> Entry:
    """Return what is traced of the state (its digest, 32 bytes) that closes a round."""
    return Entry(position, PLATFORM_SLOT, CLOSING_LEAF, sha256(digest).digest(), Kind.CLOSING)


def packed(bits: Sequence[bool]) -> bytes:
    """Return bits as bytes, highest first; the last byte is filled with zeros."""
    number = int("".join("01"[bit] for bit in bits) or "0", 2) << (-len(bits) % 8)
    return number.to_bytes((len(bits) + 7) // 8)


def cell_trace_keys(ledger: Ledger) -> TraceKeys:
    """Return a cell's keys of traces.

    Raises:
        RefusedError: before genesis.
    """
    return TraceKeys(ledger.keyring.platform_secrets().anchor, load_genesis(ledger).cell)


class Tracer:
    """What of a cell is not traced yet.

    Args:
        ledger: the cell.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._feed = Feed(ledger.datastore)
        self._views = StoredViews(ledger)
        self._states = StateStore(ledger)
        self._keys = cell_trace_keys(ledger)
        self._replay: Replay | None = None
        self._from, self._position = 0, 0
        self._entries: list[Entry] = []
        self._closing: tuple[int, bytes, Kept] | None = None

    def follow(self, traced: int) -> None:
        """Take in everything that was committed.

        Args:
            traced: up to which position of the feed the rounds before reach.

        Raises:
            VerificationError: when stored decisions are not those that this engine makes, or a view is damaged.
        """
        try:
            self._follow(traced)
        except BaseException:
            self._replay = None  # from the start the next time
            raise

    def trace(self, round_index: int, traced: int) -> tuple[bytes, Trace] | None:
        """Return the trace root of a round over what was taken in, and what it covers.

        None where not all that follows the rounds before was taken in: others made rounds, or a backup was restored.

        Args:
            round_index: the round.
            traced: up to which position the rounds before reach.
        """
        if not self._from <= traced <= self._position:
            return None
        self._entries = [entry for entry in self._entries if entry.position > traced]
        digest = self._closed()[1]
        tree = self._keys.tree(round_index, [*self._entries, closing(self._position, digest)])
        decided = packed([entry.kind is Kind.DECISION for entry in self._entries])
        return root_of_cells([tree.root]), Trace(self._position, decided, digest)

    def keep(self) -> None:
        """Keep the state of the round that was made, for whoever makes the next one."""
        self._from, self._entries = self._position, []
        kept = self._closed()[2]
        if kept.batches:
            self._states.put(ROUNDS, kept)

    def _follow(self, traced: int) -> None:
        if self._replay is None or traced < self._from:
            self._begin(traced)
        replay = self._replay
        assert replay is not None  # noqa: S101 - it has just begun
        taken: list[tuple[int, int, bytes, bytes]] = []
        while True:
            rows = self._feed.read_feed(self._position, _PAGE)
            for row, folded in self._views.follow(rows):
                for one in folded:
                    replay.take(row.position, one.view, returned=row.returned)
                    taken.append((row.position, one.view["slot"], one.leaf_hash, sha256(one.data).digest()))
                self._position = row.position
            if len(rows) < _PAGE:
                break
        replay.finish()
        self._views.flush()
        kinds = replay.drain()
        self._entries += [
            Entry(*one, kind) for one, kind in zip(taken, kinds, strict=True) if one[0] > traced
        ]  # fmt: skip

    def _begin(self, traced: int) -> None:
        self._views = StoredViews(self._ledger)
        engine, last = engine_digest(), self._views.stored
        known = [self._states.get(name, engine, last_position=min(last, traced)) for name in (DECIDER, ROUNDS)]
        kept = max((one for one in known if one is not None), key=lambda one: one.position, default=None)
        self._replay = Replay(engine) if kept is None else Replay.resume(kept)
        self._from = self._position = self._replay.position
        self._entries, self._closing = [], None

    def _closed(self) -> tuple[int, bytes, Kept]:
        assert self._replay is not None  # noqa: S101 - something was followed
        if self._closing is None or self._closing[0] != self._replay.batches:
            kept = self._replay.keep()
            self._closing = (self._replay.batches, sha256(canonical(kept.dump)).digest(), kept)
        return self._closing
