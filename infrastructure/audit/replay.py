"""Replay: folds a log's history again, from a bundle or from the database, at any size or time.

Invariants:
- One fold for both sources and for the live read models, so the digests are the same or something is wrong.
- Only what the log's own entries say enters.
- Entries stream through, so memory grows with the rows only.
- "At an instant" means the longest prefix that ends with an entry recorded at or before that instant. Several processes
  write one log, each by its own clock, so recorded instants may fall by some milliseconds along the leaves; a prefix is
  what checkpoints, sizes and digests are of, so nothing is left out of the middle of one.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

from domain.canonical import canonical
from domain.errors import ErasedError, MalformedError, VerificationError
from domain.hashing import sha256_hex
from domain.message import Recorded
from infrastructure.audit.disclosure import read_keys
from infrastructure.audit.opening import opened_entries
from infrastructure.keys.stream_keys import StreamKey
from infrastructure.ledger import Ledger
from infrastructure.tlog.reader import read_checkpoint, read_entries
from projections import audit_trail, directory, disputes, involved, isolation, results, usage, waiting

PROJECTIONS = {
    audit_trail.NAME: audit_trail.project,
    directory.NAME: directory.project,
    disputes.NAME: disputes.project,
    involved.NAME: involved.project,
    isolation.NAME: isolation.project,
    results.NAME: results.project,
    usage.NAME: usage.project,
    waiting.NAME: waiting.project,
}
"""The read models of one log, by stored name."""

Row = dict[str, Any]
Rows = dict[str, Row]


@dataclass(frozen=True, slots=True)
class Replay:
    """A history folded up to a size: state digest, how many events, of which topics, and the rows themselves.

    `at_ms` is the recorded instant of the last entry folded.
    """

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
        at_ms: up to which instant (see above); None for all. With both, of the first `size` entries.

    Raises:
        MalformedError: when a key is missing that the history takes, or size is larger than the bundle.
        VerificationError: when an entry does not open.
    """
    checkpoint = read_checkpoint(path)
    origin, keys = read_keys(path)
    if origin != checkpoint.origin:
        raise VerificationError("keys.json belongs to another log")
    return replay(origin, lambda: _opened(path, keys, origin), checkpoint.size, size=size, at_ms=at_ms)


def replay_log(ledger: Ledger, log_id: UUID, *, size: int | None = None, at_ms: int | None = None) -> Replay:
    """Replay a log from the database. Arguments and errors as for `replay_bundle`.

    Raises:
        ErasedError: when the log's data key was destroyed.
    """
    if ledger.erased(log_id):
        raise ErasedError
    head = ledger.head(log_id).size
    return replay(ledger.log(log_id).origin, lambda: ledger.history(log_id, size=head), head, size=size, at_ms=at_ms)


def replay(
    origin: str,
    history: Callable[[], Iterable[Recorded]],
    head: int,
    *,
    size: int | None = None,
    at_ms: int | None = None,
) -> Replay:
    """Fold a history up to a size or an instant.

    Args:
        origin: the log's origin.
        history: gives the log's events from the first one on, each time that it is called.
        head: how many there are.
        size: as for `replay_bundle`.
        at_ms: as for `replay_bundle`.

    Raises:
        MalformedError: when the log is not that long.
        VerificationError: when an entry tells of what the entries before it don't know.
    """
    if size is not None and not 0 <= size <= head:
        raise MalformedError(f"size {size} is not in 0..{head}")
    end = head if size is None else size
    if at_ms is not None:
        end = _size_at(islice(history(), end), at_ms)
    rows: dict[str, Rows] = {name: {} for name in PROJECTIONS}
    topics: Counter[str] = Counter()
    last_ms = 0
    for recorded in islice(history(), end):
        try:
            for name, project in PROJECTIONS.items():
                rows[name].update(project(rows[name], recorded))
        except (LookupError, TypeError, ValueError):
            raise VerificationError(f"entry {recorded.leaf_index} does not follow from those before it") from None
        topics[recorded.event.TOPIC] += 1
        last_ms = recorded.at_ms
    return Replay(origin, end, last_ms, state_digest(rows), dict(sorted(topics.items())), rows)


def _size_at(history: Iterable[Recorded], at_ms: int) -> int:
    """Return the size of the longest prefix that ends with an entry recorded at or before an instant."""
    end = 0
    for count, recorded in enumerate(history, 1):
        if recorded.at_ms <= at_ms:
            end = count
    return end


def _opened(path: Path, keys: Mapping[bytes, StreamKey], origin: str) -> Iterator[Recorded]:
    for index, recorded in enumerate(opened_entries(read_entries(path), keys, origin)):
        if recorded is None:
            raise MalformedError(f"the key of entry {index}'s stream was not disclosed; export with --with-keys all")
        yield recorded


def state_digest(rows: Mapping[str, Mapping[str, Row]]) -> str:
    """Return H(JCS of all rows by projection and key)."""
    return sha256_hex(canonical({name: dict(rows[name]) for name in sorted(rows)}))
