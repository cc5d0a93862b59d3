"""The view that is kept and traced of an entry: what the scheduler reads, and of decisions also which event it was.

Invariants:
- A decision is made of views alone, so the digest of its event tells nothing that the views don't; whoever decides
  again compares the whole event by it, without the tenant's key.
- Events that carry what others reported are no decisions, and get no digest [a guess at content could be checked].
"""

from domain.cacs.events import QuorumFailed
from domain.executions.events import (
    ExecutionAbandoned,
    ExecutionFaulted,
    ExecutionReserved,
    NoticeRequested,
    RuntimeReset,
)
from domain.hashing import sha256_hex
from domain.message import Event, Recorded
from domain.nodes.events import NodeLost, NodeSuspected
from domain.platform.events import DecisionsMade
from domain.quotas.events import QuotaBorrowed, QuotaLent
from domain.scheduling.views import View, view_of
from domain.workloads.events import (
    OverflowAccepted,
    OverflowAcceptedV1,
    OverflowClosed,
    OverflowOffered,
    WorkloadDeferred,
    WorkloadDenied,
    WorkloadExpired,
    WorkloadPlaced,
    WorkloadQueued,
)
from infrastructure.keys.plaintext import encode_json

DIGEST = "decided"
"""The member that holds H(JCS of the event)."""

_DECIDED = frozenset(
    {
        ExecutionAbandoned, ExecutionFaulted, ExecutionReserved, NodeLost, NodeSuspected, NoticeRequested,
        OverflowAccepted, OverflowAcceptedV1, OverflowClosed, OverflowOffered, QuorumFailed, QuotaBorrowed, QuotaLent,
        RuntimeReset, WorkloadDeferred, WorkloadDenied, WorkloadExpired, WorkloadPlaced, WorkloadQueued,
    }
)  # fmt: skip


def kept_view(recorded: Recorded, slot: int) -> View:
    """Return the view that is kept of a stored event in the log of `slot`."""
    view, event = view_of(recorded, slot), recorded.event
    if type(event) in _DECIDED and getattr(event, "report", None) is None:
        view[DIGEST] = event_digest(event)
    elif isinstance(event, DecisionsMade):
        view["engine"] = event.engine
    return view


def event_digest(event: Event) -> str:
    """Return H(JCS of the event)."""
    return sha256_hex(encode_json(event.payload()))
