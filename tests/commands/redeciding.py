"""Decides a whole cell again, from its stored views alone, and compares with what was decided."""

from dataclasses import dataclass

from domain.scheduling.state import Scheduling
from domain.transparency.traces import Kind
from infrastructure.engine_digest import engine_digest
from infrastructure.ledger import Ledger
from infrastructure.postgres.feed import Feed
from infrastructure.redeciding.replay import Replay
from infrastructure.stored_views import StoredViews


@dataclass
class Redecided:
    """The state folded from views, how many decisions were made again, and how many of them of logs without a key."""

    state: Scheduling
    decisions: int = 0
    unreadable: int = 0


def redecide(ledger: Ledger) -> Redecided:
    """Take every stored view from the first; each decision is made again where it was made, and compared."""
    replay, sealed, last = Replay(engine_digest()), list[bool](), 0
    for row, folded in StoredViews(ledger).follow(Feed(ledger.datastore).read_feed(0, 100_000)):
        for one in folded:
            assert one.recorded is None, "every view is stored"
            replay.take(row.position, one.view, returned=row.returned)
            sealed.append(ledger.erased(row.log_id))
        last = row.position
    replay.finish()
    replay.settle(last)
    kinds = replay.drain()
    assert replay.foreign == {}
    unreadable = sum(kind is Kind.DECISION and hidden for kind, hidden in zip(kinds, sealed, strict=True))
    return Redecided(replay.state, replay.redecided, unreadable)
