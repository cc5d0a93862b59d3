"""What somebody asks about, and what is told of it: executions, with evidence and the entries that tell of them."""

from dataclasses import dataclass
from typing import Any

from domain.disputes.events import (
    AboutCac,
    AboutClause,
    AboutExecution,
    AboutJurisdiction,
    AboutNode,
    AboutOperator,
    AboutSpan,
    Subject,
)
from domain.errors import MalformedError
from domain.identifiers import stream_of
from domain.jurisdictions import parse_jurisdiction
from infrastructure.commands.involved import Involved, Page
from infrastructure.disputes.evidence import entries_of, evidence_of, streams_of_execution
from infrastructure.ledger import Ledger

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody asks about, as options or a query say it."""

    cac: str | None
    execution: str | None
    clause: str | None
    node: str | None
    operator: str | None
    jurisdiction: str | None
    from_ms: int | None
    to_ms: int | None

    def subject(self, now_ms: int) -> Subject:
        """Return the one subject that is asked about.

        Raises:
            MalformedError: when there are several, or a time is missing or too much.
        """
        given = [self.cac, self.execution, self.clause, self.node, self.operator, self.jurisdiction]
        if sum(one is not None for one in given) > 1:
            raise MalformedError("ask about one thing: a CAC, execution, clause, node, operator, jurisdiction or time")
        alone = self.cac is not None or self.execution is not None
        if alone != (self.from_ms is None) or (alone and self.to_ms is not None):
            raise MalformedError("a CAC or execution needs no --from and --to; everything else needs --from")
        if alone:
            stream_of(self.cac or self.execution or "")
        if self.cac is not None:
            return AboutCac(kind="cac", cac_id=self.cac)
        if self.execution is not None:
            return AboutExecution(kind="execution", execution_id=self.execution)
        return self._during(self.from_ms or 0, now_ms if self.to_ms is None else self.to_ms)

    def _during(self, from_ms: int, to_ms: int) -> Subject:
        if self.clause is not None:
            return AboutClause(kind="clause", clause_id=self.clause, from_ms=from_ms, to_ms=to_ms)
        if self.node is not None:
            return AboutNode(kind="node", node=self.node, from_ms=from_ms, to_ms=to_ms)
        if self.operator is not None:
            return AboutOperator(kind="operator", operator=self.operator, from_ms=from_ms, to_ms=to_ms)
        if self.jurisdiction is not None:
            code = parse_jurisdiction(self.jurisdiction)
            return AboutJurisdiction(kind="jurisdiction", jurisdiction=code, from_ms=from_ms, to_ms=to_ms)
        return AboutSpan(kind="span", from_ms=from_ms, to_ms=to_ms)


def involved_row(ledger: Ledger, one: Involved) -> Row:
    """Return an execution that is involved, as commands and routes tell it."""
    streams = streams_of_execution(ledger, one.log_id, one.execution_id)
    entries = [shown.to_json() for shown in entries_of(ledger, one.log_id, streams)]
    return {
        "slot": one.slot, "jurisdiction": one.jurisdiction, "execution": one.execution_id,
        "workload": one.workload_id, "node": one.node, "operator": one.operator, "clause_id": one.clause_id,
        "cac": one.cac_id, "overturned_by": one.overturned, "reserved_at_ms": one.at_ms,
        "evidence": evidence_of(ledger, one.log_id, one.execution_id), "entries": entries,
    }  # fmt: skip


def summed(page: Page) -> list[Row]:
    """Return who is affected, by jurisdiction."""
    by: dict[str, list[Involved]] = {}
    for one in page.found:
        by.setdefault(one.jurisdiction, []).append(one)
    return [
        {
            "jurisdiction": code,
            "tenants": len({one.slot for one in found}),
            "executions": len(found),
            "cacs": sum(one.cac_id is not None for one in found),
        }
        for code, found in sorted(by.items())
    ]
