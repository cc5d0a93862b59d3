"""Replay: folds a log's history again, from a bundle or from the database, at any size or time.

Invariants:
- One fold for both sources and for the live read models, so the digests are the same or something is wrong.
- Only what the log's own entries say enters.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from domain.canonical import canonical
from domain.errors import MalformedError, VerificationError
from domain.hashing import sha256_hex
from domain.message import Recorded
from infrastructure.audit.disclosure import read_keys
from infrastructure.audit.opening import opened_entries
from infrastructure.ledger import Ledger
from infrastructure.tlog.reader import read_checkpoint, read_entries
from projections import audit_trail, directory, isolation

PROJECTIONS = {
    audit_trail.NAME: audit_trail.project,
    directory.NAME: directory.project,
    isolation.NAME: isolation.project,
}
"""The read models of one log, by stored name."""

Row = dict[str, Any]
Rows = dict[str, Row]


@dataclass(frozen=True, slots=True)
class Replay:
    """A history folded up to a size: state digest, how many events, of which topics, and the rows themselves."""

    origin: str
    size: int
    at_ms: int
    digest: str
    topics: Mapping[str, int]
    rows: Mapping[str, Rows]


def replay_bundle(path: Path, *, size: int | None = None, at_ms: int | None = None) -> Replay:
    """Replay a bundle that came with its keys.

    Args:
        path: the bundle. Verify it first: replay believes what it reads.
        size: up to how many entries; None for all.
        at_ms: up to which instant; None for all.

    Raises:
        MalformedError: when keys.json is missing, or size is larger than the bundle.
        VerificationError: when an entry does not open.
    """
    checkpoint = read_checkpoint(path)
    origin, keys = read_keys(path)
    if origin != checkpoint.origin:
        raise VerificationError("keys.json belongs to another log")
    history = []
    for index, recorded in enumerate(opened_entries(read_entries(path), keys, origin)):
        if recorded is None:
            raise MalformedError(f"the key of entry {index}'s stream was not disclosed; export with --with-keys all")
        history.append(recorded)
    return replay(origin, history, checkpoint.size, size=size, at_ms=at_ms)


def replay_log(ledger: Ledger, log_id: UUID, *, size: int | None = None, at_ms: int | None = None) -> Replay:
    """Replay a log from the database. Arguments and errors as for `replay_bundle`."""
    head = ledger.head(log_id).size
    return replay(ledger.log(log_id).origin, ledger.history(log_id, size=head), head, size=size, at_ms=at_ms)


def replay(
    origin: str, history: Iterable[Recorded], head: int, *, size: int | None = None, at_ms: int | None = None
) -> Replay:
    """Fold a history up to a size or an instant.

    Raises:
        MalformedError: when the log is not that long.
    """
    if size is not None and not 0 <= size <= head:
        raise MalformedError(f"size {size} is not in 0..{head}")
    end = head if size is None else size
    rows: dict[str, Rows] = {name: {} for name in PROJECTIONS}
    topics: Counter[str] = Counter()
    count, last_ms = 0, 0
    for recorded in history:
        if count >= end or (at_ms is not None and recorded.at_ms > at_ms):
            break
        for name, project in PROJECTIONS.items():
            rows[name].update(project(rows[name], recorded))
        topics[recorded.event.TOPIC] += 1
        count, last_ms = count + 1, recorded.at_ms
    return Replay(origin, count, last_ms, state_digest(rows), dict(sorted(topics.items())), rows)


def state_digest(rows: Mapping[str, Mapping[str, Row]]) -> str:
    """Return H(JCS of all rows by projection and key)."""
    return sha256_hex(canonical({name: dict(rows[name]) for name in sorted(rows)}))
