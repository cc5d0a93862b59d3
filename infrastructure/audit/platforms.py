"""Appraisals of platforms' evidence, checked again: what was kept, what the EAR says, and all where it came along.

Invariants:
- Where evidence and endorsements can be read, an accepted appraisal is repeated at its instant under the policy that it
  names: same status, same vector, same machine, same root. Its root is taken as said: whoever relies on it looks at the
  policy, which names it.
- Where they can't, that is counted as not checked; the EAR must still say what the event says.
"""

import json
from collections.abc import Iterator
from dataclasses import replace

from cryptography import x509

from domain.attestation.appraise import Expected
from domain.attestation.claims import VerifiedClaims
from domain.attestation.events import AppraisalKept, NodeChallenged, NodeEvidenceAppraised, PlatformEvidenceAppraised
from domain.attestation.platform import VOUCHED, VOUCHED_FOR_NODE, judge_enrolment, judge_execution, node_report_data
from domain.attestation.trust_vector import Tier
from domain.errors import VerificationError
from domain.executions.reports import EvidenceReport
from domain.message import Recorded
from domain.payloads import StoredPayload
from domain.time import SECOND_MS
from domain.workloads.events import WorkloadQueued
from infrastructure.attestation.certificates import load_certificate, pem_blocks
from infrastructure.attestation.ear import Ear, read_ear, verify_ear
from infrastructure.attestation.endorsements import Endorsements, sort_endorsements
from infrastructure.attestation.recognise import recognise
from infrastructure.attestation.roots import VENDORS, Roots, root_among, vendor_roots
from infrastructure.attestation.verify import verify
from infrastructure.audit.known import Known
from infrastructure.audit.statements import GRACE_MS

_REPEATED = "appraisals of platforms: evidence verified and appraised again at its instant"
_NOT_READ = "platforms' evidence: its bytes did not come along; what its EAR says was compared"
_OTHER_KEY = "attestation results (EAR): their key is in the platform log"
_SIGNED = "attestation results (EAR): signature"
_ONE_USE = "this platform evidence was accepted in entry {} already"


def require_kept(
    known: Known, event: PlatformEvidenceAppraised | NodeEvidenceAppraised, nonce: str, recorded: Recorded
) -> None:
    """Check what any appraisal keeps: its instant, its EAR, and that evidence is accepted once.

    Raises:
        LedgerError: when it does not hold.
    """
    kept = event.kept
    if not -GRACE_MS <= recorded.at_ms - kept.at_s * SECOND_MS <= GRACE_MS + SECOND_MS:
        raise VerificationError("the appraisal's instant is not that of its entry")
    kid, ear = read_ear(kept.ear)
    if known.result_key is not None:
        ear = verify_ear(kept.ear, {known.result_key[0]: known.result_key[1]})
        known.checked[_SIGNED] += 1
    else:
        known.elsewhere[_OTHER_KEY] += 1
        if known.result_kids and kid not in known.result_kids:
            raise VerificationError("attestation results of one log are signed by two keys")
        known.result_kids.add(kid)
    _require_same(event, ear, nonce)
    if event.accepted and kept.evidence_key is not None:
        known.once.claim(b"evidence\0" + kept.evidence_key.encode(), recorded.leaf_index, nonce.encode(), _ONE_USE)


def _require_same(event: PlatformEvidenceAppraised | NodeEvidenceAppraised, ear: Ear, nonce: str) -> None:
    """Require that an EAR says what its event says. Rejected evidence has neither platform nor class in it."""
    kept = event.kept
    proved = kept.root is not None
    status = Tier.CONTRAINDICATED if event.status is Tier.REJECTED else event.status
    told = (ear.status, ear.trust_vector, ear.issued_at_s, ear.not_appraised, ear.platform_id, ear.root)
    if told != (status, kept.trust_vector, kept.at_s, kept.not_appraised, event.platform_id, kept.root):
        raise VerificationError("the attestation result (EAR) is not what the event says")
    if ear.nonce is None or ear.nonce.hex() != nonce or (ear.reason or _vouched(event)) != event.reason:
        raise VerificationError("the attestation result (EAR) answers another nonce, or has another reason")
    if proved and (ear.evidence_key, ear.evidence_class) != (kept.evidence_key, event.evidence_class):
        raise VerificationError("the attestation result (EAR) is of other evidence than the event")


