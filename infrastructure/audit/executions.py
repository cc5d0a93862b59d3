"""An execution's stream: reservation, appraisal and reports decided again, and the fold that results rest on.

Invariants:
- Reports form a chain by one key per node; that this key is the node's is in the platform log.
- An affirming appraisal is repeated with what the log has; the tenant's certificate is over exactly that key.
"""

from dataclasses import replace
from functools import lru_cache
from typing import TypeVar

from domain.attestation.appraise import Expected, appraise, binding_of, claim_checks, platform_id
from domain.attestation.binding import report_data
from domain.attestation.events import PlatformEvidenceAppraised
from domain.attestation.trust_vector import Tier
from domain.cacs.events import UsageMetered
from domain.disputes.events import DisputeReferenced
from domain.errors import VerificationError
from domain.executions.decisions import challenge, faulted
from domain.executions.events import (
    EnclaveProvisioned,
    EnclaveStarted,
    EvidenceAppraised,
    ExecutionAbandoned,
    ExecutionChallenged,
    ExecutionCompleted,
    ExecutionFaulted,
    ExecutionReserved,
    InputsReleased,
    NoticeDelivered,
    NoticeRequested,
    ReleaseAwaited,
    ReleaseRefused,
    ReportRefused,
    ReportsReceived,
    RetryAuthorized,
    RetryRefused,
    RuntimeReset,
)
from domain.executions.reports import (
    CompletedReport,
    EvidenceReport,
    FaultedReport,
    Report,
    ResetReport,
    StartedReport,
    batched,
    bucket,
    gone_while_waiting,
    read_batch,
    read_report,
    refusal,
)
from domain.executions.state import Execution
from domain.executions.state import evolve as evolve_execution
from domain.hashing import sha256_hex
from domain.identifiers import execution_id
from domain.message import Event, Recorded
from domain.policies.facts import NodeFacts
from domain.scheduling.ends import held_kind
from domain.scheduling.state import NODE_REASONS
from domain.statements import ENDORSEMENT, REPORT, Signed, require_claims
from infrastructure.audit import disputes, metered, notices, platforms, releases, retries
from infrastructure.audit.known import Attempt, Known, batched_report
from infrastructure.audit.statements import GRACE_MS, instant_before
from infrastructure.audit.workloads import next_attempt
from infrastructure.keys.thumbprint import thumbprint

REPORTS = "node reports: that their key is the node's is in the platform log"
_BATCHES = "batches of node reports: one statement over the reports that it names"
_REFERENCES = "affirmed appraisals: reference values of the runtime, and the node's machines, are in the platform log"
_CERTIFIERS = "certificates of enclaves: the tenant's attestation key was not disclosed"
_TAKEN_FROM_EVIDENCE = EvidenceReport.model_fields.keys() - {
    "kind", "execution", "seq", "prev", "evidence_class", "evidence_format", "platform_evidence", "endorsements",
}  # fmt: skip
_ReportT = TypeVar("_ReportT", EvidenceReport, StartedReport, CompletedReport, FaultedReport, ResetReport)


def follow(known: Known, recorded: Recorded) -> None:
    """Check one more event of an execution's stream, and fold it."""
    event, stream = recorded.event, recorded.stream_id
    attempt = known.attempts.get(stream)
    if isinstance(event, ExecutionReserved) and attempt is None:
        _reserved(known, event)
    elif attempt is not None:
        _check(known, attempt, recorded)
    execution = evolve_execution(event, attempt.execution if attempt else None)
    if attempt is None:
        attempt = known.attempts[stream] = Attempt(execution)
    attempt.execution = execution
    attempt.entries[event.TOPIC] = recorded.leaf_hash.hex()
    if isinstance(event, ExecutionFaulted | ExecutionAbandoned):
        _ended(known, attempt, recorded)


def _reserved(known: Known, event: ExecutionReserved) -> None:
    if event.execution_id != execution_id(known.origin, event.workload_id, event.attempt, event.k):
        raise VerificationError("an execution id does not follow from log, workload, attempt and number")
    workload = known.workload(event.workload_id, "reservations")
    if workload is None:
        return
    placed, place = workload.places.get(event.execution_id, (None, None))
    if placed is None or place is None or placed.attempt != event.attempt or workload.queued is None:
        raise VerificationError("nothing was placed for this execution")
    queued = workload.queued
    told = (event.k, event.node, event.cac_id, event.output_address, event.clause_id, event.module_digest, event.limits)
    if told != (
        place.k, place.node, place.cac_id, place.output_address, queued.clause_id, queued.module_digest,
        queued.facts.bounds,
    ):  # fmt: skip
        raise VerificationError("the reservation is not what was queued and placed")


