"""Workloads and executions that have come to their end: all that is kept of them is a line in a compact map.

Invariants:
- A workload has ended when it was denied, cancelled or has expired, when its one CAC was judged, when a quorum was
  reached, or when governance refused the retry, and every execution that was placed for it was reset or abandoned.
  What is held after a fault has not ended.
- After the end an execution's stream takes late reports, which are refused, its metering, that a dispute is about it,
  and notices; a CAC's that it was overturned; nothing else comes. The ledger writes nothing else, so whatever else
  stands there was forged.
- What refers to something that has ended is refused.
"""

from collections.abc import Iterable
from uuid import UUID

from domain.cacs.events import CacIssued, CacOverturned, CacRejected, QuorumReached, UsageMetered
from domain.disputes.events import DisputeReferenced
from domain.errors import VerificationError
from domain.executions.events import (
    ExecutionAbandoned,
    NoticeDelivered,
    NoticeRequested,
    ReportRefused,
    RetryAuthorized,
    RetryRefused,
    RuntimeReset,
)
from domain.executions.reports import read_report
from domain.identifiers import stream_of
from domain.message import Event, Recorded
from domain.workloads.events import WorkloadCancelled, WorkloadDenied, WorkloadExpired, WorkloadSubmitted
from infrastructure.audit import disputes, metered, notices
from infrastructure.audit.executions import read_by_node
from infrastructure.audit.known import Known, Workload
from infrastructure.audit.opening import VERSION_BYTES

_NODE_BYTES = 4
_NO_NODE = (1 << 8 * _NODE_BYTES) - 1
ENDED_BYTES = VERSION_BYTES + _NODE_BYTES
"""Last version of the stream; for an execution the number of its node."""


def follow(known: Known, recorded: Recorded) -> bool:
    """Check an event of a stream that has ended; tell whether it is one.

    Raises:
        LedgerError: when such an event can't come after the end.
    """
    if recorded.stream_id in known.order.versions:
        return False
    kept = known.ended.get(recorded.stream_id.bytes)
    if kept is None:
        return False
    event, node = recorded.event, int.from_bytes(kept[VERSION_BYTES:])
    if isinstance(event, CacIssued | CacRejected):
        raise VerificationError("one execution yields at most one CAC")
    if isinstance(event, WorkloadSubmitted):
        raise VerificationError("a workload is submitted once")
    if isinstance(event, RetryAuthorized | RetryRefused):
        raise VerificationError("what comes of the fault was decided already")
    if isinstance(event, CacOverturned):
        disputes.overturn(known, event, recorded)
        return True
    if node == _NO_NODE or not isinstance(event, _LATE):
        raise VerificationError(f"{event.TOPIC} after the end of its workload or execution")
    _follow_late(known, recorded, event, node)
    return True


def _follow_late(known: Known, recorded: Recorded, event: Event, node: int) -> None:
    """Check what may come after the end."""
    if isinstance(event, ReportRefused):
        _late(known, recorded, event, node)
    if isinstance(event, DisputeReferenced):
        disputes.refer(known, event, recorded)
    if isinstance(event, UsageMetered):
        metered.follow(known, event, recorded, None)
    notices.follow(known, recorded, None)


def _late(known: Known, recorded: Recorded, event: ReportRefused, node: int) -> None:
    """Check a report that came after the end: it is of that execution, by its node."""
    name = next(name for name, number in known.nodes.items() if number == node)
    signed = read_by_node(known, name, event, event.report, recorded)
    if read_report(signed).execution != event.execution_id:
        raise VerificationError("the report is of another execution")


_LATE = (ReportRefused, UsageMetered, NoticeRequested, NoticeDelivered, DisputeReferenced)

_ENDING = frozenset({
    CacIssued, CacRejected, QuorumReached, WorkloadDenied, WorkloadCancelled, WorkloadExpired, RetryRefused,
    ExecutionAbandoned, RuntimeReset,
})  # fmt: skip


def settle(known: Known, event: Event) -> None:
    """Let go of what an event has brought to its end."""
    if type(event) not in _ENDING:
        return
    match event:
        case CacIssued() | CacRejected() if stream_of(event.workload_id) not in known.workloads:
            _let_go(known, [event.execution_id], [event.cac_id])
        case CacIssued() | CacRejected():
            workload = known.workloads[stream_of(event.workload_id)]
            _settle(known, event.workload_id, over=_places_now(workload) == 1)
        case QuorumReached() | WorkloadDenied() | WorkloadCancelled() | WorkloadExpired() | RetryRefused():
            _settle(known, event.workload_id, over=True)
        case ExecutionAbandoned() | RuntimeReset():
            attempt = known.attempts.get(stream_of(event.execution_id))
            if attempt is not None:
                _settle(known, attempt.execution.reserved.workload_id, over=False)


def _settle(known: Known, workload_id: str, *, over: bool) -> None:
    """Let a workload go when it is over, now or since before, and so are its executions."""
    stream = stream_of(workload_id)
    workload = known.workloads.get(stream)
    if workload is None:
        return
    workload.over = workload.over or over
    if workload.over and workload.again is None and all(_is_over(known, execution) for execution in workload.places):
        _let_go(known, list(workload.places), [place.cac_id for _, place in workload.places.values()])
        del known.workloads[stream]
        _keep(known, stream, _NO_NODE)


def _places_now(workload: Workload) -> int:
    """Return how many executions the newest attempt has."""
    attempt = workload.queued.attempt if workload.queued else 0
    return sum(placed.attempt == attempt for placed, _ in workload.places.values())


def _is_over(known: Known, execution_id: str) -> bool:
    """Tell whether an execution has ended, as far as it was disclosed."""
    attempt = known.attempts.get(stream_of(execution_id))
    return attempt is None or attempt.execution.reset or attempt.execution.status == "abandoned"


def _let_go(known: Known, executions: Iterable[str], cacs: Iterable[str]) -> None:
    for execution_id in executions:
        stream = stream_of(execution_id)
        attempt = known.attempts.pop(stream, None)
        if attempt is not None:
            name = attempt.execution.reserved.node
            _keep(known, stream, known.nodes.setdefault(name, len(known.nodes)))
    for cac_id in cacs:
        known.results.pop(cac_id, None)
        _keep(known, stream_of(cac_id), _NO_NODE)


def _keep(known: Known, stream: UUID, node: int) -> None:
    version = known.order.versions.pop(stream, None)
    known.order.leaves.pop(stream, None)
    if version is not None:
        known.ended.set(stream.bytes, version.to_bytes(VERSION_BYTES) + node.to_bytes(_NODE_BYTES))
