"""Notices: each follows from a fault, divergence or dispute, and is delivered once, and only if it was requested.

Whom a notice goes to rests on the policy as it was in force and on appointments; that is not decided again here.
"""

from typing import get_args

from domain.errors import VerificationError
from domain.executions.events import DisputeNotice, NoticeDelivered, NoticeRequested
from domain.executions.state import Execution
from domain.message import Recorded
from infrastructure.audit import disputes
from infrastructure.audit.known import Known

_OF_DISPUTES = frozenset(get_args(DisputeNotice))
_CHECKED = "notices delivered: requested before, once"


def follow(known: Known, recorded: Recorded, execution: Execution | None) -> None:
    """Check one notice's event.

    Args:
        known: the fold of the log.
        recorded: the event.
        execution: whose fault it tells of; None when that has come to its end.

    Raises:
        VerificationError: when it does not follow.
    """
    event, index = recorded.event, recorded.leaf_index
    if isinstance(event, NoticeRequested):
        if event.dispute is not None or event.kind in _OF_DISPUTES:
            disputes.require_referenced(known, event)
        elif execution is not None and event.kind == "divergence":
            _require_divergence(known, execution)
        elif execution is not None and (execution.faulted is None or execution.faulted.kind != event.kind):
            raise VerificationError("a notice was requested of what is no fault of that kind")
        known.once.claim(_key("requested", event), index, event.kind.encode(), "it was requested in entry {} already")
    elif isinstance(event, NoticeDelivered):
        if known.once.holder(_key("requested", event)) is None:
            raise VerificationError("a notice was delivered that was not requested")
        known.once.claim(_key("delivered", event), index, event.kind.encode(), "it was delivered in entry {} already")
        known.checked[_CHECKED] += 1


def _require_divergence(known: Known, execution: Execution) -> None:
    workload = known.workload(execution.reserved.workload_id, "notices of a divergence")
    if workload is not None and execution.reserved.attempt not in workload.diverged:
        raise VerificationError("a notice was requested of a divergence that the log does not have")


def _key(what: str, event: NoticeRequested | NoticeDelivered) -> bytes:
    of = "" if event.dispute is None else f"\0{event.dispute}"
    return f"notice\0{what}\0{event.execution_id}\0{event.recipient}\0{event.kind}{of}".encode()