def _check(known: Known, attempt: Attempt, recorded: Recorded) -> None:
    execution, event = attempt.execution, recorded.event
    match event:
        case ExecutionChallenged():
            again = challenge(execution, event.nonce, instant_before(recorded.at_ms, execution.reserved.until_ms))
            _require(again == event, "the challenge is not this execution's")
        case EvidenceAppraised():
            _appraised(known, attempt, event, recorded)
        case EnclaveProvisioned():  # evaluated again before the tenant's releaser is believed, and told if it fails
            withdrawn = execution.status == "provisioned" and not event.passed
            _require(execution.status == "appraised" or withdrawn, "the provisioning gate follows the appraisal")
        case ReleaseAwaited() | ReleaseRefused() | InputsReleased():
            releases.follow(known, execution, event, recorded)
        case ExecutionAbandoned():
            _require(execution.released is None, "what has its inputs is not abandoned")
            _require((event.report is None) == (event.reason != "enclave_lost"), "an enclave is lost by a report")
            refused = execution.declined is not None
            _require(refused == (event.reason == "release_refused"), "a releaser's refusal ends just what it refused")
            if event.report is not None:
                gone = _reported(known, execution, event.report, recorded, FaultedReport)[1]
                _require(gone_while_waiting(execution, gone), "the node does not say that it gave the execution up")
        case DisputeReferenced() | NoticeRequested() | NoticeDelivered() | UsageMetered():
            _of_what_ended(known, execution, event, recorded)
        case RetryAuthorized() | RetryRefused():
            retries.follow(known, attempt, event, recorded)
        case _:
            _check_report(known, execution, recorded)


def _of_what_ended(
    known: Known,
    execution: Execution,
    event: DisputeReferenced | NoticeRequested | NoticeDelivered | UsageMetered,
    recorded: Recorded,
) -> None:
    """Check what is recorded of an execution beside its life: disputes, notices, usage."""
    if isinstance(event, DisputeReferenced):
        disputes.refer(known, event, recorded)
    elif isinstance(event, UsageMetered):
        metered.follow(known, event, recorded, execution)
    else:
        notices.follow(known, recorded, execution)


def _check_report(known: Known, execution: Execution, recorded: Recorded) -> None:
    event = recorded.event
    match event:
        case ReportRefused():
            _require(_refused(known, execution, event.report, recorded), "a report was refused that was the next one")
        case EnclaveStarted():
            _reported(known, execution, event.report, recorded, StartedReport)
        case RuntimeReset() if event.report is not None:
            _reported(known, execution, event.report, recorded, ResetReport)
        case ExecutionCompleted():
            said = _reported(known, execution, event.report, recorded, CompletedReport)[1]
            _require(_completed_as(event, said), "the end is not what its report says")
        case ExecutionFaulted() if execution.status == "abandoned":
            workload = known.workload(execution.reserved.workload_id, "ends of executions")
            again = workload is None or workload.again is not None
            _require(again and event.report is None, "what was abandoned has no fault but that it is not placed again")
            after = {"node_lost"} if workload is None else {"node_lost", held_kind(workload.again_after)}
            named = workload is None or event.kind in after  # releases' ends were called node_lost as well at first
            _require(named, "a workload is held for another reason than its last attempt ended")
        case ExecutionFaulted() if event.report is not None:
            fault = _reported(known, execution, event.report, recorded, FaultedReport)[1]
            said_again = faulted(fault, event.report, event.received)
            _require(event in {said_again, _without_time(said_again)}, "the fault is not what its report says")


