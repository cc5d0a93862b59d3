"""A dispute's bundle, verified offline: each log by itself, and what they say of each other.

Invariants:
- Nothing that lies in the bundle raises anything but a VerificationError that names where it is.
- "verified" stands only where keys from outside have signed every log; else it is self-consistent.
- Each directory holds the log that its name stands for, and the index says of its entries what these say.
- What a decision says is overturned is so in the tenants' logs (infrastructure.disputes.holding).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from domain.canonical import parse_canonical
from domain.disputes.decisions import NOTHING
from domain.disputes.events import DisputeEvidenceAttached, DisputeOpened
from domain.disputes.state import Dispute, evolve
from domain.errors import LedgerError, VerificationError
from domain.hashing import sha256_hex
from domain.identifiers import PLATFORM_SLOT, origin
from domain.message import Recorded
from domain.transparency.note import VerifierKey
from domain.transparency.tlog_proof import MAX_PROOF_BYTES, TlogProof
from infrastructure.audit.anchored import Expected, verify_anchored
from infrastructure.audit.disclosure import read_keys
from infrastructure.audit.opening import CONTENT_ERRORS, opened_entries
from infrastructure.audit.verify import verify_bundle
from infrastructure.commands.disputes import MAX_DOCUMENT_BYTES
from infrastructure.disputes.evidence import shown
from infrastructure.disputes.exporting import FORMAT, proof_name
from infrastructure.disputes.holding import hold_tenants
from infrastructure.tlog.files import read_file
from infrastructure.tlog.reader import read_entries
from infrastructure.tlog.verdict import REFUSED, SELF_CONSISTENT, VERIFIED, Verification

MAX_INDEX_BYTES: Final = 64 * 1024 * 1024
_DIRECTORY: Final = re.compile(r"scope|platform|t-[1-9][0-9]{0,15}")

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class CaseVerdict:
    """The outcome for a dispute's bundle, and for each log in it by its directory.

    `stands`: CACs of the executions concerned that nothing overturned, as far as these logs go.
    """

    ok: bool
    trust: str
    dispute: str | None = None
    status: str | None = None
    first_error: str | None = None
    checked: tuple[str, ...] = ()
    not_checked: tuple[str, ...] = ()
    stands: tuple[str, ...] = ()

    def to_json(self) -> Row:
        """Return the members of a command's answer."""
        return {
            "ok": self.ok, "trust": self.trust, "dispute": self.dispute, "status": self.status,
            "stands": list(self.stands),
            "first_error": self.first_error,
            "checked": list(self.checked), "not_checked": list(self.not_checked),
        }  # fmt: skip


def verify_case(directory: Path, *, log_keys: Sequence[str] = ()) -> CaseVerdict:
    """Verify a dispute's bundle.

    Args:
        directory: as `dispute export` wrote it.
        log_keys: verifier keys of the logs in it, and of the anchor log, from outside.

    Raises:
        MalformedError: when a given key is not one.
    """
    keys = [VerifierKey.parse(key) for key in log_keys]
    try:
        return _verified(directory, keys)
    except CONTENT_ERRORS as error:
        text = str(error) if isinstance(error, LedgerError) else "dispute.json is not of its form"
        return CaseVerdict(ok=False, trust=REFUSED, first_error=text)


def _verified(directory: Path, keys: Sequence[VerifierKey]) -> CaseVerdict:
    index = parse_canonical(read_file(directory, "dispute.json", MAX_INDEX_BYTES))
    if index["format"] != FORMAT:
        raise VerificationError(f"dispute.json is not of the format {FORMAT}")
    verdicts: dict[str, Verification] = {}
    events: dict[str, list[Recorded]] = {}
    for log in index["logs"]:
        name = log["directory"]
        if _DIRECTORY.fullmatch(name) is None or name in verdicts:
            raise VerificationError("dispute.json names a directory that no case has, or one twice")
        if log["origin"] != _origin(index["scope"], name):
            raise VerificationError(f"{name}: dispute.json names another log than belongs there")
        own = [str(key) for key in keys if key.name == log["origin"]]
        verdicts[name] = _log(directory / name, log, own, keys)
        events[name] = list(_opened(directory / name, log))
        _hold_entries(directory, log, events[name])
    dispute, opened = _dispute(index, events.get("scope", []))
    held = hold_tenants(index["scope"], dispute, opened, events)
    _hold_documents(directory, index, events["scope"])
    trusts = {verdict.trust for verdict in verdicts.values()}
    checked = [f"{name}: {text}" for name, verdict in verdicts.items() for text in verdict.checked]
    unchecked = [f"{name}: {text}" for name, verdict in verdicts.items() for text in verdict.not_checked]
    return CaseVerdict(
        ok=True,
        trust=VERIFIED if trusts == {VERIFIED} else SELF_CONSISTENT,
        dispute=dispute.id,
        status=dispute.status,
        checked=("every log, proof and document; what is overturned is so in its own log, and nothing else", *checked),
        not_checked=(*held.left, *unchecked),
        stands=held.stands,
    )


