"""Nodes in the platform log: enrolment, the operator's word on them, and their telemetry as a chain of reports.

Invariants:
- A machine's evidence answers a nonce that had not expired, and is not too old when its node enrols.
- What is said of a node's signs of life lies in its telemetry stream. Releases before 0.2 wrote it into the node's own:
  that counts until the node's telemetry stream begins, and never after.

That a node is rightly called silent, lost or false follows from all inputs of the scheduler: conformance tells.
"""

from domain.attestation.events import CollateralSeen, NodeChallenged, NodeEvidenceAppraised, ResultKeyEnrolled
from domain.attestation.platform import EXPIRED, NONCE_LIFE_MS, PROOF_LIFE_S, require_proofs
from domain.canonical import canonical
from domain.errors import VerificationError
from domain.hashing import sha256_hex
from domain.identifiers import node_stream
from domain.message import Recorded
from domain.nodes.decisions import drain_claims, return_claims
from domain.nodes.events import NodeDrained, NodeEnrolled, NodeLost, NodeReturned, NodeSuspected, TelemetryReported
from domain.nodes.telemetry import report_telemetry
from domain.statements import GOVERNANCE, REPORT, require_claims
from domain.time import SECOND_MS
from infrastructure.audit import governance, platforms
from infrastructure.audit.known import Known
from infrastructure.audit.statements import GRACE_MS, instant_before
from infrastructure.keys.thumbprint import thumbprint

Attesting = NodeChallenged | NodeEvidenceAppraised | ResultKeyEnrolled | CollateralSeen
"""What the platform log tells of evidence."""
NodeEvent = NodeEnrolled | NodeDrained | NodeReturned | TelemetryReported | NodeSuspected | NodeLost

SIGNS_OF_LIFE = (TelemetryReported, NodeSuspected, NodeLost)
"""What lies in the telemetry stream."""


def as_before(known: Known, event: TelemetryReported | NodeSuspected | NodeLost, recorded: Recorded) -> bool:
    """Tell whether a sign of life lies in the node's own stream, as it did before there was one for telemetry."""
    if recorded.stream_id != node_stream(event.node):
        known.apart.add(event.node)
        return False
    return event.node not in known.apart


def follow(known: Known, event: NodeEvent, recorded: Recorded) -> None:
    """Check one event of a node.

    Raises:
        LedgerError: when it does not follow from those before it.
    """
    match event:
        case NodeEnrolled():
            _enrolled(known, event, recorded)
        case TelemetryReported():
            _reported(known, event, recorded)
        case NodeDrained() | NodeReturned():
            said = drain_claims if isinstance(event, NodeDrained) else return_claims
            for one in known.statements.unverified(event.statements, GOVERNANCE, recorded, whose=governance.OTHER_KEYS):
                require_claims(one, said(event.node, event.reason))
        case _:
            known.elsewhere["nodes called silent, lost or false: that follows from the views"] += 1


def attest(known: Known, event: Attesting, recorded: Recorded) -> None:
    """Check one event about evidence: of a machine before its node enrols, of the results' key, of collateral.

    Raises:
        LedgerError: when it does not follow from those before it.
    """
    if not known.platform:
        raise VerificationError("machines, results' keys and collateral are told of in the platform log")
    match event:
        case NodeChallenged():
            if thumbprint(bytes.fromhex(event.public_key)) != event.kid:
                raise VerificationError("the challenge is for another key than its thumbprint says")
            if not -GRACE_MS <= event.expires_ms - NONCE_LIFE_MS - recorded.at_ms <= 0:
                raise VerificationError("the nonce lives longer or shorter than nonces do")
            known.challenges[event.node, event.kid] = event
        case NodeEvidenceAppraised():
            _proved(known, event, recorded)
        case ResultKeyEnrolled():
            public = bytes.fromhex(event.public_key)
            if known.result_key is not None or thumbprint(public) != event.kid:
                raise VerificationError("the key of attestation results is enrolled once, under its own thumbprint")
            known.result_key = (event.kid, public)
        case CollateralSeen():
            if event.number <= known.collateral.get(event.source, -1):
                raise VerificationError("a number of collateral did not rise")
            known.collateral[event.source] = event.number


def _proved(known: Known, event: NodeEvidenceAppraised, recorded: Recorded) -> None:
    issued = known.challenges.pop((event.node, event.kid), None)
    if issued is None or issued.nonce != event.nonce:
        raise VerificationError("a machine's evidence answers no nonce that is open")
    # A moment lies between the look at the clock and the instant of the entry, in which it may have expired.
    if event.accepted and instant_before(recorded.at_ms, issued.expires_ms) >= issued.expires_ms:
        raise VerificationError("a machine's evidence was accepted for a nonce that had expired")
    if event.reason == EXPIRED and recorded.at_ms < issued.expires_ms:
        raise VerificationError("a nonce is said to have expired that had not")
    platforms.require_kept(known, event, issued.nonce, recorded)
    if event.accepted:
        platforms.repeat_enrolment(known, event, issued, recorded)
        known.proofs.setdefault(event.node, []).append(event)


def _enrolled(known: Known, event: NodeEnrolled, recorded: Recorded) -> None:
    keys = {event.kid: bytes.fromhex(event.public_key)}
    signed = known.statements.by_signer(event.acceptance, REPORT, keys, recorded)
    said, told = signed.payload["facts"], event.facts.model_dump(mode="json")
    if canonical(said) != canonical(told) or sha256_hex(canonical(event.credential)) != event.credential_digest:
        raise VerificationError("the node's facts or credential are not what was accepted")
    if event.facts.evidence_class != "software":
        proofs = [one for one in known.proofs.pop(event.facts.node, []) if one.kid == event.kid]
        oldest_s = (recorded.at_ms - GRACE_MS) // SECOND_MS - PROOF_LIFE_S
        require_proofs(event.facts, [one for one in proofs if one.kept.at_s >= oldest_s])
    known.node_kids[event.facts.node] = event.kid


def _reported(known: Known, event: TelemetryReported, recorded: Recorded) -> None:
    kid = known.node_kid(event.node, "telemetry")
    if kid is None:
        return
    signed = known.statements.by_itself(event.report, REPORT, recorded, whose="telemetry: read with the node's key")
    if report_telemetry(known.telemetry.get(event.node), signed, kid) != event:
        raise VerificationError("the telemetry is not what its report says")
    known.telemetry[event.node] = event
