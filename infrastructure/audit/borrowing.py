"""What a placement borrows and where it overflows to, as far as one log tells it.

Invariants:
- A borrowing is of the attempt that was placed, once, under the id that follows from its first execution. What the
  scope above lent stands in that scope's log under the same id; whether it had that idle, no single log can tell.
- An offer is made while the attempt waits; who accepts names it by its hash; it is closed once, and as placed only
  where the attempt lies on the nodes offered.
"""

from hashlib import sha256
from uuid import UUID

from domain.canonical import canonical
from domain.errors import VerificationError
from domain.hashing import sha256_hex
from domain.identifiers import execution_id
from domain.message import Recorded
from domain.quotas.events import QuotaBorrowed
from domain.workloads.events import OverflowAccepted, OverflowAcceptedV1, OverflowClosed, OverflowOffered
from infrastructure.audit.known import Known, Workload

Overflow = OverflowOffered | OverflowAccepted | OverflowAcceptedV1 | OverflowClosed

LENDERS = "borrowings: what the scope above had idle is in other logs"
POOLS = "offers to secondary nodes: nodes, their pools and standing offers are in the platform log"


def borrow_stream(borrow_id: str) -> UUID:
    """Return the stream in which a scope tells what it lent: the 128 bits of the id."""
    return UUID(hex=borrow_id.removeprefix("bor-0x"))


def lent(known: Known, recorded: Recorded) -> None:
    """Check that a scope lends, and under each id once."""
    tenant = known.tenant("what was lent")
    if known.platform or recorded.version or (tenant is not None and tenant.dao):
        raise VerificationError("quotas are lent by scopes, under each id once")


def follow(known: Known, workload: Workload, event: QuotaBorrowed | Overflow) -> None:
    """Check one more event of these in a workload's stream, and fold it."""
    if isinstance(event, QuotaBorrowed):
        _borrowed(known, workload, event)
    else:
        _overflow(known, workload, event)


def _borrowed(known: Known, workload: Workload, event: QuotaBorrowed) -> None:
    first = execution_id(known.origin, event.workload_id, event.attempt, 0)
    digits = sha256(b"ledger borrow id v1\0" + first.encode()).hexdigest()[:32]
    if first not in workload.places or workload.borrowed == event.attempt:
        raise VerificationError("an attempt that was not placed borrows, or one borrows twice")
    if event.borrow_id != f"bor-0x{digits}" or not (event.slots or event.memory_bytes):
        raise VerificationError("the borrowing does not follow from the attempt's first execution, or is of nothing")
    workload.borrowed = event.attempt
    known.elsewhere[LENDERS] += 1


def _overflow(known: Known, workload: Workload, event: Overflow) -> None:
    offered = workload.offer
    if isinstance(event, OverflowOffered):
        queued = workload.queued
        if offered is not None or not workload.waits or queued is None or queued.attempt != event.attempt:
            raise VerificationError("an offer is made of an attempt that does not wait, or while another is open")
        workload.offer = event
        known.elsewhere[POOLS] += 1
        return
    if offered is None or (offered.offer_id, offered.attempt) != (event.offer_id, event.attempt):
        raise VerificationError("there is no open offer of that id")
    if isinstance(event, OverflowAccepted | OverflowAcceptedV1):
        if event.offer_hash != sha256_hex(canonical(offered.payload())):
            raise VerificationError("another offer was accepted than the one that was made")
        return
    there = {place.node for placed, place in workload.places.values() if placed.attempt == event.attempt}
    if event.reason == "placed" and not set(offered.nodes) <= there:
        raise VerificationError("an offer is closed as placed, and the attempt lies elsewhere")
    workload.offer = None
