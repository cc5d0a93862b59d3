"""Notices of faults: each follows from a fault, and is delivered once, and only if it was requested.

Whom a notice goes to rests on the policy as it was in force and on appointments; that is not decided again here.
"""

from domain.errors import VerificationError
from domain.executions.events import NoticeDelivered, NoticeRequested
from domain.executions.state import Execution
from domain.message import Recorded
from infrastructure.audit.known import Known

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
        if execution is not None and (execution.faulted is None or execution.faulted.kind != event.kind):
            raise VerificationError("a notice was requested of what is no fault of that kind")
        known.once.claim(_key("requested", event), index, event.kind.encode(), "it was requested in entry {} already")
    elif isinstance(event, NoticeDelivered):
        if known.once.holder(_key("requested", event)) is None:
            raise VerificationError("a notice was delivered that was not requested")
        known.once.claim(_key("delivered", event), index, event.kind.encode(), "it was delivered in entry {} already")
        known.checked[_CHECKED] += 1


def _key(what: str, event: NoticeRequested | NoticeDelivered) -> bytes:
    return f"notice\0{what}\0{event.execution_id}\0{event.recipient}\0{event.kind}".encode()
