"""Makes a statement of usage from a log's read model.

Invariants:
- The tree's size is read first, the rows after they were brought up to it: a statement is complete as of its size.
- It takes what lies in one log, read by who may; sums over several logs are infrastructure.usage.operators.
"""

from collections.abc import Iterator
from uuid import UUID

from domain.errors import MalformedError, RefusedError, UnavailableError
from domain.time import MAX_INSTANT_MS
from domain.usage.statements import MOST_LINES, Line, UsageStatement, statement
from infrastructure.commands.loading import load_tenant
from infrastructure.ledger import Ledger
from infrastructure.projector import Projector
from projections import usage

_ROWS = 256
"""Rows that are read at once."""


def make_statement(ledger: Ledger, log_id: UUID, from_ms: int, to_ms: int, most: int = MOST_LINES) -> UsageStatement:
    """Return what a tenant's log metered in [from_ms, to_ms), as of now; `most` lines at most.

    Raises:
        MalformedError: when the period ends before it begins, or lies out of range.
        RefusedError: when it holds too many lines for one statement.
        UnavailableError: when the read model is being built anew.
        ErasedError: when the log's data key was destroyed.
    """
    if not 0 <= from_ms < to_ms <= MAX_INSTANT_MS:
        raise MalformedError("a period begins before it ends: [from, to), in ms since 1970")
    tenant, frontier = load_tenant(ledger, log_id), ledger.head(log_id)
    lines: list[Line] = []
    for line in lines_within(ledger, log_id, from_ms, to_ms):
        if line.leaf_index < frontier.size:
            lines.append(line)
        if len(lines) > most:
            raise RefusedError(f"more than {most} executions were metered in that period: choose a shorter one")
    return statement(
        lines, origin=tenant.origin, tenant=tenant.called, period=(from_ms, to_ms), size=frontier.size,
        root=frontier.root(),
    )  # fmt: skip


def lines_within(ledger: Ledger, log_id: UUID, from_ms: int, to_ms: int) -> Iterator[Line]:
    """Yield what a log metered in [from_ms, to_ms), in leaf order. Raises as `make_statement` does."""
    projector = Projector(ledger)
    projector.catch_up(log_id, (usage.NAME,))
    if projector.row(log_id, usage.NAME, usage.NEWEST) is None:
        if projector.row(log_id, usage.NAME, usage.TOTAL) is not None:
            raise UnavailableError("the read model of usage is being built anew: try again soon")
        return
    first, last, seen = usage.key_from(from_ms), usage.key_from(to_ms), ""
    while True:
        rows = projector.between(log_id, usage.NAME, first, last, _ROWS)
        new = sorted(key for key in rows if key > seen)  # the row before `first` comes along each time
        yield from usage.within((rows[key] for key in new), from_ms, to_ms)
        if len(rows) < _ROWS:
            return
        seen = new[-1]
        first = seen + "0"
