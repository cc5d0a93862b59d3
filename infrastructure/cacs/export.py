"""Export of an issued CAC in one of three forms: as its enclave signed it, as a credential, as a statement.

Invariants:
- A receipt is made over the published tree only: floor, tiles and signature first (infrastructure.publish).
- A statement hands out the key of the CAC's stream, which holds the one entry that the statement shows anyway, and that
  it was overturned, if it ever is; that it was handed out is an entry of the log before the statement is made.
"""

from typing import Final
from uuid import UUID

from domain.cacs.events import CacIssued
from domain.errors import ConflictError, UnavailableError, UnknownError
from domain.identifiers import stream_of
from domain.message import Recorded
from domain.tenants.events import KeyDisclosed
from domain.transparency.checkpoint import Checkpoint
from domain.transparency.proofs import verify_inclusion
from infrastructure.audit.export import disclose, streams_digest
from infrastructure.cacs.credential import make_credential
from infrastructure.cacs.presented import Form
from infrastructure.cacs.receipt import Inclusion, make_receipt, receipt_claims
from infrastructure.cacs.statement import make_statement
from infrastructure.commands.loading import load_tenant, log_of
from infrastructure.credentials.data_integrity import canonical_bytes
from infrastructure.keys import ed25519
from infrastructure.keys.entry import parse_entry
from infrastructure.keys.stream_keys import stream_key
from infrastructure.ledger import Ledger
from infrastructure.publish.logs import publish_log
from infrastructure.publish.places import tiles_of
from infrastructure.statements import jws
from infrastructure.statements.payload import payload

RECIPIENT = "cac export"
_ATTEMPTS: Final = 8


def export_cac(ledger: Ledger, cac_id: str, form: Form, *, recipient: str = RECIPIENT) -> bytes:
    """Return an issued CAC in a form.

    Args:
        ledger: the ledger.
        cac_id: which.
        form: which form.
        recipient: who gets the key that a statement holds. One who is named got it once: that is recorded once.

    Raises:
        UnknownError: when no such CAC was issued.
        ErasedError: when the tenant's keys were destroyed.
        FrozenLogError: when a receipt is asked for and the log is frozen.
    """
    log_id, issued = _issued(ledger, cac_id)
    document = _document(issued)
    if form == "json":
        return canonical_bytes(document)
    if form == "vc":
        key, now_ms = ledger.keyring.get(log_id).attestation_key(), ledger.clock.now_ms()
        return canonical_bytes(make_credential(document, key, issued_at_ms=issued.at_ms, created_ms=now_ms))
    return _statement(ledger, log_id, issued, recipient)


def _issued(ledger: Ledger, cac_id: str) -> tuple[UUID, Recorded]:
    log_id = log_of(ledger, cac_id)
    for recorded in ledger.stream(log_id, stream_of(cac_id)):
        if isinstance(recorded.event, CacIssued) and recorded.event.cac_id == cac_id:
            return log_id, recorded
    raise UnknownError("no CAC of that id was issued")


def _document(issued: Recorded) -> dict[str, object]:
    if not isinstance(issued.event, CacIssued):
        raise UnknownError("no CAC of that id was issued")
    return issued.event.document


def _statement(ledger: Ledger, log_id: UUID, issued: Recorded, recipient: str) -> bytes:
    document, keys, log = _document(issued), ledger.keyring.get(log_id), ledger.log(log_id)
    _disclose(ledger, log_id, issued.stream_id, recipient)
    publish_log(ledger, log)
    index = ledger.recorder.leaf_index(log_id, issued.stream_id, issued.version)
    proof = tiles_of(ledger, log).proof(index)
    tree = Checkpoint.parse(proof.note.text)
    verify_inclusion(issued.leaf_hash, proof.index, tree.size, proof.path, tree.root)
    entry = next(iter(ledger.as_tenant(log_id).every_entry(tree.size, first=index))).entry
    data_key = keys.data_keys[parse_entry(entry).generation]
    receipt = make_receipt(
        origin=log.origin,
        subject=str(document["output_address"]),
        inclusion=Inclusion(tree.size, proof.index, tuple(proof.path)),
        root=tree.root,
        entry=entry,
        stream_key=stream_key(data_key, issued.stream_id).secret,
        endorsement=_endorsement(ledger, log_id, ed25519.public_bytes(keys.receipt_key())),
        key=keys.receipt_key(),
    )
    return make_statement(document, keys.attestation_key(), [receipt])


def _disclose(ledger: Ledger, log_id: UUID, stream: UUID, recipient: str) -> None:
    """Record that the key of a CAC's stream is handed to somebody, unless it was recorded before of who is named."""
    for last in range(_ATTEMPTS - 1, -1, -1):
        told = [one.event for one in ledger.stream(log_id, log_id) if isinstance(one.event, KeyDisclosed)]
        digest = streams_digest([stream])
        if recipient != RECIPIENT and any((one.streams_digest, one.recipient) == (digest, recipient) for one in told):
            return
        try:
            disclose(ledger, log_id, [stream], everything=False, recipient=recipient)
        except ConflictError:  # something else was recorded of the log itself meanwhile
            if not last:
                raise UnavailableError("the log keeps changing: ask again") from None
        else:
            return


def _endorsement(ledger: Ledger, log_id: UUID, receipt_key: bytes) -> str:
    """Return the attestation key's word that a key (32 bytes) signs receipts of this tenant's log."""
    tenant, key = load_tenant(ledger, log_id), ledger.keyring.get(log_id).attestation_key()
    content = payload(
        iss=tenant.did,
        aud=tenant.origin,
        claims=receipt_claims(receipt_key),
        now_ms=ledger.clock.now_ms(),
        entropy=ledger.entropy,
    )
    return jws.sign(jws.ENDORSEMENT, key, content)
