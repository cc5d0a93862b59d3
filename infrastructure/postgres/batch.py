"""One append, prepared and placed: the pure part of the recorder.

Invariants:
- Logs are taken in order of their ids, and events of one log keep the order in which they were given.
- Leaf indices follow the head without a hole; the frontier is extended by exactly these leaves.
- Places are answered in the order of the events given, whatever order they were written in.
- What an event follows is in the batch before it, or must be found stored: a stream has no gap.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from typing import Any, NamedTuple
from uuid import UUID

from eventsourcing.persistence import StoredEvent

from domain.errors import ConflictError
from domain.transparency.frontier import Frontier
from domain.transparency.hashing import leaf_hash
from infrastructure.postgres.arrays import UuidArray, bigints, byteas, runs, texts, uuids
from infrastructure.postgres.records import DEFAULT_LOG, Appended, CommandRecord, Guard, LoggedEvent, Payload

_NUMBER = attrgetter("int")
"""Orders UUIDs as they order themselves, without a call of Python for each comparison."""


def log_of(event: StoredEvent) -> UUID:
    """Return the log that an event belongs to."""
    return event.log_id if isinstance(event, LoggedEvent) else DEFAULT_LOG


def stream_of(event: StoredEvent) -> UUID:
    """Return the stream's id; the library allows text, the ledger does not."""
    stream = event.originator_id
    return stream if isinstance(stream, UUID) else UUID(stream)


class Part(NamedTuple):
    """A batch's events for one log: their places among the events given, and their leaf hashes."""

    log_id: UUID
    places: tuple[int, ...]
    leaf_hashes: tuple[bytes, ...]


class Batch(NamedTuple):
    """What one transaction writes.

    Attributes:
        answers: the id of the command that each event answers, empty for none.
        guards: streams that must not have moved on.
        follows: what must be stored already, for these events follow it [a restored backup may lack it].
    """

    events: tuple[StoredEvent, ...]
    answers: tuple[str, ...]
    commands: tuple[CommandRecord, ...]
    payloads: tuple[Payload, ...]
    parts: tuple[Part, ...]
    guards: tuple[Guard, ...] = ()
    follows: tuple[Guard, ...] = ()

    @property
    def log_ids(self) -> list[UUID]:
        """The logs that get leaves, in order: their heads are locked.

        Commands and payloads of other logs need no lock, their keys decide; and between logs there is no order that a
        guard could hold, beyond what was committed before.
        """
        return [part.log_id for part in self.parts]

    @property
    def empty(self) -> bool:
        """Tell whether there is nothing to write."""
        return not (self.events or self.commands or self.payloads)

    def keys(self) -> set[object]:
        """Return what must not stand twice in one transaction: stream versions and commands."""
        versions = {(log_of(event), stream_of(event), event.originator_version) for event in self.events}
        return versions | {(one.log_id, one.issuer, one.command_id) for one in self.commands}

    def guarded(self) -> set[object]:
        """Return the stream versions that must not be written before this: those after the guarded ones."""
        return {(one.log_id, one.stream_id, one.version + 1) for one in self.guards}

    def guard_columns(self) -> dict[str, Any]:
        """Return the columns for `moved_on`."""
        found = self.guards + self.follows
        return {
            "log_ids": uuids([one.log_id for one in found]),
            "stream_ids": uuids([one.stream_id for one in found]),
            "versions": bigints([one.version for one in found]),
            "guards": len(self.guards),
        }

    def log_ids_column(self) -> UuidArray:
        """Return `log_ids` as a column."""
        return uuids(self.log_ids)

    def command_columns(self) -> dict[str, Any]:
        """Return the columns for `insert_commands`."""
        return {
            "log_ids": uuids([one.log_id for one in self.commands]),
            "issuers": texts([one.issuer for one in self.commands]),
            "command_ids": texts([one.command_id for one in self.commands]),
            "digests": byteas([one.digest for one in self.commands]),
            "answers": byteas([one.answer for one in self.commands]),
        }

    def payload_columns(self) -> dict[str, Any]:
        """Return the columns for `insert_payloads`."""
        return {
            "log_ids": uuids([one.log_id for one in self.payloads]),
            "digests": byteas([one.digest for one in self.payloads]),
            "sealed": byteas([one.sealed for one in self.payloads]),
        }

    def in_order(self) -> list[StoredEvent]:
        """Return the events in the order of the parts, in which they are written."""
        return [self.events[place] for part in self.parts for place in part.places]

    def key_columns(self) -> dict[str, Any]:
        """Return the columns for `stored_as`, in the order of the parts."""
        order = self.in_order()
        return {
            "log_ids": runs((part.log_id, len(part.places)) for part in self.parts),
            "stream_ids": uuids([stream_of(event) for event in order]),
            "versions": bigints([event.originator_version for event in order]),
            "leaf_hashes": byteas([digest for part in self.parts for digest in part.leaf_hashes]),
        }


