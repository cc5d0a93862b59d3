"""Export of a log: a plain C2SP tile log, signed at its size, with what is needed to read it.

Invariants:
- Entries and streams are read as the log's own tenant: the database lets nothing of another log into a bundle.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from uuid import UUID

from domain.canonical import canonical
from domain.errors import MalformedError, UnknownError
from domain.hashing import sha256_hex
from domain.identifiers import stream_of
from domain.message import Pending
from domain.tenants.events import KeyDisclosed
from domain.time import SECOND_MS
from domain.transparency.checkpoint import Checkpoint
from infrastructure.audit.disclosure import KEYS, keys_pieces
from infrastructure.keys import ed25519
from infrastructure.keys.stream_keys import stream_key
from infrastructure.ledger import Ledger
from infrastructure.publish.logs import key_files, log_signer, publish_log
from infrastructure.statements.acknowledgement import KEY_FILE, ack_key_document
from infrastructure.tlog.bundle import check_free, write_bundle

__all__ = ["EVERYTHING", "export_bundle", "log_signer"]

EVERYTHING = "all"


def export_bundle(
    ledger: Ledger,
    log_id: UUID,
    out: Path,
    *,
    with_keys: str | None = None,
    recipient: str = "bundle",
    further: Iterable[tuple[str, bytes]] = (),
    progress: Callable[[int], None] | None = None,
) -> Checkpoint:
    """Write a log's bundle at its present size.

    Args:
        ledger: the ledger.
        log_id: whose log.
        out: a directory that is missing or empty.
        with_keys: "all", or the streams (or workload, execution and CAC ids) whose keys go along, comma-separated.
            The disclosure is recorded first, and is the last entry of what is exported, or near it. Keys make the
            bundle its owner's alone (0700, keys.json 0600).
        recipient: who gets the keys.
        further: more files of the bundle, such as openings; taken one after the other.
        progress: called with the number of entries done.

    Raises:
        UnknownError: when a stream is not of this log.
        MalformedError: when a log without entries is to be disclosed, or no stream is named.
        ConflictError: when `out` holds something.
        FrozenLogError: when the log is frozen, or has to be.
    """
    extra: dict[str, bytes | Iterable[bytes]] = {KEY_FILE: _acknowledgement_key(ledger, log_id)}
    if with_keys is not None:
        check_free(out)  # a disclosure that comes to nothing isn't recorded
        streams = _chosen(ledger, log_id, with_keys)
        _disclose(ledger, log_id, streams, everything=with_keys == EVERYTHING, recipient=recipient)
        extra[KEYS] = _keys(ledger, log_id, streams)
    tree = publish_log(ledger, ledger.log(log_id)).checkpoint  # nothing is signed that the floor doesn't know
    extra |= key_files(ledger, log_id, tree.size)
    return write_bundle(
        lambda first: _entries(ledger, log_id, first, tree.size),
        size=tree.size,
        signer=log_signer(ledger, log_id, tree.size),
        at_unix_s=ledger.clock.now_ms() // SECOND_MS,
        out=out,
        extra=chain(extra.items(), further),
        private=() if with_keys is None else (KEYS,),
        root=tree.root,
        progress=progress,
    )


def _entries(ledger: Ledger, log_id: UUID, first: int, size: int) -> Iterator[bytes]:
    for stored in ledger.as_tenant(log_id).every_entry(size, first=first):
        yield stored.entry


def _acknowledgement_key(ledger: Ledger, log_id: UUID) -> bytes:
    return ack_key_document(ed25519.public_bytes(ledger.keyring.get(log_id).acknowledgement_key()))


def _chosen(ledger: Ledger, log_id: UUID, with_keys: str) -> list[UUID]:
    if ledger.head(log_id).size == 0:
        raise MalformedError("the log has no entry yet: there is nothing to disclose")  # its first one must register it
    own = {stream.stream_id for stream in ledger.as_tenant(log_id).streams()}
    if with_keys == EVERYTHING:
        return sorted(own | {log_id})
    chosen = sorted({_stream(name.strip()) for name in with_keys.split(",") if name.strip()})
    if not chosen:
        raise MalformedError("name at least one stream, or all")
    if not set(chosen) <= own:
        raise UnknownError("this log has no such stream")
    return chosen


def _stream(name: str) -> UUID:
    if "-0x" in name:
        return stream_of(name)
    try:
        return UUID(name)
    except ValueError:
        raise MalformedError("a stream is a UUID or a wl-0x, exec-0x or cac-0x id") from None


def _disclose(ledger: Ledger, log_id: UUID, streams: Sequence[UUID], *, everything: bool, recipient: str) -> None:
    own = ledger.stream(log_id, log_id)
    event = KeyDisclosed(
        streams=len(streams),
        streams_digest=sha256_hex(canonical([str(stream) for stream in streams])),
        everything=everything,
        recipient=recipient,
    )
    version = own[-1].version + 1 if own else 0
    ledger.append([Pending(log_id, log_id, version, event)])


def _keys(ledger: Ledger, log_id: UUID, streams: Sequence[UUID]) -> Iterator[bytes]:
    """Yield the bytes of keys.json; the streams come in order."""
    data_keys = ledger.keyring.get(log_id).data_keys
    return keys_pieces(ledger.log(log_id).origin, (stream_key(key, one) for one in streams for key in data_keys))
