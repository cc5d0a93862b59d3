"""A dispute as those who ask may see it.

Invariants:
- A scope's resolvers see all of it, those enrolled for some jurisdictions what concerns tenants of these. An affected
  tenant sees what concerns its own executions: of other tenants neither slot nor execution, answer or number. Everybody
  else is told the same as of a dispute that there isn't.
"""

from collections.abc import Collection, Iterator
from contextlib import suppress
from typing import Any, Final
from uuid import UUID

from domain.disputes.decisions import NOTHING
from domain.disputes.state import Dispute
from domain.errors import MalformedError, UnknownError
from domain.tenants.state import Tenant
from infrastructure.commands.loading import load_tenant
from infrastructure.commands.referring import readable
from infrastructure.commands.voices import load_dispute
from infrastructure.ledger import Ledger
from infrastructure.projector import Projector
from projections import disputes

Row = dict[str, Any]
Place = tuple[int, str]
"""Of a dispute among others: the instant of its opening (ms), and its id."""
START: Final[Place] = (0, "")
MOST_LOOKED: Final = 256
"""Disputes that one page looks at."""


def scope_of(ledger: Ledger, dispute_id: str) -> Tenant:
    """Return the scope that a dispute lies before.

    Raises:
        UnknownError: when there is no such dispute.
        MalformedError: when that is no dispute's id.
    """
    try:
        log_id = ledger.recorder.log_of_stream(UUID(dispute_id))
    except ValueError:
        raise MalformedError("a dispute's id is a UUID, as `dispute open` printed it") from None
    if log_id is None or log_id == ledger.platform().log_id:
        raise UnknownError(NOTHING)
    scope = load_tenant(ledger, log_id)
    load_dispute(ledger, scope, dispute_id)
    return scope


def read_dispute(
    ledger: Ledger, asker: Tenant, dispute_id: str, *, jurisdictions: Collection[str] = (), operator: str = ""
) -> Row:
    """Return a dispute as a scope, an affected tenant or an operator concerned may see it.

    Args:
        ledger: the ledger.
        asker: the scope or tenant in whose log who asks is enrolled.
        dispute_id: which.
        jurisdictions: of whose tenants a scope's principal may learn; empty: of all.
        operator: of which operator the scope enrolled the key that asks; empty: of none.

    Raises:
        UnknownError: when there is none, or it does not concern who asks.
    """
    return _Look(ledger, asker, jurisdictions, operator).at(dispute_id)


class _Look:
    """Somebody's look at disputes: each log's rows are brought up to date once. Arguments as for `read_dispute`."""

    def __init__(self, ledger: Ledger, asker: Tenant, jurisdictions: Collection[str], operator: str) -> None:
        self._ledger = ledger
        self._asker = asker
        self._jurisdictions = jurisdictions
        self._operator = operator
        self._projector = Projector(ledger)
        self._fresh: set[UUID] = set()

    def _row(self, log_id: UUID, key: str) -> Row | None:
        if log_id not in self._fresh:
            self._projector.catch_up(log_id, [disputes.NAME])
            self._fresh.add(log_id)
        return self._projector.row(log_id, disputes.NAME, key)

    def at(self, dispute_id: str) -> Row:
        """Return one dispute. Raises as `read_dispute` does."""
        try:
            scope = scope_of(self._ledger, dispute_id)
        except MalformedError:
            raise UnknownError(NOTHING) from None
        row = self._row(UUID(scope.log_id), f"dispute/{dispute_id}")
        dispute: Dispute = load_dispute(self._ledger, scope, dispute_id)
        if row is None:
            raise UnknownError(NOTHING)
        concerned = [
            {"role": role, "name": name, "answered": (role, name) in dispute.answered}
            for role, name in sorted(dispute.concerned)
        ]
        whole = {"scope": scope.origin, **row, "concerned": concerned}
        if self._asker.dao:
            return _seen(whole, {self._asker.slot})
        if self._asker.log_id != scope.log_id:
            raise UnknownError(NOTHING)
        if self._operator:
            return _seen_by_operator(whole, self._operator)
        if self._jurisdictions:
            return _seen(whole, seen_slots(self._ledger, dispute, self._jurisdictions))
        return whole

    def after(self, place: Place, most: int) -> list[Place]:
        """Return where disputes lie behind a place in the order of their openings, `most` at most."""
        log_id = UUID(self._asker.log_id)
        self._row(log_id, "")
        first = disputes.key_of(*place) + "/"  # behind the place itself
        rows = self._projector.between(log_id, disputes.NAME, first, disputes.AFTER_ALL, most + 1)
        return [(row["opened_at_ms"], row["dispute"]) for key, row in sorted(rows.items()) if key >= first][:most]


