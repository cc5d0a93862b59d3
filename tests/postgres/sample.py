"""Events and logs for the tests of this folder."""

import os
from collections.abc import Sequence
from uuid import UUID, uuid4

from infrastructure.postgres.reading import Reader
from infrastructure.postgres.recorder import LedgerRecorder
from infrastructure.postgres.records import CommandRecord, LoggedEvent


def event(log_id: UUID, stream_id: UUID | None = None, version: int = 0, state: bytes | None = None) -> LoggedEvent:
    """Return an event with random content, as sealed ones have."""
    return LoggedEvent(
        stream_id or uuid4(), version, "sample.made.v1", os.urandom(40) if state is None else state, log_id
    )


def stream(log_id: UUID, count: int, stream_id: UUID | None = None) -> list[LoggedEvent]:
    """Return a stream's first events."""
    stream_id = stream_id or uuid4()
    return [event(log_id, stream_id, version) for version in range(count)]


def command(log_id: UUID, command_id: str = "c1", digest: bytes = b"d", answer: bytes = b"a") -> CommandRecord:
    return CommandRecord(log_id, "issuer", command_id, digest, answer)


def make_logs(recorder: LedgerRecorder, count: int) -> list[UUID]:
    """Make logs; return their ids in order."""
    log_ids = sorted(uuid4() for _ in range(count))
    for slot, log_id in enumerate(log_ids, 1):
        recorder.create_log(log_id, slot, f"ledger.example/t/{slot}")
    return log_ids


def assert_whole(reader: Reader, log_ids: Sequence[UUID]) -> None:
    """Check that each log is dense and is the tree that its head says."""
    for log_id in log_ids:
        entries = list(reader.every_entry(log_id))
        head = reader.head(log_id)
        assert [one.leaf_index for one in entries] == list(range(head.size))
        assert head == type(head).empty().extend(one.leaf_hash for one in entries)
