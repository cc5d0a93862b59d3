"""From a CAC, execution, clause, node, operator, jurisdiction or span of time to every execution involved.

Invariants:
- Whoever asks is a scope: it sees tenants below it, and of all others the same as if they were not there.
- A page is bounded in what it looks at, not only in what it finds: its cursor says where the next one goes on.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from domain.cacs.events import CacIssued, CacOverturned
from domain.disputes.decisions import NOTHING
from domain.disputes.events import (
    AboutCac,
    AboutClause,
    AboutExecution,
    AboutJurisdiction,
    AboutNode,
    AboutOperator,
    AboutSpan,
    Affected,
    Subject,
)
from domain.errors import ErasedError, UnknownError
from domain.executions.events import ExecutionReserved
from domain.identifiers import PLATFORM_SLOT, stream_of
from domain.tenants.state import Tenant
from infrastructure.commands.loading import load_node, load_tenant, log_of, logs_above
from infrastructure.ledger import Ledger
from infrastructure.projector import Projector
from projections import involved

MOST_LOGS: Final = 32
"""Tenants that one page looks at."""
MOST_ROWS: Final = 64
"""Rows of the read model, of a few executions each, that one page looks at."""

Row = dict[str, Any]
Cursor = tuple[int, int, int]
"""Slot; within its log instant (ms) and leaf index from which on the next page goes on."""
START: Final[Cursor] = (0, 0, 0)
_Hit = tuple[UUID, Tenant, Row]


@dataclass(frozen=True, slots=True)
class Involved:
    """One execution that is involved, in which log, with its tenant's jurisdiction and the instant of reservation.

    `cac_id` is there once it was issued; `overturned` is the dispute by which it stands no more.
    """

    log_id: UUID
    slot: int
    jurisdiction: str
    execution_id: str
    workload_id: str
    node: str
    operator: str
    clause_id: str
    cac_id: str | None
    overturned: str | None
    at_ms: int
    leaf_index: int

    def affected(self) -> Affected:
        """Return it as a dispute names it."""
        stands = self.cac_id if self.overturned is None else None
        return Affected(
            slot=self.slot, execution_id=self.execution_id, cac_id=stands, node=self.node, operator=self.operator
        )


@dataclass(frozen=True, slots=True)
class Page:
    """What was found, and where the next page goes on; None after the last."""

    found: tuple[Involved, ...]
    after: Cursor | None


def find(
    ledger: Ledger,
    scope: Tenant,
    subject: Subject,
    *,
    limit: int,
    after: Cursor = START,
    jurisdictions: Collection[str] = (),
) -> Page:
    """Return a page of what is involved below a scope, by slot and leaf index.

    Args:
        ledger: the ledger.
        scope: who asks: a scope, or a tenant about itself.
        subject: what it is about.
        limit: executions on a page.
        after: where the page before ended.
        jurisdictions: of whose tenants who asks may learn; empty: of all that the scope sees.

    Raises:
        UnknownError: when a CAC or execution is not there, or not theirs to see.
    """
    if isinstance(subject, AboutCac | AboutExecution):
        hit = _one(ledger, scope, subject)
        if jurisdictions and hit[1].jurisdiction not in jurisdictions:
            raise UnknownError(NOTHING)
        return Page(tuple(_involved(ledger, [hit])), None)
    projector = Projector(ledger)
    projector.catch_up(projections=[involved.NAME])
    look = _Look(ledger, projector, subject, limit)
    wanted = set(jurisdictions) or None
    if isinstance(subject, AboutJurisdiction):
        wanted = {subject.jurisdiction} & (wanted or {subject.jurisdiction})
    logs = 0
    for log_id, slot in _logs_from(ledger, after[0]):
        tenant = _below(ledger, scope, log_id)
        if tenant is None or (wanted is not None and tenant.jurisdiction not in wanted):
            continue
        begin = after if slot == after[0] else (slot, 0, 0)
        if logs == MOST_LOGS:
            return Page(tuple(_involved(ledger, look.hits)), begin)
        logs += 1
        further = look.at(log_id, tenant, begin)
        if further is not None:
            return Page(tuple(_involved(ledger, look.hits)), further)
    return Page(tuple(_involved(ledger, look.hits)), None)


@dataclass
class _Look:
    """One page's look: what it found, and how many rows it may still read."""

    ledger: Ledger
    projector: Projector
    subject: AboutClause | AboutNode | AboutOperator | AboutJurisdiction | AboutSpan
    limit: int
    rows: int = MOST_ROWS
    hits: list[_Hit] = field(default_factory=list)

    def at(self, log_id: UUID, tenant: Tenant, begin: Cursor) -> Cursor | None:
        """Look at a log; return where the next page goes on, if this one is full before the log's end."""
        slot, from_ms, first = begin
        from_ms = max(from_ms, self.subject.from_ms)
        if self.rows <= 0:
            return begin
        last = involved.key_from(self.subject.to_ms)
        rows = self.projector.between(log_id, involved.NAME, involved.key_from(from_ms), last, self.rows)
        self.rows -= len(rows)
        for row in involved.within(rows.values(), from_ms, self.subject.to_ms):
            if row["leaf_index"] < first:
                continue
            if len(self.hits) == self.limit:
                return slot, row["at_ms"], row["leaf_index"]
            if _matches(self.ledger, self.subject, row):
                self.hits.append((log_id, tenant, row))
        if self.rows > 0 or not rows:
            return None
        newest = rows[max(rows)]["executions"][-1]
        return slot, newest["at_ms"], newest["leaf_index"] + 1