def _log(directory: Path, log: Mapping[str, Any], keys: Sequence[str], every: Sequence[VerifierKey]) -> Verification:
    """Verify a log by itself, and against the round of the anchor log that came along."""
    alone = verify_bundle(directory, log_keys=keys)
    anchored = verify_anchored(directory, alone, Expected(keys=every))[0]
    verdict = replace(anchored, trust=alone.trust if anchored.ok else anchored.trust)
    if not verdict.ok:
        raise VerificationError(f"{directory.name}: {verdict.first_error}")
    if (verdict.origin, verdict.size, verdict.root_hex) != (log["origin"], log["size"], log["root"]):
        raise VerificationError(f"{directory.name}: it is not the log that dispute.json names")
    return verdict


def _opened(directory: Path, log: Mapping[str, Any]) -> Iterator[Recorded]:
    """Yield what is disclosed of a verified log; it must be the streams that the index names."""
    named, keys = read_keys(directory)
    if {str(key.stream_id) for key in keys.values()} != set(log["streams"]):
        raise VerificationError(f"{directory.name}: the keys of other streams came along than dispute.json names")
    return (one for one in opened_entries(read_entries(directory), keys, named) if one is not None)


def _origin(scope: str, name: str) -> str:
    """Return the origin of the log that belongs into a directory of a scope's case."""
    if name == "scope":
        return scope
    slot = PLATFORM_SLOT if name == "platform" else int(name.removeprefix("t-"))
    return origin(scope.rpartition("/t/")[0], slot)


def _hold_entries(directory: Path, log: Mapping[str, Any], events: Sequence[Recorded]) -> None:
    """Hold what the index says of a log's entries to these, each with its proof. The log's own stream has none."""
    own = events[0].stream_id if events and events[0].leaf_index == 0 else None
    expected = [shown(log["origin"], one).to_json() for one in events if one.stream_id != own]
    rows = [{name: value for name, value in entry.items() if name != "proof"} for entry in log["entries"]]
    if rows != expected:
        raise VerificationError(f"{log['directory']}: dispute.json says other things of its entries than these")
    for entry in log["entries"]:
        if entry["proof"] != proof_name(log["directory"], entry["leaf_index"]):
            raise VerificationError("dispute.json names a proof by another name than its own")
        proof = TlogProof.parse(read_file(directory / "proofs", entry["proof"], MAX_PROOF_BYTES))
        checkpoint = proof.verify(bytes.fromhex(entry["leaf_hash"]))
        told = (checkpoint.origin, checkpoint.size, checkpoint.root.hex(), proof.index)
        if told != (log["origin"], log["size"], log["root"], entry["leaf_index"]):
            raise VerificationError(f"proofs/{entry['proof']}: it is of another entry or tree")


def _dispute(index: Mapping[str, Any], events: Sequence[Recorded]) -> tuple[Dispute, Sequence[Recorded]]:
    own = [one for one in events if one.stream_id == UUID(index["dispute"])]
    dispute: Dispute | None = None
    for one in own:
        dispute = evolve(one.event, dispute)
    if dispute is None or not isinstance(own[0].event, DisputeOpened):
        raise VerificationError(f"scope: {NOTHING}")
    if (dispute.id, dispute.status) != (index["dispute"], index["status"]):
        raise VerificationError("scope: the dispute stands otherwise than dispute.json says")
    return dispute, own


def _hold_documents(directory: Path, index: Mapping[str, Any], events: Sequence[Recorded]) -> None:
    attached = [
        (one.event.number, one.event.document.plaintext_digest)
        for one in events
        if isinstance(one.event, DisputeEvidenceAttached) and one.event.document is not None
    ]
    if attached != [(one["number"], one["sha256"]) for one in index["documents"]]:
        raise VerificationError("dispute.json names other documents than the scope's log")
    for number, digest in attached:
        if sha256_hex(read_file(directory / "evidence", str(number), MAX_DOCUMENT_BYTES)) != digest:
            raise VerificationError(f"evidence/{number}: it is another document than the scope's log names")