def _ended(known: Known, attempt: Attempt, recorded: Recorded) -> None:
    """Tell the workload: a fault holds it, a node's failure before any fault lets it be placed again."""
    reserved, event = attempt.execution.reserved, recorded.event
    if isinstance(event, ExecutionFaulted):
        attempt.fault = recorded
    # What faulted may be held for good, and has no CAC: what only that rests on is dropped, most of it in bytes.
    attempt.execution = attempt.execution.changed(
        appraised=None, challenge=None, released=None, completed=None, declined=None
    )
    attempt.entries.clear()
    workload = known.workload(reserved.workload_id, "ends of executions")
    if workload is None or workload.queued is None or workload.queued.attempt != reserved.attempt:
        return  # governance has let that attempt go on already
    if isinstance(event, ExecutionFaulted):
        workload.held, workload.again = True, None
    elif isinstance(event, ExecutionAbandoned) and event.reason in NODE_REASONS and not workload.held:
        queued = workload.queued
        workload.again = next_attempt(queued, queued.facts.bounds, queued.not_after_ms)
        workload.again_after = event.reason


def receive(known: Known, event: ReportsReceived, recorded: Recorded) -> None:
    """Take in a batch's statement: by the one key that this node's reports are signed with.

    Raises:
        LedgerError: when it is not of its form, or not signed by that key.
    """
    signed = known.statements.by_itself(event.statement, REPORT, recorded, whose=REPORTS)
    _require(known.node_kids.setdefault(event.node, signed.kid) == signed.kid, "a node has two keys")
    _require(signed.jti == event.batch, "a batch's entry is not of the statement that it holds")
    for digest in read_batch(signed).reports:
        key = batched_report(recorded.leaf_index, event.node, digest)
        known.once.claim(key, recorded.leaf_index, b"", "a report is named twice")
    known.checked[_BATCHES] += 1


def read_by_node(known: Known, node: str, event: Event, token: str, recorded: Recorded) -> Signed:
    """Read a node's report: signed by the one key that its reports are signed with, by itself or in a batch.

    Raises:
        LedgerError: when it is not.
    """
    received: int | None = getattr(event, "received", None)
    if received is None:
        signed = known.statements.by_itself(token, REPORT, recorded, whose=REPORTS)
    else:
        kid = known.batch_key(received, node, sha256_hex(token.encode()))
        signed = batched(token, kid or known.node_kids.get(node, ""))
        otherwise = "the report was taken in entry {} already"
        known.once.claim(b"reported\0" + signed.jti.encode(), recorded.leaf_index, b"", otherwise)
        if kid is None:
            return signed
    _require(known.node_kids.setdefault(node, signed.kid) == signed.kid, "a node has two keys")
    return signed


def _read(known: Known, execution: Execution, token: str, recorded: Recorded) -> tuple[Signed, Report]:
    signed = read_by_node(known, execution.reserved.node, recorded.event, token, recorded)
    said = read_report(signed)
    _require(said.execution == execution.id, "the report is of another execution")
    return signed, said


def _reported(
    known: Known, execution: Execution, token: str, recorded: Recorded, kind: type[_ReportT]
) -> tuple[Signed, _ReportT]:
    """Read a report that was taken as the next one of its chain."""
    signed, said = _read(known, execution, token, recorded)
    at_ms = instant_before(recorded.at_ms, execution.reserved.until_ms)
    reason = refusal(execution, signed, said, signed.kid, at_ms)
    if reason is not None or not isinstance(said, kind):
        raise VerificationError(f"the report was not to be taken: {reason or 'it is of another kind'}")
    return signed, said


def _refused(known: Known, execution: Execution, token: str, recorded: Recorded) -> bool:
    """Tell whether a report was rightly refused, a clock that was a little ahead allowed for."""
    signed, said = _read(known, execution, token, recorded)
    return refusal(execution, signed, said, signed.kid, recorded.at_ms + GRACE_MS) is not None


def _without_time(event: ExecutionFaulted) -> ExecutionFaulted:
    """Return a fault as the first release recorded it: it did not tell the time that a run took."""
    return event.model_copy(update={"wall_bucket": None})


def _completed_as(event: ExecutionCompleted, said: CompletedReport) -> bool:
    return event.wall_bucket in {None, bucket(said.duration_ms)} and (
        event.outcome, event.output_commitment, event.output_bytes, event.output.plaintext_digest,
        event.cac.plaintext_digest, event.fuel_bucket, event.memory_bucket,
    ) == (
        said.outcome, said.output_commitment, said.output_bytes, said.output_digest, said.cac_digest,
        bucket(said.fuel), bucket(said.memory_bytes),
    )  # fmt: skip