def every(ledger: Ledger, scope: Tenant, subject: Subject, *, most: int) -> tuple[Involved, ...]:
    """Return everything that is involved, `most` and one more at most. Raises as `find` does."""
    found, after = list[Involved](), START
    while len(found) <= most:
        page = find(ledger, scope, subject, limit=most + 1 - len(found), after=after)
        found.extend(page.found)
        if page.after is None:
            break
        after = page.after
    return tuple(found)


def sees(ledger: Ledger, scope: Tenant, log_id: UUID) -> bool:
    """Tell whether a scope sees a log: its own, or one below it; a tenant sees its own."""
    return _below(ledger, scope, log_id) is not None


def _logs_from(ledger: Ledger, slot: int) -> Sequence[tuple[UUID, int]]:
    known = sorted((log.slot, log.log_id) for log in ledger.logs() if log.slot != PLATFORM_SLOT)
    return [(log_id, number) for number, log_id in known if number >= slot]


def _below(ledger: Ledger, scope: Tenant, log_id: UUID) -> Tenant | None:
    """Return a tenant that a scope sees; None for a scope, for one elsewhere, and for one that nobody can read."""
    if log_id == ledger.platform().log_id:
        return None
    try:
        tenant = ledger.once("tenant identity", log_id, lambda: load_tenant(ledger, log_id))
        if not tenant.dao or ledger.erased(log_id):
            return None
        seen = tenant.log_id == scope.log_id or UUID(scope.log_id) in logs_above(ledger, log_id)
    except (ErasedError, UnknownError):  # its key is gone, or nothing is recorded there yet
        return None
    return tenant if seen else None


def _matches(ledger: Ledger, subject: Subject, row: Row) -> bool:
    match subject:
        case AboutNode():
            return bool(row["node"] == subject.node)
        case AboutOperator():
            return load_node(ledger, row["node"]).enrolled.facts.operator == subject.operator
        case AboutClause():
            return bool(row["clause"] == subject.clause_id)
        case _:
            return True


def _one(ledger: Ledger, scope: Tenant, subject: AboutCac | AboutExecution) -> _Hit:
    named = subject.cac_id if isinstance(subject, AboutCac) else subject.execution_id
    log_id = log_of(ledger, named)
    tenant = _below(ledger, scope, log_id)
    if tenant is None:
        raise UnknownError(NOTHING)
    execution_id = named
    if isinstance(subject, AboutCac):
        issued = ledger.first(log_id, stream_of(named))
        if issued is None or not isinstance(issued.event, CacIssued):
            raise UnknownError(NOTHING)
        execution_id = issued.event.execution_id
    first = ledger.first(log_id, stream_of(execution_id))
    if first is None or not isinstance(first.event, ExecutionReserved):
        raise UnknownError(NOTHING)
    reserved = first.event
    row = {
        "execution": reserved.execution_id, "workload": reserved.workload_id, "node": reserved.node,
        "clause": reserved.clause_id, "cac": reserved.cac_id, "at_ms": first.at_ms, "leaf_index": first.leaf_index,
    }  # fmt: skip
    return log_id, tenant, row


def _involved(ledger: Ledger, hits: Sequence[_Hit]) -> Iterator[Involved]:
    """Yield what was found, with what became of its CACs: one question for all."""
    streams = ledger.streams([(log_id, stream_of(row["cac"])) for log_id, _, row in hits]) if hits else []
    for (log_id, tenant, row), stream in zip(hits, streams, strict=True):
        overturned = next((one.event.dispute_id for one in stream if isinstance(one.event, CacOverturned)), None)
        yield Involved(
            log_id=log_id, slot=tenant.slot, jurisdiction=tenant.jurisdiction, execution_id=row["execution"],
            workload_id=row["workload"], node=row["node"],
            operator=load_node(ledger, row["node"]).enrolled.facts.operator, clause_id=row["clause"],
            cac_id=row["cac"] if stream and isinstance(stream[0].event, CacIssued) else None, overturned=overturned,
            at_ms=row["at_ms"], leaf_index=row["leaf_index"],
        )  # fmt: skip
