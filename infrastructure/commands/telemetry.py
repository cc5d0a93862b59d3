"""Nodes' heartbeats as they come in: verified, in order, one in an interval, in the platform log.

Invariants:
- They lie in the node's telemetry stream, with what is said of its signs of life; its own stream, which everybody
  enrolled may read, tells nothing of load. What releases before 0.2 wrote lies there, and its chain goes on here.
"""

from dataclasses import dataclass

from domain.errors import ConflictError, MalformedError, UnavailableError
from domain.identifiers import node_stream, telemetry_stream
from domain.message import Pending
from domain.nodes.events import TelemetryReported
from domain.nodes.telemetry import INTERVAL_MS, next_report, report_telemetry
from domain.statements import REPORT
from infrastructure.commands.border import verified_or_known
from infrastructure.commands.loading import load_node
from infrastructure.commands.tenants import statement_command
from infrastructure.ledger import Answer, Ledger
from infrastructure.statements import jws

_ATTEMPTS = 8


@dataclass(frozen=True, slots=True)
class Reported:
    """How far a node's telemetry has come: the newest report that counts, when it was recorded, its stream's end."""

    newest: TelemetryReported | None
    at_ms: int | None
    version: int

    @property
    def following(self) -> tuple[int, str]:
        """Return seq and prev of the report that follows."""
        return next_report(self.newest)


def load_reported(ledger: Ledger, node: str) -> Reported:
    """Return how far a node's telemetry has come. Few events are read, however long the node has reported.

    Raises:
        UnknownError: when the node is not enrolled.
    """
    load_node(ledger, node)
    platform = ledger.platform().log_id
    version = -1
    for recorded in ledger.newest(platform, telemetry_stream(node)):
        version = max(version, recorded.version)
        if isinstance(recorded.event, TelemetryReported):
            return Reported(recorded.event, recorded.at_ms, version)
    for recorded in ledger.newest(platform, node_stream(node)):
        if isinstance(recorded.event, TelemetryReported):
            return Reported(recorded.event, recorded.at_ms, version)
    return Reported(None, None, version)


def telemetry(ledger: Ledger, token: str) -> Answer:
    """Take a node's heartbeat in.

    Returns:
        {"accepted": bool, "reason": str}. One that comes within the interval is not accepted and not
        recorded: its number stays free.

    Raises:
        UnknownError: when the node is not enrolled.
        MalformedError: when a member is missing or out of range.
        NotAuthorisedError: when another than the node's key signed it.
        ConflictError: when it was replayed with another statement, or is out of order.
    """
    node = jws.peek(token)[1].get("node")
    if not isinstance(node, str):
        raise MalformedError("telemetry is malformed at node")
    known, platform, now_ms = load_node(ledger, node), ledger.platform(), ledger.clock.now_ms()
    signed = verified_or_known(ledger, platform.log_id, token, typ=REPORT, keys=known.keys, aud=platform.origin)
    for _ in range(_ATTEMPTS):
        command = statement_command(platform.log_id, [signed], {"accepted": True, "reason": ""})
        answered = ledger.answered(command)
        if answered is not None:
            return Answer(answered, ())
        reported = load_reported(ledger, node)
        event = report_telemetry(reported.newest, signed, known.enrolled.kid)
        if reported.at_ms is not None and now_ms < reported.at_ms + INTERVAL_MS:
            early = f"one report in {INTERVAL_MS} ms is recorded; the next one from {reported.at_ms + INTERVAL_MS} on"
            return Answer({"accepted": False, "reason": early}, ())
        pending = Pending(platform.log_id, telemetry_stream(node), reported.version + 1, event)
        try:
            return ledger.append([pending], command=command)
        except ConflictError:  # the decider, or the node itself, wrote to the stream: look again
            continue
    raise UnavailableError("the node's telemetry keeps growing: send it again")
