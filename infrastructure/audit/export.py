"""Export of a log: a plain C2SP tile log, signed at its size, with what is needed to read it.

Invariants:
- Entries and streams are read as the log's own tenant: the database lets nothing of another log into a bundle.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from uuid import UUID

from domain.canonical import canonical
from domain.hashing import sha256_hex
from domain.message import Pending
from domain.tenants.events import KeyDisclosed
from domain.time import SECOND_MS
from domain.transparency.checkpoint import Checkpoint
from infrastructure.audit.choosing import EVERYTHING, chosen_streams
from infrastructure.audit.disclosure import KEYS, keys_pieces
from infrastructure.keys import ed25519
from infrastructure.keys.stream_keys import stream_key
from infrastructure.ledger import Ledger
from infrastructure.publish.logs import key_files, log_signer, publish_log
from infrastructure.statements.acknowledgement import KEY_FILE, ack_key_document
from infrastructure.tlog.bundle import check_free, write_bundle

__all__ = ["EVERYTHING", "disclose", "export_bundle", "log_signer", "streams_digest"]


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
        with_keys: "all", "public", or the streams whose keys go along, comma-separated (audit.choosing).
            The disclosure is recorded first, and is the last entry of what is exported, or near it. Keys make the
            bundle its owner's alone (0700, keys.json 0600).
        recipient: who gets the keys.
        further: more files of the bundle, such as openings; taken one after the other.
        progress: called with the number of entries done.

    Raises:
        UnknownError: when a stream is not of this log.
        MalformedError: when a log without entries is to be disclosed, no stream is named, or nothing is public.
        ConflictError: when `out` holds something.
        FrozenLogError: when the log is frozen, or has to be.
    """
    extra: dict[str, bytes | Iterable[bytes]] = {KEY_FILE: _acknowledgement_key(ledger, log_id)}
    if with_keys is not None:
        check_free(out)  # a disclosure that comes to nothing isn't recorded
        streams = chosen_streams(ledger, log_id, with_keys)
        disclose(ledger, log_id, streams, everything=with_keys == EVERYTHING, recipient=recipient)
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


def disclose(ledger: Ledger, log_id: UUID, streams: Sequence[UUID], *, everything: bool, recipient: str) -> None:
    """Record that the keys of some streams are handed to somebody, before they are.

    Args:
        ledger: the ledger.
        log_id: whose streams.
        streams: in order.
        everything: whether they are all that the log has.
        recipient: who gets the keys.
    """
    own = ledger.stream(log_id, log_id)
    event = KeyDisclosed(
        streams=len(streams),
        streams_digest=streams_digest(streams),
        everything=everything,
        recipient=recipient,
    )
    version = own[-1].version + 1 if own else 0
    ledger.append([Pending(log_id, log_id, version, event)])


def streams_digest(streams: Sequence[UUID]) -> str:
    """Return H(JCS of the ids of some streams, in order), as a disclosure names them."""
    return sha256_hex(canonical([str(stream) for stream in streams]))


def _keys(ledger: Ledger, log_id: UUID, streams: Sequence[UUID]) -> Iterator[bytes]:
    """Yield the bytes of keys.json; the streams come in order."""
    data_keys = ledger.keyring.get(log_id).data_keys
    return keys_pieces(ledger.log(log_id).origin, (stream_key(key, one) for one in streams for key in data_keys))
