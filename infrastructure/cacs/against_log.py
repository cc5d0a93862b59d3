"""A CAC held against the log that issued it: entry by entry, each disagreement with its reason (wire formats 7).

Invariants:
- The bundle was verified: one verdict in a CAC's stream, evidence by its digest, a certificate only of what affirmed.
- What the log says decides; the document only claims. What it can't say, because streams were not disclosed, is named.
- The issuing entry must be shown: without it the outcome is a warning, never "good".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from domain.cacs.claims import CacClaims, CacRefusedError, Refusal
from domain.cacs.document import hardware_of
from domain.cacs.events import CacIssued, CacOverturned, CacRejected, QuorumFailed, QuorumReached
from domain.canonical import same_json
from domain.disputes.events import DisputeReferenced
from domain.executions.events import (
    EvidenceAppraised,
    ExecutionChallenged,
    ExecutionCompleted,
    ExecutionReserved,
    InputsReleased,
    RuntimeReset,
)
from domain.hashing import sha256_hex
from domain.identifiers import stream_of
from domain.message import Event
from domain.policies.effective import effective_policy
from domain.policies.feasible import independent_count
from domain.policies.kinds import Policy
from domain.tenants.events import PolicyAdopted, TenantRegistered
from domain.transparency.proofs import root_from_inclusion
from domain.workloads.events import WorkloadPlaced, WorkloadQueued, WorkloadSubmitted
from infrastructure.cacs.presented import Presented
from infrastructure.cacs.receipt import Receipt
from infrastructure.cacs.trail import Trail
from infrastructure.tlog.tree import TileTree

_DISPUTED = "that no dispute overturned it: the key of the CAC's stream was not disclosed"


@dataclass
class AgainstLog:
    """What was found: whether the issuing entry was shown, what was checked and what could not be."""

    issued: bool = False
    checked: list[str] = field(default_factory=list)
    not_checked: list[str] = field(default_factory=list)


def registered_key(trail: Trail, claims: CacClaims) -> bytes | None:
    """Return the attestation key (32 bytes) of the log's tenant; None where its stream was not disclosed.

    Raises:
        CacRefusedError: `tenant`, when the CAC names another tenant than the log's, or the log is no tenant's.
    """
    registered = next((event for _, event in trail.of(TenantRegistered)), None)
    if registered is None:
        if any(one.leaf_index == 0 for one in trail.found):
            raise CacRefusedError(Refusal.TENANT, "the log is no tenant's")
        return None
    told = claims.tenant_info
    if (told.dao, told.jurisdiction) != (registered.dao, registered.jurisdiction):
        raise CacRefusedError(Refusal.TENANT, "tenant_info names another tenant than the log's")
    return bytes.fromhex(registered.attestation_key)


def hold(trail: Trail, tree: TileTree, presented: Presented, claims: CacClaims) -> AgainstLog:
    """Hold a CAC against its log, whose tree was verified.

    Raises:
        CacRefusedError: with its reason.
    """
    found = AgainstLog()
    held = presented.receipt is not None and hold_receipt(tree, presented.receipt)
    _issued(found, trail, presented, held=held)
    _execution(found, trail, claims)
    _submission(found, trail, claims)
    _policy(found, trail, claims)
    _evidence(found, trail, claims)
    _release(found, trail, claims)
    _quorum(found, trail, claims)
    _document(found, trail, presented)
    _disputes(found, trail, claims)
    return found


def hold_receipt(tree: TileTree, receipt: Receipt) -> bool:
    """Hold a receipt against a verified tree of its log; tell whether that tree holds the entry.

    Raises:
        CacRefusedError: `receipt`, when the tree holds another entry there, or never had the root that was signed.
    """
    proof = receipt.inclusion
    if proof.index < tree.size and tree.leaf_hash(proof.index) != receipt.leaf_hash:
        raise CacRefusedError(Refusal.RECEIPT, f"entry {proof.index} of the log is another one")
    if proof.size <= tree.size:
        root = root_from_inclusion(receipt.leaf_hash, proof.index, proof.size, proof.path)
        if tree.checkpoint(receipt.origin, proof.size).root != root:
            raise CacRefusedError(Refusal.RECEIPT, f"the log had another root at size {proof.size}")
    return proof.index < tree.size


def _issued(found: AgainstLog, trail: Trail, presented: Presented, *, held: bool) -> None:
    verdicts: list[CacIssued | CacRejected] = [event for _, event in trail.of(CacIssued)]
    verdicts += [event for _, event in trail.of(CacRejected)]
    cac_id = str(presented.document["cac_id"])
    if any(event.cac_id != cac_id for event in verdicts):
        _refuse(Refusal.REPLAY, "the log has another CAC of that execution")
    mine = [event for event in verdicts if isinstance(event, CacIssued)]
    if any(isinstance(event, CacRejected) for event in verdicts):
        _refuse(Refusal.REJECTED, "the log rejected this CAC")
    if not mine:
        if trail.told(stream_of(cac_id)):
            _refuse(Refusal.NOT_ISSUED, "the log has no entry that issued this CAC (by then)")
        if not held:
            found.not_checked.append("that the log issued it: the key of the CAC's stream was not disclosed")
            return
        found.issued = True
        found.checked.append("the log holds the entry of the receipt, which issued this very document")
        return
    found.issued = True


def _document(found: AgainstLog, trail: Trail, presented: Presented) -> None:
    """Compare the whole document, after its parts: what differs has been named where it could be."""
    for _, issued in trail.of(CacIssued):
        if not same_json(issued.document, presented.document):
            _refuse(Refusal.DIFFERS, "the log issued another document under this id")
        found.checked.append("the log issued this very document, once")


def _disputes(found: AgainstLog, trail: Trail, claims: CacClaims) -> None:
    """Refuse what a dispute overturned; name the disputes about its execution that did not, as far as it is told."""
    for index, event in trail.of(CacOverturned):
        if event.cac_id == claims.cac_id:
            told = f"dispute {event.dispute_id} in the log {event.scope} overturned it (event {event.decision} there)"
            _refuse(Refusal.OVERTURNED, f"{told}; entry {index}")
    about = dict.fromkeys(event.dispute_id for _, event in trail.of(DisputeReferenced))
    found.not_checked += [f"dispute {one} about this execution: it is in its scope's log" for one in about]
    if trail.told(stream_of(claims.cac_id)):
        found.checked.append("no dispute overturned it (by then)")
    else:
        found.not_checked.append(_DISPUTED)


def _evidence(found: AgainstLog, trail: Trail, claims: CacClaims) -> None:
    place = trail.places.get(claims.evidence_entry)
    if place is None:
        _refuse(Refusal.EVIDENCE, "no entry of the log has the leaf hash of the CAC's appraisal")
    entry = trail.at(claims.evidence_entry)
    if entry is None:
        _left(found, trail, claims, Refusal.EVIDENCE, f"the appraisal (entry {place} by its leaf hash)")
        return
    event = entry.event
    if not isinstance(event, EvidenceAppraised):
        _refuse(Refusal.EVIDENCE, "the entry that the CAC names is no appraisal")
    names = (
        "execution_id", "evidence_digest", "evidence_class", "nonce", "report_data", "cac_key", "hpke_kem_id",
        "hpke_key_digest", "engine", "measurement", "certificate",
    )  # fmt: skip
    told = {name: getattr(event, name) for name in names}
    _same(Refusal.EVIDENCE, "appraisal", claims, {**told, "hardware": hardware_of(event)})
    elsewhere = [one for _, one in trail.of(EvidenceAppraised) if one.execution_id != claims.execution_id]
    if any(one.cac_key == claims.cac_key for one in elsewhere):
        _refuse(Refusal.REPLAY, "the enclave's key was appraised for another execution")
    found.checked.append(f"the appraisal in entry {place} affirmed, and says the same")


def _release(found: AgainstLog, trail: Trail, claims: CacClaims) -> None:
    place = trail.places.get(claims.release_entry)
    if place is None:
        _refuse(Refusal.RELEASE, "no entry of the log has the leaf hash of the CAC's release")
    if place <= trail.places[claims.evidence_entry]:
        _refuse(Refusal.RELEASE, "inputs were released before the appraisal")
    entry = trail.at(claims.release_entry)
    if entry is None:
        _left(found, trail, claims, Refusal.RELEASE, f"the release of inputs (entry {place} by its leaf hash)")
        return
    event = entry.event
    if not isinstance(event, InputsReleased):
        _refuse(Refusal.RELEASE, "the entry that the CAC names is no release of inputs")
    names = ("execution_id", "evidence_digest", "nonce", "hpke_key_digest", "released_by")
    _same(Refusal.RELEASE, "release", claims, {name: getattr(event, name) for name in names})
    if event.commitments != claims.input_commitments:
        _refuse(Refusal.RELEASE, "other inputs were released than the CAC names")
    found.checked.append(f"the release of inputs in entry {place} says the same")


def _execution(found: AgainstLog, trail: Trail, claims: CacClaims) -> None:
    reserved, stream = _first(trail, ExecutionReserved), stream_of(claims.execution_id)
    if reserved is None:
        _left(found, trail, claims, Refusal.DIFFERS, "reservation, nonce, end and reset of the execution")
        return
    told = {
        "cac_id": reserved.cac_id, "execution_id": reserved.execution_id, "workload": reserved.workload_id,
        "attempt": reserved.attempt, "node": reserved.node, "clause_id": reserved.clause_id,
        "module_digest": reserved.module_digest, "output_address": reserved.output_address, "limits": reserved.limits,
    }  # fmt: skip
    _same(Refusal.DIFFERS, "reservation", claims, told)
    if (reserved.from_ms, reserved.until_ms) != (claims.window.from_ms, claims.window.until_ms):
        _refuse(Refusal.DIFFERS, "window is not the reservation's")
    challenges = [one for _, one in trail.of(ExecutionChallenged) if one.nonce == claims.nonce]
    used = [one for _, one in trail.of(EvidenceAppraised) if one.nonce == claims.nonce]
    if [(one.execution_id, one.node) for one in challenges] != [(claims.execution_id, claims.node)]:
        _refuse(Refusal.NONCE, "the nonce was not issued for this execution and node, once")
    if len(used) != 1:
        _refuse(Refusal.NONCE, "the nonce was not used up exactly once")
    ended = _first(trail, ExecutionCompleted)
    if ended is None or not any(one.stream == stream for one in trail.found if isinstance(one.event, RuntimeReset)):
        _refuse(Refusal.DIFFERS, "the execution did not complete and was not reset")
    outputs = [(one.commitment, one.size_bytes) for one in claims.outputs]
    if (ended.outcome, [(ended.output_commitment, ended.output_bytes)]) != (claims.outcome, outputs):
        _refuse(Refusal.DIFFERS, "outcome or outputs are not what the node reported")
    found.checked.append("the execution: as reserved, its nonce issued and used once, its end as reported, reset")


def _submission(found: AgainstLog, trail: Trail, claims: CacClaims) -> None:
    submitted = _first(trail, WorkloadSubmitted)
    if submitted is None:
        _left(found, trail, claims, Refusal.SUBMISSION, "the submission")
        return
    if claims.submission_digest != sha256_hex(submitted.submission.encode()):
        _refuse(Refusal.SUBMISSION, "submission_digest is not of the submission in the log")
    if tuple(item.commitment for item in submitted.inputs) != claims.input_commitments:
        _refuse(Refusal.SUBMISSION, "input_commitments are not the submission's")
    found.checked.append("the submission's digest, and the commitments of its inputs")


def _policy(found: AgainstLog, trail: Trail, claims: CacClaims) -> None:
    reserved, queued = _first(trail, ExecutionReserved), _queued(trail, claims)
    named = (claims.policy.version, claims.policy.digest)
    if reserved is not None and named != (reserved.policy_version, reserved.policy_digest):
        _refuse(Refusal.POLICY, "policy is not the one that the reservation was decided under")
    if reserved is None or queued is None or not any(one.leaf_index == 0 for one in trail.found):
        _left(found, trail, claims, Refusal.POLICY, "that the policy was in force: not all of its streams came along")
        return
    adopted = [(index, event) for index, event in trail.of(PolicyAdopted) if index <= reserved.seen]
    version, policy = (adopted[-1][1].version, adopted[-1][1].policy) if adopted else (0, Policy())
    if named != (version, effective_policy(policy, queued.clause_rules).digest()):
        _refuse(Refusal.POLICY, "policy is not the one that was in force when the execution was reserved")
    found.checked.append(f"policy version {version} and its digest, as in force when the execution was reserved")


def _quorum(found: AgainstLog, trail: Trail, claims: CacClaims) -> None:
    placed = next((event for _, event in trail.of(WorkloadPlaced) if event.attempt == claims.attempt), None)
    queued, reserved = _queued(trail, claims), _first(trail, ExecutionReserved)
    if placed is None or queued is None or reserved is None:
        _left(found, trail, claims, Refusal.QUORUM, "whether a quorum was asked for and reached")
        return
    due = _enclaves(trail, queued, reserved)
    if len(placed.places) < due:
        _refuse(Refusal.QUORUM, f"the policy asks for {due} independent enclaves; there were {len(placed.places)}")
    if claims.cac_id not in {place.cac_id for place in placed.places}:
        _refuse(Refusal.DIFFERS, "the CAC is not one of its attempt's")
    failed = next((event for _, event in trail.of(QuorumFailed) if event.attempt == claims.attempt), None)
    if failed is not None:
        _refuse(Refusal.QUORUM, f"the attempt's enclaves did not agree: {failed.reason}")
    if len(placed.places) == 1:
        found.checked.append("the policy in force asks for one enclave")
        return
    reached = next((event for _, event in trail.of(QuorumReached) if event.attempt == claims.attempt), None)
    if reached is None:
        _refuse(Refusal.QUORUM, f"{len(placed.places)} enclaves were placed, and their quorum is not reached (by then)")
    same = {(reached.outcome, reached.output_commitment)} == {
        (claims.outcome, one.commitment) for one in claims.outputs
    }
    if set(reached.cacs) != {place.cac_id for place in placed.places} or not same:
        _refuse(Refusal.QUORUM, "the quorum is over other enclaves, or agreed on another result")
    found.checked.append(f"the quorum of {len(placed.places)} enclaves was reached, with this result")


def _enclaves(trail: Trail, queued: WorkloadQueued, reserved: ExecutionReserved) -> int:
    """Return how many independent enclaves the policy asks for, as far as it was disclosed."""
    policies = {event.version: event.policy for _, event in trail.of(PolicyAdopted)}
    return independent_count(effective_policy(policies.get(reserved.policy_version, Policy()), queued.clause_rules))[0]


def _queued(trail: Trail, claims: CacClaims) -> WorkloadQueued | None:
    return next((event for _, event in trail.of(WorkloadQueued) if event.attempt == claims.attempt), None)


def _first(trail: Trail, kind: type[Event]) -> Any:
    return next((event for _, event in trail.of(kind)), None)


def _same(reason: Refusal, what: str, claims: CacClaims, told: Mapping[str, Any]) -> None:
    for name, value in told.items():
        if getattr(claims, name) != value:
            _refuse(reason, f"{name} is not what the {what} in the log says")


def _left(found: AgainstLog, trail: Trail, claims: CacClaims, reason: Refusal, what: str) -> None:
    """Say that something could not be checked; refuse when all was disclosed, so that it must be there."""
    if trail.sealed == 0:
        _refuse(reason, f"the log does not have it (by then): {what}")
    found.not_checked.append(f"{what}: not all streams of {claims.execution_id} were disclosed")


def _refuse(reason: Refusal, text: str) -> NoReturn:
    raise CacRefusedError(reason, text)