def _vouched(event: PlatformEvidenceAppraised | NodeEvidenceAppraised) -> str:
    return VOUCHED if isinstance(event, PlatformEvidenceAppraised) else VOUCHED_FOR_NODE


def require_named(event: PlatformEvidenceAppraised, said: EvidenceReport) -> None:
    """Require that what is kept is what the node's report names.

    Raises:
        VerificationError: when it is not.
    """
    kept = (event.kept.platform_evidence, *event.kept.endorsements)
    if tuple(one.plaintext_digest for one in kept) != (said.platform_evidence, *said.endorsements):
        raise VerificationError("the evidence that is kept is not what the report names")


def repeat_execution(
    known: Known,
    event: PlatformEvidenceAppraised,
    said: EvidenceReport,
    expected: Expected,
    queued: WorkloadQueued,
    recorded: Recorded,
) -> None:
    """Repeat an accepted appraisal, as far as this log has what it rests on.

    Raises:
        LedgerError: when it comes out otherwise.
    """
    claims = _claims(known, event.kept, recorded)
    policy = known.effective(queued, event.policy_version)
    if claims is None or policy is None:
        return
    machines = () if event.platform_id is None else (event.platform_id,)  # whose they are, the platform log tells
    node = expected.node.model_copy(update={"platform_ids": machines})
    expected = replace(expected, node=node, measurement=said.measurement)
    result = judge_execution(expected, said, claims, policy, queued.facts, event.kept.at_s * SECOND_MS)
    if (result.status, result.trust_vector, result.platform_id, result.not_appraised, claims.evidence_class) != (
        event.status, event.kept.trust_vector, event.platform_id, event.kept.not_appraised, event.evidence_class,
    ):  # fmt: skip
        raise VerificationError("the platform's evidence, appraised again, does not give what was recorded")
    known.checked[_REPEATED] += 1


def repeat_enrolment(known: Known, event: NodeEvidenceAppraised, issued: NodeChallenged, recorded: Recorded) -> None:
    """Repeat an accepted appraisal of a machine. Raises as `repeat_execution` does."""
    claims = _claims(known, event.kept, recorded)
    if claims is None:
        return
    bound = node_report_data(known.host, issued.node, bytes.fromhex(issued.nonce), bytes.fromhex(issued.public_key))
    result = judge_enrolment(claims, bound)
    if (result.status, result.trust_vector, result.platform_id, claims.evidence_class) != (
        event.status, event.kept.trust_vector, event.platform_id, event.evidence_class,
    ):  # fmt: skip
        raise VerificationError("the machine's evidence, appraised again, does not give what was recorded")
    known.checked[_REPEATED] += 1


def _claims(known: Known, kept: AppraisalKept, recorded: Recorded) -> VerifiedClaims | None:
    """Verify kept evidence again at its instant; None where its bytes did not come along."""
    contents = [_read(known, recorded, one) for one in (kept.platform_evidence, *kept.endorsements)]
    evidence, *files = contents
    given = [one for one in files if one is not None]
    if evidence is None or len(given) != len(files):
        known.elsewhere[_NOT_READ] += 1
        return None
    endorsements = sort_endorsements(given)
    claims = verify(recognise(evidence), endorsements, kept.at_s, _roots(kept.root, endorsements))
    if (claims.root, claims.evidence_key, claims.collateral) != (kept.root, kept.evidence_key, kept.collateral):
        raise VerificationError("the evidence, verified again, is not what was recorded of it")
    return claims


def _read(known: Known, recorded: Recorded, payload: StoredPayload) -> bytes | None:
    return None if known.payload is None else known.payload(recorded.stream_id, payload)


def _certificates(endorsements: Endorsements) -> Iterator[x509.Certificate]:
    """Yield all certificates that came along: Intel's stand inside the collateral."""
    yield from endorsements.certificates
    for text in endorsements.collateral:
        for _, der in pem_blocks(json.loads(text)["tcb_info_issuer_chain"]):
            yield load_certificate(der)


def _roots(root: str | None, endorsements: Endorsements) -> Roots:
    """Return the one root that an appraisal names: a vendor's, or that key among what came along."""
    return vendor_roots() if root is None or root in VENDORS else root_among(root, _certificates(endorsements))
