"""Results: every CAC held against the entries that it tells of, member by member, and quorums against their CACs.

Invariants:
- One execution has at most one verdict, in the stream of the CAC id that was reserved for it.
- Nothing of the document is believed that this log can tell. Where the execution's stream was not disclosed, proof,
  certificate and report_data are checked over the document itself, and the verdict says that no more was.
"""

from collections.abc import Mapping
from typing import Any

from domain.attestation.binding import Binding, report_data
from domain.cacs.document import CacRecord, bound_report_data, draft_document
from domain.cacs.events import CacIssued, CacOverturned, CacRejected, QuorumFailed, QuorumReached
from domain.cacs.gate import RUN_MEMBERS
from domain.cacs.quorum import differing
from domain.canonical import canonical, same_json
from domain.errors import VerificationError
from domain.executions.events import ExecutionCompleted, ExecutionReserved, InputsReleased
from domain.hashing import sha256_hex
from domain.identifiers import parse_clause_id, stream_of
from domain.message import Recorded
from domain.policies.facts import WorkloadFacts
from domain.statements import ENDORSEMENT
from domain.workloads.events import WorkloadQueued
from infrastructure.audit import disputes
from infrastructure.audit.executions import expected_of
from infrastructure.audit.known import Attempt, Known, Result, Workload
from infrastructure.credentials.data_integrity import check_proof
from infrastructure.keys.plaintext import print_decoded
from infrastructure.keys.thumbprint import thumbprint
from infrastructure.statements import jws

_CHECKED = "CACs: every member, outcome and outputs as recorded, the enclave's proof, its certificate, report_data"
_ONE = "one execution yields at most one CAC"
_ALONE = "CACs by themselves only (proof, certificate, report_data): their execution's stream was not disclosed"


def judge(known: Known, recorded: Recorded) -> None:
    """Check the verdict on one execution's result, or that it was overturned."""
    event = recorded.event
    if isinstance(event, CacOverturned):
        disputes.overturn(known, event, recorded)
        return
    if not isinstance(event, CacIssued | CacRejected):
        raise VerificationError("this has no place in the stream of a CAC")
    if recorded.version != 0:
        raise VerificationError(_ONE)
    known.once.claim(b"verdict\0" + event.execution_id.encode(), recorded.leaf_index, event.cac_id.encode(), _ONE)
    attempt = known.attempt(event.execution_id, "verdicts on CACs")
    if attempt is not None:
        _require_reserved(attempt, event)
    if isinstance(event, CacRejected):
        known.once.claim(b"rejected\0" + event.cac_id.encode(), recorded.leaf_index, b"", _ONE)
        return
    document = event.document
    if parse_clause_id(document["clause_id"]).draft:
        raise VerificationError("a draft clause (0.x) never yields a CAC")
    if attempt is None:
        _require_own(event)
        _alone(known, document)
    else:
        _held_against(known, attempt, event)
        known.checked[_CHECKED] += 1
    commitments = tuple(output["commitment"] for output in document["outputs"])
    if stream_of(event.workload_id) in known.workloads:  # else no quorum can be seen that rests on it
        known.results[event.cac_id] = Result(document["outcome"], commitments)


def agree(known: Known, workload: Workload, event: QuorumReached) -> None:
    """Check a quorum: it is over all enclaves of its attempt, and their CACs, issued here, say the same."""
    places = [place for placed, place in workload.places.values() if placed.attempt == event.attempt]
    if tuple(place.cac_id for place in places) != event.cacs:
        raise VerificationError("the quorum is not over the enclaves of its attempt")
    for cac_id in event.cacs:
        result = known.result(cac_id, "quorums")
        if result is not None and (result.outcome, result.commitments) != (event.outcome, (event.output_commitment,)):
            raise VerificationError("the CACs of the quorum do not say the same")


def disagree(known: Known, workload: Workload, event: QuorumFailed) -> None:
    """Check a divergence: the CACs of the attempt's enclaves, issued here, differ, and those differ that it names."""
    places = [place for placed, place in workload.places.values() if placed.attempt == event.attempt]
    if tuple(place.cac_id for place in places) != event.cacs:
        raise VerificationError("the quorum is not over the enclaves of its attempt")
    if (event.results is None) != (event.differing is None) or (event.results and event.reason != "divergence"):
        raise VerificationError("a quorum that failed tells of results that did not diverge, or not who differs")
    if event.reason != "divergence":
        return
    workload.diverged.add(event.attempt)
    told = event.results or ()
    if told and [(one.execution_id, one.cac_id) for one in told] != [(p.execution_id, p.cac_id) for p in places]:
        raise VerificationError("the results are not those of the attempt's enclaves")
    if told and (event.differing == () or event.differing != differing(told)):
        raise VerificationError("the executions that differ are not those that the quorum names")
    issued = [known.result(cac_id, "quorums") for cac_id in event.cacs]
    given = [None if one is None else (one.outcome, one.commitments) for one in issued]
    if any(
        found not in {None, (one.outcome, (one.output_commitment,))} for found, one in zip(given, told, strict=False)
    ):
        raise VerificationError("the results are not what the CACs say")
    if None not in given and len(set(given)) == 1:
        raise VerificationError("the CACs of the quorum do not differ")


def _require_reserved(attempt: Attempt, event: CacIssued | CacRejected) -> None:
    reserved = attempt.execution.reserved
    if (event.cac_id, event.workload_id) != (reserved.cac_id, reserved.workload_id):
        raise VerificationError("the CAC is not the one that was reserved for its execution")
    if attempt.execution.completed is None or not attempt.execution.reset:
        raise VerificationError("the execution has not ended and been reset")