def _appraised(known: Known, attempt: Attempt, event: EvidenceAppraised, recorded: Recorded) -> None:
    execution = attempt.execution
    signed, said = _reported(known, execution, event.evidence, recorded, EvidenceReport)
    told = {name: getattr(said, name) for name in _TAKEN_FROM_EVIDENCE} | {
        "execution_id": execution.id,
        "evidence": event.evidence,
        "evidence_digest": sha256_hex(event.evidence.encode()),
        "hpke_key_digest": sha256_hex(bytes.fromhex(said.hpke_key)),
    }
    if isinstance(event, PlatformEvidenceAppraised):
        _require(execution.challenge is not None, "the execution has no nonce")
        platforms.require_named(event, said)
        platforms.require_kept(known, event, execution.challenge.nonce if execution.challenge else "", recorded)
        accepting = {Tier.AFFIRMING, Tier.WARNING}
    else:
        told |= {"platform_id": platform_id(signed.kid), "evidence_class": said.evidence_class}
        accepting = {Tier.AFFIRMING}
    _require(all(getattr(event, name) == value for name, value in told.items()), "the evidence is not what it says")
    _require(event.accepted == (event.status in accepting), "a certificate follows an affirming verdict")
    if event.certificate is None:
        return
    another = "the enclave's key is another's"
    known.once.claim(b"enclave\0" + event.cac_key.encode(), recorded.leaf_index, execution.id.encode(), another)
    attempt.bound = _appraise_again(known, execution, event, said, signed.kid, recorded)
    _certified(known, event, event.certificate, recorded)


def _appraise_again(
    known: Known, execution: Execution, event: EvidenceAppraised, said: EvidenceReport, kid: str, recorded: Recorded
) -> bool:
    """Repeat an affirming appraisal; runtime and machine are taken as said: reference values are not in the log.

    Returns:
        Whether it could be repeated: the workload's submission was disclosed.
    """
    reserved, issued = execution.reserved, execution.challenge
    workload = known.workload(reserved.workload_id, "appraisals")
    if workload is None or issued is None:
        _require(issued is not None, "the execution has no nonce")
        return False
    expected = expected_of(known, execution, issued, workload.submitted.submission_digest)
    node = _node(reserved.node, platform_id(kid))
    expected = replace(expected, node=node, node_kid=kid, measurement=said.measurement)
    at_ms = instant_before(recorded.at_ms, issued.expires_ms)
    if isinstance(event, PlatformEvidenceAppraised):
        bound = report_data(binding_of(expected, said.cac_key, said.hpke_kem_id, said.hpke_key)).hex()
        checks = claim_checks(expected, said, bound, at_ms)
        reason = next((text for holds, text in checks if not holds), None)
        if workload.queued is not None:
            platforms.repeat_execution(known, event, said, expected, workload.queued, recorded)
    else:
        reason = appraise(expected, said, at_ms)
    _require(reason is None, f"the evidence was affirmed, and {reason}")
    known.elsewhere[_REFERENCES] += 1
    return True


@lru_cache(maxsize=1024)
def _node(name: str, *platform_ids: str) -> NodeFacts:
    """Return a node as far as it enters here: its name, and whose key signs for it."""
    return NodeFacts(
        node=name, operator="unknown", country="DEU", vendor="unknown", memory_bytes=1, slots=1,
        platform_ids=platform_ids,
    )  # fmt: skip


def expected_of(known: Known, execution: Execution, issued: ExecutionChallenged, submission_digest: str) -> Expected:
    """Return what evidence and CAC have to answer to. Of the node only its name is in this log."""
    return Expected(
        host=known.host,
        origin=known.origin,
        reserved=execution.reserved,
        challenge=issued,
        node=_node(execution.reserved.node),
        node_kid="",
        submission_digest=submission_digest,
        measurement="",
    )


def _certified(known: Known, event: EvidenceAppraised, certificate: str, recorded: Recorded) -> None:
    claims = {
        "act": "certify_enclave",
        "execution": event.execution_id,
        "cac_key": event.cac_key,
        "report_data": event.report_data,
        "evidence_digest": event.evidence_digest,
    }
    tenant = known.tenant("certificates of enclaves")
    if tenant is None:
        (signed,) = known.statements.unverified([certificate], ENDORSEMENT, recorded, whose=_CERTIFIERS)
    else:
        public = bytes.fromhex(tenant.attestation_key)
        (signed,) = known.statements.by_keys([certificate], ENDORSEMENT, {thumbprint(public): public}, recorded)
    require_claims(signed, claims)


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise VerificationError(otherwise)
