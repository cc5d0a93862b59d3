"""Events of quotas and bandwidth: grants lie in the grantee's log, borrowing in the borrower's and the lender's."""

from typing import Annotated, ClassVar

from pydantic import Field

from domain.decided import Decided
from domain.message import Event, Value
from domain.time import MAX_INSTANT_MS

MAX_AMOUNT = 2**48
Amount = Annotated[int, Field(ge=0, le=MAX_AMOUNT)]
Version = Annotated[int, Field(ge=1)]
BorrowId = Annotated[str, Field(pattern=r"^bor-0x[0-9a-f]{32}$")]


class Quota(Value):
    """Of one resource: what is one's own, how much more may be borrowed, how much of what is idle may be lent."""

    nominal: Amount
    borrow: Amount = 0
    lend: Amount = 0


class QuotaGranted(Event):
    """The scope above grants quotas and a weight for fair sharing; the newest counts. None: not limited here."""

    TOPIC: ClassVar[str] = "tenant.quota_granted.v1"

    version: Version
    slots: Quota | None
    memory_bytes: Quota | None
    weight: Annotated[int, Field(ge=1, le=1000)]
    granted_by: str
    statements: tuple[str, ...]


class BandwidthGranted(Event):
    """The scope above grants tokens: `tokens` each `period_ms`, at most `burst` at once, in [from_ms, until_ms).

    A placement takes one for each slot and enclave. They are never handed on. Without a grant nothing is limited.
    """

    TOPIC: ClassVar[str] = "tenant.bandwidth_granted.v1"

    version: Version
    tokens: Annotated[int, Field(ge=1, le=10**9)]
    period_ms: Annotated[int, Field(ge=1, le=366 * 86_400_000)]
    burst: Annotated[int, Field(ge=1, le=10**9)]
    from_ms: Annotated[int, Field(ge=0, le=MAX_INSTANT_MS)]
    until_ms: Annotated[int, Field(ge=0, le=MAX_INSTANT_MS)]
    granted_by: str
    statements: tuple[str, ...]


class QuotaBorrowed(Decided):
    """The attempt runs, in part, on what a scope above has idle, until its executions end."""

    TOPIC: ClassVar[str] = "quota.borrowed.v1"

    borrow_id: BorrowId
    workload_id: str
    attempt: int
    slots: Amount
    memory_bytes: Amount
    lender: str


class QuotaLent(Event):
    """The same, in the log of the scope that lends: no word of who borrows."""

    TOPIC: ClassVar[str] = "quota.lent.v1"

    borrow_id: BorrowId
    slots: Amount
    memory_bytes: Amount
    tick: int
    engine: str
