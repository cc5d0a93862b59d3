"""The bundle of a dispute: the logs concerned, each verifiable by itself, with the keys of the streams concerned.

    OUT/scope/          the scope's log: the dispute's stream, and the scope's own, which says whose keys decide
    OUT/t-<slot>/       each affected tenant's log: what tells of its executions
    OUT/platform/       the platform's log: the clauses and nodes
    OUT/proofs/         an inclusion proof (c2sp.org/tlog-proof) of each entry that is shown
    OUT/evidence/<n>    the documents that were attached
    OUT/dispute.json    what is where

Invariants:
- It is for the scope's resolvers: it shows what concerns every affected tenant.
- What is disclosed is recorded in each log, for this dispute, before a key leaves. No key of another stream goes along.
- Each log comes with the opening of its slot in the newest round of the anchor log: what witnesses saw is this history.
  Earlier rounds stay closed, they would tell when a tenant was at work.
- Every directory of a log verifies offline with `audit verify`; every proof is of that log as it was exported.
"""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from domain.canonical import canonical
from domain.disputes.decisions import NOTHING
from domain.disputes.events import DisputeEvidenceAttached
from domain.disputes.state import Dispute
from domain.errors import ConflictError, UnknownError
from domain.executions.state import Execution
from domain.tenants.state import Tenant
from domain.transparency.checkpoint import Checkpoint
from domain.transparency.note import MAX_NOTE_BYTES, parse_note
from domain.transparency.tlog_proof import TlogProof
from infrastructure.anchors.exporting import newest_files
from infrastructure.audit.export import export_bundle, log_signer
from infrastructure.commands.loading import load_execution
from infrastructure.commands.referring import readable
from infrastructure.commands.voices import load_dispute
from infrastructure.disputes.evidence import Shown, entries_of, streams_of_execution, streams_of_platform
from infrastructure.disputes.reading import seen_slots
from infrastructure.keys.private_files import make_private_directory, write_private
from infrastructure.ledger import Ledger
from infrastructure.tlog.files import read_file
from infrastructure.tlog.tree import TileTree

FORMAT: Final = "ledger-dispute/v1"

Row = dict[str, Any]


def export_dispute(
    ledger: Ledger,
    scope: Tenant,
    dispute_id: str,
    out: Path,
    *,
    recipient: str = "",
    jurisdictions: Collection[str] = (),
) -> Row:
    """Write a dispute's bundle; return what is in `dispute.json`.

    Args:
        ledger: the ledger.
        scope: whose dispute it is.
        dispute_id: which.
        out: a directory that is missing or empty.
        recipient: who gets it.
        jurisdictions: of whose tenants who asks may learn; empty: of all.

    Raises:
        UnknownError: when there is no such dispute, or it affects a tenant of another jurisdiction.
        ConflictError: when `out` holds something.
        FrozenLogError: when one of the logs is frozen.
    """
    dispute = load_dispute(ledger, scope, dispute_id)
    slots = {one.slot for one in dispute.opened.affected}
    if jurisdictions and slots != seen_slots(ledger, dispute, jurisdictions):
        raise UnknownError(NOTHING)
    make_private_directory(out)
    if any(out.iterdir()):
        raise ConflictError(f"{out} holds something already: name a directory that is missing or empty")
    named = f"dispute {dispute_id}" + (f" for {recipient}" if recipient else "")
    shown, executions = _of_tenants(ledger, dispute)
    scope_log = UUID(scope.log_id)
    shown.insert(0, ("scope", scope_log, sorted({scope_log, UUID(dispute.id)})))
    shown.append(("platform", ledger.platform().log_id, streams_of_platform(ledger, executions)))
    logs = [_log(ledger, out, name, log_id, streams, named[:200]) for name, log_id, streams in shown if streams]
    document = {
        "format": FORMAT, "dispute": dispute.id, "scope": scope.origin, "status": dispute.status, "logs": logs,
        "documents": _documents(ledger, scope_log, dispute, out / "evidence"),
    }  # fmt: skip
    write_private(out / "dispute.json", canonical(document), new=True)
    return document


_Streams = tuple[str, UUID, Sequence[UUID]]
"""Directory, log, and the streams of it that are shown."""


def _of_tenants(ledger: Ledger, dispute: Dispute) -> tuple[list[_Streams], list[Execution]]:
    streams: dict[tuple[int, UUID], set[UUID]] = {}
    executions = []
    for log_id, one in readable(ledger, dispute.opened.affected):
        found = streams_of_execution(ledger, log_id, one.execution_id)
        streams.setdefault((one.slot, log_id), set()).update(found)
        executions.append(load_execution(ledger, log_id, one.execution_id)[0])
    return [(f"t-{slot}", log_id, sorted(found)) for (slot, log_id), found in sorted(streams.items())], executions


def _log(ledger: Ledger, out: Path, name: str, log_id: UUID, streams: Sequence[UUID], recipient: str) -> Row:
    directory = out / name
    further = newest_files(ledger, ledger.log(log_id))
    checkpoint = export_bundle(
        ledger, log_id, directory, with_keys=",".join(map(str, streams)), recipient=recipient, further=further
    )
    own = [one for one in streams if one != log_id]
    entries = [one for one in entries_of(ledger, log_id, own) if one.leaf_index < checkpoint.size]
    proofs = _proofs(directory, checkpoint, entries, out / "proofs", name)
    return {
        "directory": name, "origin": checkpoint.origin, "size": checkpoint.size, "root": checkpoint.root.hex(),
        "log_keys": [str(key) for key in log_signer(ledger, log_id).verifier_keys()],
        "streams": [str(one) for one in streams],
        "entries": [{**one.to_json(), "proof": proof} for one, proof in zip(entries, proofs, strict=True)],
    }  # fmt: skip


def _proofs(directory: Path, checkpoint: Checkpoint, entries: Sequence[Shown], to: Path, name: str) -> list[str]:
    """Write the inclusion proof of each entry in the exported tree, checked; return the files' names."""
    make_private_directory(to)
    tree, note = TileTree(directory, checkpoint.size), parse_note(read_file(directory, "checkpoint", MAX_NOTE_BYTES))
    names = []
    for one in entries:
        proof = TlogProof(one.leaf_index, tree.inclusion(one.leaf_index), note)
        proof.verify(bytes.fromhex(one.leaf_hash))
        names.append(proof_name(name, one.leaf_index))
        write_private(to / names[-1], proof.to_bytes(), new=True)
    return names


def proof_name(directory: str, leaf_index: int) -> str:
    """Return the name of the file with the proof of an entry."""
    return f"{directory}-{leaf_index}.tlog-proof"


def _documents(ledger: Ledger, scope_log: UUID, dispute: Dispute, to: Path) -> list[Row]:
    """Write the documents that were attached, by number."""
    rows: list[Row] = []
    for recorded in ledger.stream(scope_log, UUID(dispute.id)):
        event = recorded.event
        if isinstance(event, DisputeEvidenceAttached) and event.document is not None:
            make_private_directory(to)
            data = ledger.attached(scope_log, recorded.stream_id, event.document.digest)
            write_private(to / str(event.number), data, new=True)
            rows.append({"number": event.number, "title": event.title, "sha256": event.document.plaintext_digest})
    return rows
