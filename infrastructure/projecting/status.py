"""How the read models stand: where each is, how far behind in events and in time, and what stops it.

Invariants:
- Nothing of an entry's content is told: positions, sizes, kinds of errors.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from domain.errors import LedgerError
from domain.message import Sealed
from infrastructure.ledger import Ledger
from infrastructure.postgres.leases import held
from infrastructure.postgres.views import Standing, Views
from infrastructure.projecting.supervisor import lease_of


@dataclass(frozen=True, slots=True)
class LogStatus:
    """How a projection stands in one log.

    `state` is `live`, `behind`, `building` (an edition beside the live one), `stopped` (by an event) or `erased`
    (no data key). `lag_ms` is the age of the oldest event that is not in the rows yet; None where it can't be told.
    `edition` is what readers read: None before the first batch.
    """

    projection: str
    origin: str
    edition: str | None
    state: str
    position: int
    size: int
    lag_events: int
    lag_ms: int | None
    building: str | None
    built: int
    error: str | None
    error_at: int | None
    error_since_ms: int | None


@dataclass(frozen=True, slots=True)
class Status:
    """How all projections stand, and which of them some process keeps live now."""

    kept: frozenset[str]
    logs: tuple[LogStatus, ...]


def read_status(ledger: Ledger, projections: Iterable[str], log_id: UUID | None = None) -> Status:
    """Return how projections stand, in one log or in each.

    Raises:
        UnavailableError: when the database does not answer.
    """
    names = list(projections)
    views = Views(ledger.datastore)
    leases = held(views, frozenset(map(lease_of, names)))
    found = [_log_status(ledger, name, standing) for name in names for standing in views.standings(name, log_id)]
    return Status(frozenset(name for name in names if lease_of(name) in leases), tuple(found))


def _log_status(ledger: Ledger, name: str, standing: Standing) -> LogStatus:
    erased = _erased(ledger, standing.log_id)
    lag = 0 if erased else standing.size - standing.position
    fault = standing.fault
    return LogStatus(
        projection=name,
        origin=ledger.log(standing.log_id).origin,
        edition=standing.live,
        state=_state(standing, lag, erased=erased),
        position=standing.position,
        size=standing.size,
        lag_events=lag,
        lag_ms=_lag_ms(ledger, standing) if lag else 0,
        building=standing.building,
        built=standing.built,
        error=None if fault is None or erased else fault.error,
        error_at=None if fault is None or erased else fault.leaf_index,
        error_since_ms=None if fault is None or erased else fault.since_ms,
    )


def _state(standing: Standing, lag: int, *, erased: bool) -> str:
    if erased:
        return "erased"
    if standing.fault is not None:
        return "stopped"
    if standing.building is not None:
        return "building"
    return "behind" if lag else "live"


def _erased(ledger: Ledger, log_id: UUID) -> bool:
    try:
        return ledger.erased(log_id)
    except LedgerError:  # its keys are missing: that is a fault, and stands among the faults
        return False


def _lag_ms(ledger: Ledger, standing: Standing) -> int | None:
    try:
        oldest = ledger.at(standing.log_id, standing.position)
    except LedgerError:
        return None
    return None if isinstance(oldest.event, Sealed) else max(0, ledger.clock.now_ms() - oldest.at_ms)
