"""Reads of a database that may hold anything: bounded, raw, in pages, without a lock.

Invariants:
- Of logs that grow meanwhile only what lay below their pinned size is read: writers go on, and nothing is half seen.
- Pages are taken by key, never by a cursor: no snapshot is held, so vacuum is not kept waiting.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from infrastructure.postgres.arrays import byteas
from infrastructure.postgres.queries import load
from infrastructure.postgres.reading import Reader
from infrastructure.postgres.records import CommandRecord, Log

_QUERIES = load("fsck.sql")
_ROUNDS, _FEED, _TEXTS, _COMMANDS, _PAYLOADS = 1000, 5000, 1000, 500, 16
PAGE = 1024
"""Entries in a page: of the longest legal ones 64 MB."""

TOPIC_CHARACTERS = 200
"""Of a topic so much is read."""


@dataclass(frozen=True, slots=True)
class Pin:
    """A log as it is looked at: head (None where it has none), and the floor that the database says it holds."""

    log: Log
    size: int | None
    frontier: bytes
    published: tuple[int, bytes] | None


@dataclass(frozen=True, slots=True)
class Pins:
    """The state of a database that is looked at: its logs, the last of the feed, the number of rounds."""

    logs: tuple[Pin, ...]
    last_position: int = 0
    last_notification_id: int = 0
    rounds: int = 0


class Row(NamedTuple):
    """A row of `stored_events`; the state is None where it is longer than any entry."""

    leaf_index: int
    stream_id: UUID
    version: int
    topic: str
    length: int
    state: bytes | None
    leaf_hash: bytes


@dataclass(frozen=True, slots=True)
class FeedShare:
    """A row of `feed`."""

    position: int
    log_id: UUID
    first_index: int
    count: int
    first_notification_id: int


class Inspection(Reader):
    """Reads of one database for its check."""

    def pins(self) -> Pins:
        """Return what there is now."""
        rows = self._rows("pins")
        logs = tuple(
            Pin(
                Log(log_id, slot, origin),
                size,
                bytes(frontier or b""),
                None if root is None else (published, bytes(root)),
            )
            for log_id, slot, origin, size, frontier, published, root, *_ in rows
        )
        return Pins(logs, *rows[0][-3:]) if rows else Pins(())

    def pages(self, log_id: UUID, size: int) -> Iterator[list[Row]]:
        """Yield a log's rows below a size, by leaf index, a page at a time."""
        for first in range(0, size, PAGE):
            rows = self._rows("entries", log_id=log_id, first=first, last=min(first + PAGE, size))
            yield [
                Row(index, stream, version, topic, length, None if state is None else bytes(state), bytes(digest))
                for index, stream, version, topic, length, state, digest in rows
            ]

    def beyond(self, log_id: UUID) -> list[tuple[int, int]]:
        """Return leaf indices beyond a log's head, each with the head's size."""
        return [(index, size) for index, size in self._rows("beyond", log_id=log_id)]

    def disordered(self, log_id: UUID, size: int) -> list[tuple[UUID, int, int, int]]:
        """Return stream, version, leaf index and due version of rows that don't follow the one before."""
        return [(stream, *row) for stream, *row in self._rows("disordered", log_id=log_id, size=size)]

    def strangers(self) -> list[tuple[str, str]]:
        """Return table and log id of rows of no log."""
        return [(table, log_id) for table, log_id in self._rows("strangers")]

    def feed(self, last: int) -> Iterator[FeedShare]:
        """Yield the feed up to a position."""
        after = 0
        while rows := self._rows("feed", after=after, last=last, limit=_FEED):
            yield from (FeedShare(*row) for row in rows)
            after = rows[-1][0]

    def beyond_feed(self) -> list[int]:
        """Return positions that were not given out."""
        return [position for (position,) in self._rows("beyond_feed")]

    def payloads(self, log_id: UUID, most: int) -> Iterator[tuple[bytes, int, bytes | None]]:
        """Yield digest, length and bytes of a log's payloads; None where they are longer than `most`."""
        after = b""
        while rows := self._rows("payloads", log_id=log_id, after=after, most=most, limit=_PAYLOADS):
            yield from ((bytes(d), length, None if sealed is None else bytes(sealed)) for d, length, sealed in rows)
            after = bytes(rows[-1][0])

    def known_payloads(self, log_id: UUID, digests: list[bytes]) -> dict[bytes, int]:
        """Return which of some payloads there are, with their lengths."""
        return {bytes(d): n for d, n in self._rows("known_payloads", log_id=log_id, digests=byteas(digests))}

    def commands(self, log_id: UUID, most: int) -> Iterator[tuple[str, CommandRecord | None]]:
        """Yield a log's commands: what shows which one it is, and the record; None where it is longer than any is."""
        issuer = command_id = ""
        values = {"log_id": log_id, "most": most, "limit": _COMMANDS}
        while rows := self._rows("commands", issuer=issuer, command_id=command_id, **values):
            for issuer, command_id, digest, answer in rows:
                record = CommandRecord(log_id, issuer, command_id, bytes(digest), bytes(answer or b""))
                yield f"{issuer[:80]} {command_id[:80]}", None if answer is None else record

    def anchored(self, slot: int, rounds: int) -> Iterator[tuple[int, bytes]]:
        """Yield round and text of what a slot was committed to."""
        after = -1
        while rows := self._rows("anchored", slot=slot, after=after, rounds=rounds, limit=_TEXTS):
            yield from ((number, bytes(text)) for number, text in rows)
            after = rows[-1][0]

    def rounds(self, end: int) -> Iterator[tuple[int, bytes | None, bytes]]:
        """Yield number, entry and frontier of the rounds; no entry where it is longer than any is."""
        for first in range(0, end, _ROUNDS):
            for number, entry, frontier in self._rows("rounds", first=first, last=min(first + _ROUNDS, end)):
                yield number, None if entry is None else bytes(entry), bytes(frontier)

    def early_views(self, log_id: UUID) -> list[tuple[str, int, int]]:
        """Return read models, their positions and their log's size, where these lie beyond it."""
        return [(name, position, size) for name, position, size in self._rows("early_views", log_id=log_id)]

    def early_sealed_views(self, log_id: UUID) -> list[int]:
        """Return leaf indices beyond a log that have a view."""
        return [index for (index,) in self._rows("early_sealed_views", log_id=log_id)]

    def early_position(self) -> list[tuple[int, int]]:
        """Return the position of the scheduler's views and the feed's last, where it lies beyond."""
        return [(position, last) for position, last in self._rows("early_position")]

    def _rows(self, name: str, **values: object) -> list[tuple[Any, ...]]:
        return self.run_query(_QUERIES[name], values)
