"""The logs of a disputed case held against each other: what the scope's says happened, and what the tenants' say.

Invariants:
- Every execution that the opening names is in its tenant's log as it says, and that log refers to the dispute.
- What this dispute overturned in a tenant's log is what the decision names, each by an event that names the decision;
  of every CAC in the case, whether the opening named it or it was issued later.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from domain.cacs.events import CacIssued, CacOverturned
from domain.canonical import canonical
from domain.disputes.events import Affected, DisputeOverturned, DisputeReferenced
from domain.disputes.state import Dispute
from domain.errors import VerificationError
from domain.executions.events import ExecutionReserved
from domain.hashing import sha256_hex
from domain.message import Recorded


@dataclass(frozen=True, slots=True)
class Held:
    """What could not be held against a log that did not come along, and which CACs stand."""

    left: tuple[str, ...]
    stands: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Case:
    """A dispute, what overturned something (None: nothing did), and before which scope."""

    scope: str
    dispute: Dispute
    decided: DisputeOverturned | None
    version: int

    def due(self, cac_id: str, execution_id: str) -> CacOverturned:
        """Return the compensating event that follows from the decision for a CAC."""
        statements = () if self.decided is None else self.decided.statements
        return CacOverturned(
            cac_id=cac_id, execution_id=execution_id, dispute_id=self.dispute.id, scope=self.scope,
            decision=self.version, statements_digest=sha256_hex(canonical(list(statements))),
        )  # fmt: skip


def hold_tenants(
    scope: str, dispute: Dispute, own: Sequence[Recorded], events: Mapping[str, Sequence[Recorded]]
) -> Held:
    """Hold every affected tenant's log to the dispute.

    Args:
        scope: the scope's origin.
        dispute: the dispute.
        own: its events.
        events: what is disclosed of each log, by directory.

    Raises:
        VerificationError: naming the directory, and what disagrees.
    """
    decided = next((one for one in own if isinstance(one.event, DisputeOverturned)), None)
    overturned = decided.event if decided is not None and isinstance(decided.event, DisputeOverturned) else None
    case = _Case(scope, dispute, overturned, 0 if decided is None else decided.version)
    by_log: dict[str, list[Affected]] = {}
    for one in dispute.opened.affected:
        by_log.setdefault(f"t-{one.slot}", []).append(one)
    if events.keys() - by_log.keys() - {"scope", "platform"}:
        raise VerificationError("a log came along that the dispute is not about")
    left, stands, issued = list[str](), list[str](), set[str]()
    for name, affected in by_log.items():
        if name not in events:
            left += [f"{one.execution_id}: its tenant's log did not come along (keys destroyed?)" for one in affected]
            continue
        cacs = _hold_tenant(case, name, affected, events[name])
        issued |= cacs.keys()
        stands += [cac for cac, stands_still in cacs.items() if stands_still]
    elsewhere = {one.cac_id for one in dispute.opened.affected if f"t-{one.slot}" not in events}
    unknown = set(() if overturned is None else overturned.cacs) - issued - elsewhere
    if unknown and not left:
        raise VerificationError(f"scope: {min(unknown)} is overturned, and no log of the case issued it")
    return Held(tuple(left), tuple(stands))


def _hold_tenant(case: _Case, name: str, affected: Sequence[Affected], recorded: Sequence[Recorded]) -> dict[str, bool]:
    """Hold one tenant's log; return the CACs of the executions concerned, and whether each stands."""
    found: list[Any] = [one.event for one in recorded]
    nodes = {event.execution_id: event.node for event in found if isinstance(event, ExecutionReserved)}
    issued = {event.cac_id: event.execution_id for event in found if isinstance(event, CacIssued)}
    for one in affected:
        if DisputeReferenced(dispute_id=case.dispute.id, execution_id=one.execution_id) not in found:
            raise VerificationError(f"{name}: it does not refer to the dispute about {one.execution_id}")
        if nodes.get(one.execution_id) != one.node:
            raise VerificationError(f"{name}: {one.execution_id} did not run where the opening says")
        if one.cac_id is not None and issued.get(one.cac_id) != one.execution_id:
            raise VerificationError(f"{name}: {one.cac_id} is not the CAC of {one.execution_id}")
    own = {one.execution_id for one in affected}
    cacs = {cac: execution for cac, execution in issued.items() if execution in own}
    named = () if case.decided is None else case.decided.cacs
    due = {cac: case.due(cac, execution) for cac, execution in cacs.items() if cac in named}
    told = [event for event in found if isinstance(event, CacOverturned)]
    by_this = [event for event in told if event.dispute_id == case.dispute.id]
    if len(by_this) != len(due) or any(due.get(event.cac_id) != event for event in by_this):
        raise VerificationError(f"{name}: what is overturned there is not what the decision says")
    gone = {event.cac_id for event in told}
    return {cac: cac not in gone for cac in cacs}
