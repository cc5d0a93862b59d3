"""A batch of a node's reports: one statement, verified and kept once, before any of its reports is taken in.

Invariants:
- A batch is of one node and one log. It names its reports by their digests; each that it names came with it, has its
  form, and is of an execution of that node in that log.
- Its entry is durable before a report's event names it, and is appended for such an event only, once. So a log grows by
  what is recorded of its executions, and by no more batches than that; one over ended executions leaves none.
"""

import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from uuid import UUID

from domain.errors import ConflictError, MalformedError, RefusedError, UnknownError
from domain.executions.events import ReportsReceived
from domain.executions.reports import BATCHED, batched, nothing_to_reset, read_batch, read_report
from domain.executions.state import Execution
from domain.hashing import sha256_hex
from domain.identifiers import batch_stream
from domain.message import Pending
from domain.statements import REPORT, Signed
from infrastructure.commands.border import verified_or_known
from infrastructure.commands.loading import load_execution, load_node, load_tenant
from infrastructure.commands.tenants import statement_command
from infrastructure.ledger import Ledger


@dataclass(slots=True)
class Batch:
    """A verified batch: who signed it, what it names, and the leaf index of its entry (None while there is none).

    Safe to use from several threads.
    """

    log_id: UUID
    kid: str
    digests: frozenset[str]
    leaf_index: int | None
    _node: str = field(repr=False)
    _statement: Signed = field(repr=False, compare=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def keep(self, ledger: Ledger) -> int:
        """Make its entry durable, because a report of it is about to be recorded; return the entry's leaf index.

        Raises:
            ConflictError: when its jti came with another body.
        """
        with self._lock:
            if self.leaf_index is None:
                self.leaf_index = self._append(ledger)
            return self.leaf_index

    def _append(self, ledger: Ledger) -> int:
        statement = self._statement
        stream, command = batch_stream(self._node, statement.jti), statement_command(self.log_id, [statement], {})
        event = ReportsReceived(node=self._node, batch=statement.jti, statement=statement.token)
        try:
            stored = ledger.append([Pending(self.log_id, stream, 0, event)], command=command).recorded
        except ConflictError:
            stored = ()  # another request brought it a moment ago
        place = stored[0].leaf_index if stored else _kept(ledger, self.log_id, self._node, statement)
        if place is None:
            raise ConflictError("the batch's stream is taken by another statement")
        return place

    def signed(self, report: str) -> Signed:
        """Return one of its reports as its node's key signed it.

        Raises:
            MalformedError: when the batch does not name it, or it is no report that may stand in one.
        """
        if sha256_hex(report.encode()) not in self.digests:
            raise MalformedError("the batch does not name this report")
        return batched(report, self.kid)


def receive(ledger: Ledger, log_id: UUID, node: str, token: str, reports: Sequence[str]) -> Batch:
    """Take a batch's statement in. It leaves nothing by itself: its entry is appended with its first report (`keep`).

    Args:
        ledger: the ledger.
        log_id: the log of the executions that its reports are of.
        node: who reports.
        token: the statement.
        reports: the reports that it names, in its order.

    Raises:
        MalformedError: when statement or reports are not of their form, or the reports not those that it names.
        NotAuthorisedError: when another than the node's key signed it, for another log, or not for now.
        UnknownError: when it names an execution that is not the node's, or not of this log.
        RefusedError: when every execution that it says something new of is over.
        ConflictError: when its jti came with another body.
    """
    origin, keys = load_tenant(ledger, log_id).origin, load_node(ledger, node).keys
    signed = verified_or_known(ledger, log_id, token, typ=REPORT, keys=keys, aud=origin)
    digests = read_batch(signed).reports
    if tuple(sha256_hex(one.encode()) for one in reports) != digests:
        raise MalformedError("the reports that came are not those that the batch names, in its order")
    _require_open(ledger, log_id, node, [batched(one, signed.kid) for one in reports])
    return Batch(log_id, signed.kid, frozenset(digests), _kept(ledger, log_id, node, signed), node, signed)


def _require_open(ledger: Ledger, log_id: UUID, node: str, reports: Sequence[Signed]) -> None:
    """Make sure that all is the node's own, and that there is something of it that can still be recorded."""
    said = [read_report(one) for one in reports]
    executions: dict[str, Execution] = {}
    for name in dict.fromkeys(one.execution for one in said):
        with suppress(UnknownError):
            executions[name] = load_execution(ledger, log_id, name)[0]
        if name not in executions or executions[name].reserved.node != node:
            raise UnknownError("there is no such execution of this node")
    if all(execution.terminal for execution in executions.values()) and not all(
        _known(ledger, log_id, signed.jti) or nothing_to_reset(executions[one.execution], one)
        for signed, one in zip(reports, said, strict=True)
    ):
        raise RefusedError("every execution that the batch names is over: nothing of it is recorded")


def _kept(ledger: Ledger, log_id: UUID, node: str, signed: Signed) -> int | None:
    """Return the leaf index of a statement's entry, None where it was not kept."""
    if ledger.answered(statement_command(log_id, [signed], {})) is None:
        return None
    return ledger.recorder.leaf_index(log_id, batch_stream(node, signed.jti), 0)


def _known(ledger: Ledger, log_id: UUID, digest: str) -> bool:
    return ledger.recorder.find_command(log_id, BATCHED, digest) is not None