def page_of_disputes(
    ledger: Ledger,
    asker: Tenant,
    *,
    limit: int,
    after: Place = START,
    status: str | None = None,
    jurisdictions: Collection[str] = (),
    operator: str = "",
) -> tuple[list[Row], Place | None]:
    """Return a page of the disputes before a scope, or that a tenant's log refers to, in the order of their openings.

    A page is bounded in what it looks at, not only in what it finds: it may be short, or empty, and not the last.

    Args:
        ledger: the ledger.
        asker: as for `read_dispute`, as are `jurisdictions` and `operator`.
        limit: disputes on a page.
        after: where the page before ended.
        status: only these; None: all.
        jurisdictions: see there.
        operator: see there.

    Returns:
        the page, and where it ends; None after the last.
    """
    look = _Look(ledger, asker, jurisdictions, operator)
    found: list[Row] = []
    places = look.after(after, MOST_LOOKED)
    for number, place in enumerate(places):
        with suppress(UnknownError):  # it does not concern who asks
            row = look.at(place[1])
            if status in {None, row["status"]}:
                found.append(row)
        if len(found) == limit:
            return found, place if number + 1 < len(places) or len(places) == MOST_LOOKED else None
    return found, places[-1] if len(places) == MOST_LOOKED else None


def seen_slots(ledger: Ledger, dispute: Dispute, jurisdictions: Collection[str]) -> set[int]:
    """Return the affected tenants that somebody sees who may learn of these jurisdictions only, by slot.

    One that nobody can read any more is of none.
    """
    return {
        one.slot
        for log_id, one in readable(ledger, dispute.opened.affected)
        if load_tenant(ledger, log_id).jurisdiction in jurisdictions
    }


def list_disputes(
    ledger: Ledger,
    asker: Tenant,
    *,
    status: str | None = None,
    jurisdictions: Collection[str] = (),
    operator: str = "",
) -> Iterator[Row]:
    """Yield all disputes, page by page. Arguments as for `page_of_disputes`."""
    after: Place | None = START
    while after is not None:
        rows, after = page_of_disputes(
            ledger, asker, limit=MOST_LOOKED, after=after, status=status, jurisdictions=jurisdictions, operator=operator
        )
        yield from rows


def _seen(row: Row, slots: Collection[int]) -> Row:
    """Return what a dispute says of some tenants' executions."""
    own = [one for one in row["affected"] if one["slot"] in slots]
    host = row["scope"].rpartition("/t/")[0]
    tenants = {("tenant", f"{host}/t/{slot}") for slot in slots}
    return _part(row, own, tenants | {("operator", one["operator"]) for one in own})


def _seen_by_operator(row: Row, name: str) -> Row:
    """Return what a dispute says to an operator: of what ran on its own nodes, without what others answered."""
    return _part(row, [one for one in row["affected"] if one["operator"] == name], {("operator", name)})


def _part(row: Row, own: list[Row], known: Collection[tuple[str, str]]) -> Row:
    """Return what a dispute says of some executions, and of these parties and the resolvers.

    Raises:
        UnknownError: when it says nothing of them.
    """
    if not own:
        raise UnknownError(NOTHING)
    cacs = {one["cac_id"] for one in own}

    def theirs(party: Row) -> bool:
        return party["role"] == "resolver" or (party["role"], party["name"]) in known

    return {
        **{name: value for name, value in row.items() if name not in {"evidence", "leaf_index", "at_ms"}},
        "affected": own,
        "answers": [one for one in row["answers"] if theirs(one["by"])],
        "concerned": [one for one in row["concerned"] if theirs(one)],
        "overturned": [cac for cac in row["overturned"] if cac in cacs],
    }