def _held_against(known: Known, attempt: Attempt, event: CacIssued) -> None:
    """Hold a document against the folded entries, then check its proof; drop what no later entry needs."""
    execution, document = attempt.execution, event.document
    record, completed = _record(known, attempt, document)
    drafted = draft_document(record)
    said = {name: value for name, value in document.items() if name not in RUN_MEMBERS}
    for name in () if print_decoded(said) == print_decoded(drafted) else sorted({*drafted, *said}):
        if name not in document or name not in drafted or not same_json(document[name], drafted[name]):
            raise VerificationError(f"member {name[:64]!a} of the CAC is not what the log's entries say")
    outputs = [{"commitment": completed.output_commitment, "size_bytes": completed.output_bytes}]
    if print_decoded([document["outcome"], document["outputs"]]) != print_decoded([completed.outcome, outputs]):
        raise VerificationError("outcome or outputs of the CAC are not what the node reported")
    if not attempt.bound and drafted["report_data"] != bound_report_data(record.expected, record.appraised):
        raise VerificationError("report_data does not follow from the log's entries")
    _prove(known, document)
    attempt.execution = execution.changed(appraised=None, challenge=None, released=None, completed=None)


def _record(known: Known, attempt: Attempt, document: Mapping[str, Any]) -> tuple[CacRecord, ExecutionCompleted]:
    execution = attempt.execution
    appraised, released, completed, issued = (
        execution.appraised, execution.released, execution.completed, execution.challenge,
    )  # fmt: skip
    if appraised is None or released is None or completed is None or issued is None:
        raise VerificationError("the execution was not appraised, never got its inputs, or did not complete")
    workload = known.workload(execution.reserved.workload_id, "CACs: tenant and submission")
    if workload is not None and workload.queued is not None:
        queued, submission = workload.queued, workload.submitted.submission_digest
    else:
        queued, submission = _claimed(known, execution.reserved, document), str(document["submission_digest"])
    record = CacRecord(
        expected=expected_of(known, execution, issued, submission),
        queued=queued,
        appraised=appraised,
        released=released,
        evidence_entry=attempt.entries[appraised.TOPIC],
        release_entry=attempt.entries[InputsReleased.TOPIC],
    )
    return record, completed


def _claimed(known: Known, reserved: ExecutionReserved, document: Mapping[str, Any]) -> WorkloadQueued:
    """Return what a CAC says of its workload, where that one's stream was not disclosed; the tenant is the log's."""
    claimed, tenant = document["tenant_info"], known.tenant("CACs: the tenant")
    facts = WorkloadFacts(
        dao=tenant.dao if tenant else claimed["dao"],
        jurisdiction=tenant.jurisdiction if tenant else claimed["jurisdiction"],
        resource_class=claimed["resource_class"],
        bounds=reserved.limits,
    )
    return WorkloadQueued(
        workload_id=reserved.workload_id,
        attempt=reserved.attempt,
        facts=facts,
        clause_rules=(),
        clause_id=reserved.clause_id,
        module_digest=reserved.module_digest,
        not_after_ms=0,
        draft=False,
    )


def _require_own(event: CacIssued) -> None:
    document = event.document
    told = [document.get(name) for name in ("cac_id", "execution_id", "workload")]
    if told != [event.cac_id, event.execution_id, event.workload_id]:
        raise VerificationError("the CAC is not of the execution that its entry names")


def _alone(known: Known, document: Mapping[str, Any]) -> None:
    """Check a document over itself: binding, certificate, proof, and the tenant where it is known."""
    claimed, tenant = document["tenant_info"], known.tenant("CACs: the tenant")
    if document["scope"] != known.origin or document["host"] != known.host:
        raise VerificationError("the CAC is of another log")
    named = (claimed["dao"], claimed["jurisdiction"])
    if claimed["workload_id"] != document["execution_id"] or (tenant and named != (tenant.dao, tenant.jurisdiction)):
        raise VerificationError("the CAC names another tenant than the log's, or another execution")
    if _claimed_report_data(document) != document["report_data"]:
        raise VerificationError("report_data does not follow from the CAC")
    if tenant is not None:
        public = bytes.fromhex(tenant.attestation_key)
        keys = {thumbprint(public): public}
        said = jws.verify(document["certificate"], typ=ENDORSEMENT, keys=keys, aud=known.origin, now_s=None)
        told = [said.get(name) for name in ("execution", "cac_key", "report_data", "evidence_digest")]
        if told != [document[name] for name in ("execution_id", "cac_key", "report_data", "evidence_digest")]:
            raise VerificationError("the certificate is of another enclave's key")
    _prove(known, document)
    known.checked[_ALONE] += 1


def _prove(known: Known, document: Mapping[str, Any]) -> None:
    check_proof(
        document,
        public=bytes.fromhex(document["cac_key"]),
        domain=known.origin,
        challenge=document["nonce"],
        check=known.signatures.verify,
    )


def _claimed_report_data(document: Mapping[str, Any]) -> str:
    """Recompute report_data from a CAC's own members (wire formats 6 and 7)."""
    binding = Binding(
        host=document["host"],
        origin=document["scope"],
        execution_id=document["execution_id"],
        node_id=document["node"],
        nonce=bytes.fromhex(document["nonce"]),
        module_digest=bytes.fromhex(document["module_digest"]),
        limits_digest=bytes.fromhex(sha256_hex(canonical(document["limits"]))),
        policy_digest=bytes.fromhex(document["policy"]["digest"]),
        submission_digest=bytes.fromhex(document["submission_digest"]),
        cac_key=bytes.fromhex(document["cac_key"]),
        kem_id=document["hpke_kem_id"],
        hpke_key_digest=bytes.fromhex(document["hpke_key_digest"]),
    )
    return report_data(binding).hex()
