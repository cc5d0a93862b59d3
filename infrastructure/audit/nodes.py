"""Nodes in the platform log: enrolment, the operator's word on them, and their telemetry as a chain of reports.

That a node is rightly called silent, lost or false follows from all inputs of the scheduler: conformance tells.
"""

from domain.canonical import canonical
from domain.errors import VerificationError
from domain.hashing import sha256_hex
from domain.message import Recorded
from domain.nodes.decisions import drain_claims, return_claims
from domain.nodes.events import NodeDrained, NodeEnrolled, NodeLost, NodeReturned, NodeSuspected, TelemetryReported
from domain.nodes.telemetry import report_telemetry
from domain.statements import GOVERNANCE, REPORT, require_claims
from infrastructure.audit import governance
from infrastructure.audit.known import Known

NodeEvent = NodeEnrolled | NodeDrained | NodeReturned | TelemetryReported | NodeSuspected | NodeLost


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


def _enrolled(known: Known, event: NodeEnrolled, recorded: Recorded) -> None:
    keys = {event.kid: bytes.fromhex(event.public_key)}
    signed = known.statements.by_signer(event.acceptance, REPORT, keys, recorded)
    said, told = signed.payload["facts"], event.facts.model_dump(mode="json")
    if canonical(said) != canonical(told) or sha256_hex(canonical(event.credential)) != event.credential_digest:
        raise VerificationError("the node's facts or credential are not what was accepted")
    known.node_kids[event.facts.node] = event.kid


def _reported(known: Known, event: TelemetryReported, recorded: Recorded) -> None:
    kid = known.node_kids.get(event.node)
    if kid is None:
        raise VerificationError("a node reports telemetry that is not enrolled")
    signed = known.statements.by_itself(event.report, REPORT, recorded, whose="telemetry: read with the node's key")
    if report_telemetry(known.telemetry.get(event.node), signed, kid) != event:
        raise VerificationError("the telemetry is not what its report says")
    known.telemetry[event.node] = event
