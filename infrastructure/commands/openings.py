"""How many disputes somebody has open: before a scope, and about one execution.

Invariants:
- About one execution the bound is exact: what is counted is at least as new as the stream that the opening extends.
- Before a scope it is exact but for openings that are under way at the same instant.
"""

from collections.abc import Iterable
from uuid import UUID

from domain.disputes.decisions import require_room
from domain.disputes.events import Affected, DisputeReferenced, Party
from domain.disputes.state import who
from domain.identifiers import stream_of
from domain.tenants.state import Tenant
from infrastructure.commands.loading import load_tenant
from infrastructure.commands.voices import load_dispute
from infrastructure.ledger import Ledger
from infrastructure.projector import Projector
from projections import disputes


def require_room_for(ledger: Ledger, scope: Tenant, party: Party, concerned: Iterable[tuple[UUID, Affected]]) -> None:
    """Refuse who has enough disputes open.

    Args:
        ledger: the ledger.
        scope: before whom one more is opened.
        party: by whom.
        concerned: what it is about. Read first what is to be appended to these executions' streams.

    Raises:
        RefusedError: naming the bound.
    """
    now_ms, log_id = ledger.clock.now_ms(), UUID(scope.log_id)
    projector = Projector(ledger)
    projector.catch_up(log_id, [disputes.NAME])
    row = projector.row(log_id, disputes.NAME, disputes.open_key(*who(party)))
    require_room(
        party,
        opened=disputes.opened_by(row, *who(party), now_ms),
        about_one=_about_one(ledger, party, concerned, now_ms),
    )


def _about_one(ledger: Ledger, party: Party, concerned: Iterable[tuple[UUID, Affected]], now_ms: int) -> int:
    streams = ledger.streams([(log_id, stream_of(one.execution_id)) for log_id, one in concerned])
    known: dict[str, bool] = {}
    most = 0
    for stream in streams:
        named = {item.event.dispute_id for item in stream if isinstance(item.event, DisputeReferenced)}
        for dispute_id in named - known.keys():
            known[dispute_id] = _is_open_by(ledger, party, dispute_id, now_ms)
        most = max(most, sum(known[one] for one in named))
    return most


def _is_open_by(ledger: Ledger, party: Party, dispute_id: str, now_ms: int) -> bool:
    log_id = ledger.recorder.log_of_stream(UUID(dispute_id))
    if log_id is None:
        return False
    found = load_dispute(ledger, load_tenant(ledger, log_id), dispute_id)
    return found.undecided(now_ms) and who(found.opened.party) == who(party)
