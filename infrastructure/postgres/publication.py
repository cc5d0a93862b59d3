"""What the database knows of publication: heads, frozen logs, the floors that it was found to hold, notes about keys.

Invariants:
- A frozen log takes no append of any process: its head's row says so, and every append locks that row.
- That a floor was found in this database is written after it was proved, so a restored older database doesn't say it.
"""

from dataclasses import dataclass
from uuid import UUID

from domain.errors import UnknownError
from domain.transparency.checkpoint import Checkpoint
from domain.transparency.frontier import Frontier
from infrastructure.postgres.arrays import byteas
from infrastructure.postgres.queries import load
from infrastructure.postgres.reading import Reader
from infrastructure.postgres.records import Log

_QUERIES = load("publication.sql")


@dataclass(frozen=True, slots=True)
class LogHead:
    """A log with its head; why it is frozen, or None; and the floor that its database was last found to hold."""

    log: Log
    frontier: Frontier
    frozen: str | None
    floor: Checkpoint | None

    @property
    def tree(self) -> Checkpoint:
        """Return the log's tree as the database has it."""
        return Checkpoint(self.log.origin, self.frontier.size, self.frontier.root())


@dataclass(frozen=True, slots=True)
class KeyNoteRow:
    """A signed note about a log's keys: their generation, and the size from which on they sign."""

    generation: int
    from_size: int
    note: bytes


class Publications(Reader):
    """Publication, as one database has it."""

    def log_heads(self) -> list[LogHead]:
        """Return all logs with their heads, by slot: one query."""
        return self._heads(None)

    def log_head(self, log_id: UUID) -> LogHead:
        """Return one log with its head.

        Raises:
            UnknownError: when there is no such log.
        """
        for head in self._heads(log_id):
            return head
        raise UnknownError("there is no such log")

    def freeze(self, log_id: UUID, reason: str) -> None:
        """Let a log take nothing more; the first reason stays."""
        self.run_query(_QUERIES["freeze"], {"log_id": log_id, "reason": reason})

    def thaw(self, log_id: UUID) -> None:
        """Let a log go on."""
        self.run_query(_QUERIES["thaw"], {"log_id": log_id})

    def close(self, log_id: UUID, size: int) -> bool:
        """Let a log take nothing more for good; return whether it is closed, which it is at this size only."""
        self.run_query(_QUERIES["close"], {"log_id": log_id, "size": size})
        return self.closed(log_id)

    def closed(self, log_id: UUID) -> bool:
        """Tell whether a log takes nothing more for good."""
        return bool(self.run_query(_QUERIES["closed"], {"log_id": log_id})[0][0])

    def found(self, log_id: UUID, floor: Checkpoint) -> None:
        """Remember that this database holds a floor's tree."""
        self.run_query(_QUERIES["publish"], {"log_id": log_id, "size": floor.size, "root": floor.root})

    def key_notes(self, log_id: UUID) -> list[KeyNoteRow]:
        """Return the notes about a log's keys, by generation; none where they were never rotated."""
        rows = self.run_query(_QUERIES["key_notes"], {"log_id": log_id})
        return [KeyNoteRow(generation, size, bytes(note)) for generation, size, note in rows]

    def unpublished_payloads(self, log_id: UUID) -> dict[bytes, bytes]:
        """Return some sealed payloads, by digest, that a log's published directory does not have yet."""
        rows = self.run_query(_QUERIES["unpublished_payloads"], {"log_id": log_id, "limit": 16})
        return {bytes(digest): bytes(sealed) for digest, sealed in rows}

    def payloads_published(self, log_id: UUID, digests: list[bytes]) -> None:
        """Forget that payloads had to be published: their files are durable."""
        self.run_query(_QUERIES["payloads_published"], {"log_id": log_id, "digests": byteas(digests)})

    def _heads(self, log_id: UUID | None) -> list[LogHead]:
        return [
            LogHead(
                Log(found_id, slot, origin),
                Frontier.from_bytes(size, bytes(frontier)),
                frozen,
                None if root is None else Checkpoint(origin, published, bytes(root)),
            )
            for found_id, slot, origin, size, frontier, frozen, published, root in self.run_query(
                _QUERIES["heads"], {"log_id": log_id}
            )
        ]
