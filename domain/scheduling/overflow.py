"""Standing offers at work: on which nodes of other pools than the primary one overflow is taken now.

Invariants:
- Overflow goes only to nodes of a pool and operator for which an offer stands that is not over, and which leaves
  room for all enclaves of the attempt: so what overflow holds there never exceeds what was offered by then.
- What of an offer is used is the sum of live executions on its nodes; an offer that is withdrawn or over ends none.
"""

from domain.scheduling.desk import Desk
from domain.scheduling.tables import Offer
from domain.scheduling.views import View
from domain.workloads.events import StandingOffer


def when_stood(state: Desk, view: View) -> None:
    """Put an offer in force."""
    pool = view["pool"], view["operator"]
    state.offers[pool] = Offer(*(view[name] for name in Offer._fields))
    state.reopen(pool)


def when_withdrawn(state: Desk, view: View) -> None:
    """Let an offer be over."""
    offer = state.offers.get((view["pool"], view["operator"]))
    if offer is not None and offer.number == view["number"]:
        del state.offers[view["pool"], view["operator"]]


def taken(state: Desk, nodes: list[int]) -> tuple[StandingOffer, ...]:
    """Return the offers by which some nodes take overflow, in order."""
    facts = [state.eligibility.facts[at] for at in nodes]
    found = []
    for pool, operator in sorted({(one.pool, one.operator) for one in facts}):
        offer = state.offers[pool, operator]
        found.append(StandingOffer(pool=pool, operator=operator, number=offer.number, statement=offer.statement))
    return tuple(found)
