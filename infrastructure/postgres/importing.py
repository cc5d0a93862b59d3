"""Lays entries at exact leaf indices, over several logs, in one transaction: lost ones, and the one of a rotation.

Invariants:
- Everything or nothing; the caller compares heads with what is signed before the transaction commits.
- The order of locks is the append's: heads by log id, the feed's counter last, held for the length of the commit.
- The feed's new rows are in the order in which entries were added: a run of one log's entries is one row.
- The heads are locked from the start: nobody appends between what the caller reads and what it adds. A frozen log takes
  an import only from whoever thaws it, and stays frozen until that is done.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from eventsourcing.persistence import IntegrityError
from psycopg import Connection
from psycopg.rows import DictRow, TupleRow, tuple_row

from domain.errors import ConflictError, UnknownError
from domain.transparency.frontier import Frontier
from domain.transparency.hashing import leaf_hash
from infrastructure.postgres.arrays import bigints, byteas, texts, uuids
from infrastructure.postgres.batch import stream_of
from infrastructure.postgres.datastore import LedgerDatastore
from infrastructure.postgres.publication import KeyNoteRow
from infrastructure.postgres.queries import load
from infrastructure.postgres.reading import translated
from infrastructure.postgres.records import CommandRecord, FrozenLogError, LoggedEvent, Payload

_QUERIES = load("import.sql")
_APPEND = load("append.sql")
_FEED_PAGE = 10_000


class Import:
    """One import under way. Made by `importing`."""

    def __init__(
        self, connection: Connection[DictRow], heads: Mapping[UUID, Frontier], *, returning: bool = False
    ) -> None:
        self._connection = connection
        self._returning = returning
        self._runs: list[tuple[UUID, int, int]] = []
        self.heads = dict(heads)

    def add(self, log_id: UUID, events: Sequence[LoggedEvent]) -> None:
        """Lay entries of one log behind those that it has.

        Raises:
            ConflictError: when a stream has an event of that version already.
        """
        head = self.heads[log_id]
        hashes = [leaf_hash(event.state) for event in events]
        columns = {
            "log_id": log_id,
            "stream_ids": uuids([stream_of(event) for event in events]),
            "versions": bigints([event.originator_version for event in events]),
            "topics": texts([event.topic for event in events]),
            "states": byteas([event.state for event in events]),
            "leaf_indices": bigints(range(head.size, head.size + len(events))),
            "leaf_hashes": byteas(hashes),
        }
        self._execute("insert_events", columns)
        self.heads[log_id] = head.extend(hashes)
        if self._runs and self._runs[-1][0] == log_id:
            _, first, count = self._runs.pop()
            self._runs.append((log_id, first, count + len(events)))
        else:
            self._runs.append((log_id, head.size, len(events)))

    def add_commands(self, commands: Sequence[CommandRecord]) -> None:
        """Keep commands that were carried out; one that is known keeps its first answer."""
        columns = {
            "log_ids": uuids([one.log_id for one in commands]),
            "issuers": texts([one.issuer for one in commands]),
            "command_ids": texts([one.command_id for one in commands]),
            "digests": byteas([one.digest for one in commands]),
            "answers": byteas([one.answer for one in commands]),
        }
        self._execute("insert_commands", columns)

    def add_payloads(self, payloads: Iterable[Payload]) -> None:
        """Keep sealed payloads, one after the other."""
        for one in payloads:
            columns = {
                "log_ids": uuids([one.log_id]), "digests": byteas([one.digest]), "sealed": byteas([one.sealed]),
            }  # fmt: skip
            self._execute("insert_payloads", columns)

    def add_key_note(self, log_id: UUID, row: KeyNoteRow) -> None:
        """Keep a note about a log's keys."""
        values = {"log_id": log_id, "generation": row.generation, "from_size": row.from_size, "note": row.note}
        self._execute("insert_key_note", values)

    def finish(self) -> None:
        """Move the heads and write the feed's rows."""
        for log_id in sorted({log_id for log_id, _, _ in self._runs}):
            head = self.heads[log_id]
            values = {"log_id": log_id, "tree_size": head.size, "frontier": head.to_bytes()}
            self._execute("update_head", values)
        if not self._runs:
            return
        counted = {"rows": len(self._runs), "events": sum(count for _, _, count in self._runs)}
        cursor = self._connection.cursor(row_factory=tuple_row)
        row = cursor.execute(_QUERIES["take_positions"], counted).fetchone()
        assert row is not None  # noqa: S101 - the table has one row, which cannot be removed
        position, notification_id = row
        if self._returning:
            self._execute("note_returned", {"first": position + 1, "last": position + len(self._runs)})
        for at in range(0, len(self._runs), _FEED_PAGE):
            page = self._runs[at : at + _FEED_PAGE]
            ids: list[int] = []
            for _, _, count in page:
                ids.append(notification_id + 1)
                notification_id += count
            columns = {
                "positions": bigints(range(position + at + 1, position + at + 1 + len(page))),
                "log_ids": uuids([log_id for log_id, _, _ in page]),
                "first_indices": bigints([first for _, first, _ in page]),
                "counts": bigints([count for _, _, count in page]),
                "ids": bigints(ids),
            }
            self._execute("insert_feed", columns)
        self._connection.execute(_APPEND["notify"])

    def _execute(self, name: str, values: Mapping[str, Any]) -> None:
        self._connection.execute(_QUERIES[name], values, prepare=True)


@contextmanager
def importing(datastore: LedgerDatastore, log_ids: Iterable[UUID], *, thawing: bool = False) -> Iterator[Import]:
    """Import while in the block; commit at its end, or nothing where it raises.

    Args:
        datastore: connections to the ledger's database.
        log_ids: of the logs that take entries. Others wait for them meanwhile, 10 s at most.
        thawing: these logs are frozen, and take the import all the same.

    Raises:
        FrozenLogError: when one is frozen, unless it is being thawed.
        UnknownError: when there is no such log.
        ConflictError: when a stream has an event of a version already.
        UnavailableError: when the database does not answer.
    """
    try:
        with translated(), datastore.appends.get_connection() as connection, connection.transaction():
            found = Import(connection, _locked(connection, sorted(log_ids), thawing=thawing), returning=thawing)
            yield found
            found.finish()
    except IntegrityError:
        raise ConflictError(
            "the database has one of these entries, or one of its stream and version, already"
        ) from None


def _locked(connection: Connection[DictRow], log_ids: Sequence[UUID], *, thawing: bool) -> dict[UUID, Frontier]:
    cursor = connection.cursor(row_factory=tuple_row, binary=True)
    rows: list[TupleRow] = cursor.execute(_QUERIES["lock_heads"], {"log_ids": uuids(log_ids)}).fetchall()
    if len(rows) < len(log_ids):
        raise UnknownError("there is no such log")
    for _, _, _, frozen in rows:
        if frozen is not None and not thawing:
            raise FrozenLogError(frozen)
    return {log_id: Frontier.from_bytes(size, bytes(frontier)) for log_id, size, frontier, _ in rows}
