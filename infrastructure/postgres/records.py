"""What the recorder takes and gives: plain values, and the two refusals that a caller must tell apart."""

import hashlib
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from eventsourcing.persistence import StoredEvent

from domain.errors import ConflictError, MalformedError, RefusedError

DEFAULT_LOG = UUID(int=0)
"""The log of stored events that name none. Like any other it must be made before anything is appended to it."""


@dataclass(frozen=True)
class LoggedEvent(StoredEvent):
    """A stored event and the log that it belongs to; `state` is the sealed entry, and so the leaf."""

    log_id: UUID


@dataclass(frozen=True)
class CommandRecord:
    """A command that was carried out: who gave it, its id, the digest of its body, and the answer it got."""

    log_id: UUID
    issuer: str
    command_id: str
    digest: bytes
    answer: bytes = field(repr=False)


@dataclass(frozen=True)
class Guard:
    """A stream that must not have moved on from a version when a batch is stored, though the batch doesn't write it."""

    log_id: UUID
    stream_id: UUID
    version: int


@dataclass(frozen=True)
class Payload:
    """Sealed bytes too large for an entry, under their SHA-256.

    Raises:
        MalformedError: when the digest is not theirs.
    """

    log_id: UUID
    digest: bytes
    sealed: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if hashlib.sha256(self.sealed).digest() != self.digest:
            raise MalformedError("a payload's digest is not the SHA-256 of its sealed bytes")


class Appended(NamedTuple):
    """Where an event came to lie. `tree_size` is the log's size after its whole batch; the ids of notifications are the
    cell's own affair and never leave it.
    """  # noqa: D205 - one sentence

    log_id: UUID
    leaf_index: int
    leaf_hash: bytes
    tree_size: int
    notification_id: int


@dataclass(frozen=True)
class StoredEntry:
    """An event as it is stored. In what a tenant reads the notification id, a number of the whole cell, stays 0."""

    log_id: UUID
    leaf_index: int
    stream_id: UUID
    version: int
    topic: str
    entry: bytes = field(repr=False)
    leaf_hash: bytes
    notification_id: int = 0


@dataclass(frozen=True)
class Log:
    """A log of this cell: its id, its slot (given once, never again) and the origin that names it to the world."""

    log_id: UUID
    slot: int
    origin: str


@dataclass(frozen=True)
class Stream:
    """A stream of a log and the version of its last event."""

    stream_id: UUID
    last_version: int


class CommandKnownError(ConflictError):
    """Commands of a batch were carried out before; nothing of the batch was written.

    Attributes:
        known: those commands as they are stored: answer from them, or refuse where the digest differs.
    """

    def __init__(self, known: tuple[CommandRecord, ...]) -> None:
        super().__init__("a command of this batch was carried out before")
        self.known = known


class MovedOnError(ConflictError):
    """What a batch was decided on has changed since; nothing of it was written. Read again and decide again."""

    def __init__(self) -> None:
        super().__init__("what this was decided on has changed: read again and repeat")


class StreamMovedError(ConflictError):
    """A stream has an event of that version already; nothing of the batch was written."""

    def __init__(self) -> None:
        super().__init__("something else was recorded first; read again and repeat")


class FencedError(ConflictError):
    """A newer decider is at work; nothing of this one's batch was written, and it must stop."""


class FrozenLogError(RefusedError):
    """The log's database and what was signed of it disagree: nothing is appended and nothing signed until it is thawed.

    The text names both trees and says what to do.
    """