def prepare(
    events: Sequence[StoredEvent],
    commands: Sequence[CommandRecord],
    payloads: Sequence[Payload],
    guards: Sequence[Guard] = (),
    *,
    answers: str = "",
    dense: bool = False,
) -> Batch:
    """Sort a batch by log and hash its leaves. Done before any lock is taken.

    Args:
        events: of any logs, in the order in which each log shall hold them.
        commands: that are carried out with them, and names that are taken.
        payloads: that the events name.
        guards: streams that must not have moved on.
        answers: the id of the command that the events answer; empty for none.
        dense: whether each event must follow the one before it in its stream, from version 0 on.

    Raises:
        ConflictError: when one command stands in it twice.
    """
    if len({(one.log_id, one.issuer, one.command_id) for one in commands}) < len(commands):
        raise ConflictError("one command stands twice in a batch")
    places: dict[UUID, list[int]] = {}
    hashes: dict[UUID, list[bytes]] = {}
    for place, event in enumerate(events):
        log_id = log_of(event)
        places.setdefault(log_id, []).append(place)
        hashes.setdefault(log_id, []).append(leaf_hash(event.state))
    told = (answers,) * len(events)
    follows = _followed(events) if dense else ()
    parts = _parts(places, hashes)
    return Batch(tuple(events), told, _in_order(commands), tuple(payloads), parts, tuple(guards), follows)


def _followed(events: Sequence[StoredEvent]) -> tuple[Guard, ...]:
    """Return what these events follow, but for what stands before them among themselves."""
    found = []
    last: dict[tuple[UUID, UUID], int] = {}
    for event in events:
        key, version = (log_of(event), stream_of(event)), event.originator_version
        if version and last.get(key) != version - 1:
            found.append(Guard(*key, version - 1))
        last[key] = version
    return tuple(found)


def _parts(places: Mapping[UUID, list[int]], hashes: Mapping[UUID, list[bytes]]) -> tuple[Part, ...]:
    """Return the parts in order of their logs."""
    in_order = sorted(places, key=_NUMBER) if len(places) > 1 else places
    return tuple([Part(log_id, tuple(places[log_id]), tuple(hashes[log_id])) for log_id in in_order])


def _in_order(commands: Iterable[CommandRecord]) -> tuple[CommandRecord, ...]:
    """Return commands in the order of their keys, so that two transactions never wait for each other in a ring."""
    return tuple(sorted(commands, key=lambda one: (one.log_id.int, one.issuer, one.command_id)))


def merge(batches: Sequence[Batch]) -> Batch:
    """Return one batch of all, in order; each keeps its events' places, shifted by those before it."""
    if len(batches) == 1:
        return batches[0]
    places: dict[UUID, list[int]] = {}
    hashes: dict[UUID, list[bytes]] = {}
    before = 0
    for batch in batches:
        for part in batch.parts:
            places.setdefault(part.log_id, []).extend(before + place for place in part.places)
            hashes.setdefault(part.log_id, []).extend(part.leaf_hashes)
        before += len(batch.events)
    return Batch(
        tuple(chain.from_iterable([batch.events for batch in batches])),
        tuple(chain.from_iterable([batch.answers for batch in batches])),
        _in_order(chain.from_iterable([batch.commands for batch in batches])),
        tuple(chain.from_iterable([batch.payloads for batch in batches])),
        _parts(places, hashes),
        tuple(chain.from_iterable([batch.guards for batch in batches])),
        _left_to_follow(batches),
    )


def _left_to_follow(batches: Sequence[Batch]) -> tuple[Guard, ...]:
    """Return what is to be found stored for all of them: none that one writes for those after it."""
    if not any(batch.follows for batch in batches):
        return ()
    found: list[Guard] = []
    written: set[tuple[UUID, UUID, int]] = set()
    for batch in batches:
        found.extend([one for one in batch.follows if (one.log_id, one.stream_id, one.version) not in written])
        written.update([(log_of(one), stream_of(one), one.originator_version) for one in batch.events])
    return tuple(found)


@dataclass(frozen=True)
class Placement:
    """A batch on top of the heads that were found under lock."""

    batch: Batch
    heads: Mapping[UUID, Frontier]

    def firsts(self) -> dict[UUID, int]:
        """Return the first leaf index of each log's part."""
        return {part.log_id: self.heads[part.log_id].size for part in self.batch.parts}

    def event_columns(self) -> dict[str, Any]:
        """Return the columns for `insert_events`."""
        batch = self.batch
        order = batch.in_order()
        firsts = [(self.heads[part.log_id].size, len(part.places)) for part in batch.parts]
        return batch.key_columns() | {
            "topics": texts([event.topic for event in order]),
            "states": byteas([event.state for event in order]),
            "leaf_indices": bigints([index for first, count in firsts for index in range(first, first + count)]),
        }

    def head_columns(self) -> dict[str, Any]:
        """Return the columns for `update_heads`."""
        grown = [self.heads[part.log_id].extend(part.leaf_hashes) for part in self.batch.parts]
        return {
            "log_ids": uuids([part.log_id for part in self.batch.parts]),
            "tree_sizes": bigints([head.size for head in grown]),
            "frontiers": byteas([head.to_bytes() for head in grown]),
        }

    def feed_columns(self) -> dict[str, Any]:
        """Return the columns for `insert_feed`."""
        counts = [len(part.places) for part in self.batch.parts]
        return {
            "log_ids": uuids([part.log_id for part in self.batch.parts]),
            "first_indices": bigints([self.heads[part.log_id].size for part in self.batch.parts]),
            "counts": bigints(counts),
            "befores": bigints([sum(counts[:place]) for place in range(len(counts))]),
            "events": len(self.batch.events),
        }

    def appended(self, first_notification_id: int) -> list[Appended]:
        """Return each event's place, in the order of the events given."""
        found: dict[int, Appended] = {}
        for part in self.batch.parts:
            first = self.heads[part.log_id].size
            size = first + len(part.places)
            for offset, (place, digest) in enumerate(zip(part.places, part.leaf_hashes, strict=True)):
                notification_id = first_notification_id + len(found)
                found[place] = Appended(part.log_id, first + offset, digest, size, notification_id)
        return [found[place] for place in range(len(found))]
