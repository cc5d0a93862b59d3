"""What witnesses did, in PostgreSQL: the checkpoints that they cosigned, and what they hold against us.

Invariants:
- Cosigned checkpoints and disputes are only ever added. What a witness holds against us is kept once for each size, so
  a witness that repeats itself fills nothing.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from domain.transparency.checkpoint import Checkpoint
from domain.transparency.note import Note, parse_note
from infrastructure.postgres.datastore import LedgerDatastore
from infrastructure.postgres.queries import load
from infrastructure.postgres.reading import Reader, translated

_ANCHORS = load("anchors.sql")


class Found(StrEnum):
    """What a witness says against our log."""

    AHEAD = "ahead"
    DISAGREES = "disagrees"


@dataclass(frozen=True, slots=True)
class Dispute:
    """A witness's word against ours: the size that it saw, and the checkpoint of ours that it refused."""

    witness: str
    found: Found
    size: int
    note: bytes
    at_ms: int


@dataclass(frozen=True, slots=True)
class Standing:
    """A witness as of its last answer: the largest size it cosigned, when, and what kept it from cosigning since."""

    witness: str
    size: int
    at_ms: int
    trouble: str | None


@dataclass(frozen=True, slots=True)
class Cosigned:
    """A checkpoint of the anchor log with its cosignatures; `quorum` tells whether they were what was asked for."""

    note: Note
    quorum: bool

    @property
    def checkpoint(self) -> Checkpoint:
        """Return what the note says."""
        return Checkpoint.parse(self.note.text)


class WitnessRecords(Reader):
    """What the witnesses of one cell did.

    Args:
        datastore: connections to the cell's database.
    """

    def __init__(self, datastore: LedgerDatastore) -> None:
        super().__init__(datastore)

    def keep(self, cosigned: Cosigned, at_ms: int) -> None:
        """Keep a checkpoint with what it got; the same size again is kept where only now it has a quorum."""
        size, note = cosigned.checkpoint.size, cosigned.note.to_bytes()
        self._write("keep_checkpoint", size=size, note=note, quorum=cosigned.quorum, at_ms=at_ms)

    def newest(self) -> Cosigned | None:
        """Return the newest checkpoint that a quorum cosigned; the newest of all where none ever did."""
        for _size, note, quorum, _at_ms in self._anchors("newest_checkpoint"):
            return Cosigned(parse_note(bytes(note)), quorum)
        return None

    def dispute(self, dispute: Dispute) -> None:
        """Keep a witness's word against ours; the first for each size tells most, and stays."""
        self._write(
            "keep_dispute",
            witness=dispute.witness,
            found=dispute.found.value,
            size=dispute.size,
            note=dispute.note,
            at_ms=dispute.at_ms,
        )

    def disputes(self) -> tuple[Dispute, ...]:
        """Return what witnesses hold against us, oldest first."""
        rows = self._anchors("disputes")
        return tuple(Dispute(witness, Found(found), size, bytes(note), at) for witness, found, size, note, at in rows)

    def cosigned(self, witness: str, size: int, at_ms: int) -> None:
        """Note that a witness cosigned a size."""
        self._write("cosigned", witness=witness, size=size, at_ms=at_ms)

    def troubled(self, witness: str, trouble: str) -> None:
        """Note why a witness did not cosign."""
        self._write("troubled", witness=witness, trouble=trouble)

    def standings(self) -> dict[str, Standing]:
        """Return every witness that was ever asked, by name."""
        return {row[0]: Standing(*row) for row in self._anchors("witnesses")}

    def _anchors(self, name: str, **values: object) -> list[tuple[Any, ...]]:
        return self.run_query(_ANCHORS[name], values)

    def _write(self, name: str, **values: object) -> None:
        with translated(), self.datastore.transaction(commit=True) as cursor:
            cursor.execute(_ANCHORS[name], values)
