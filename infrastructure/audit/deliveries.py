"""Deliveries of results: to an open subscription, in the order of the log, each once. That they came nobody signed."""

from domain.errors import VerificationError
from domain.identifiers import stream_of
from domain.message import Recorded
from domain.subscriptions.events import ResultDelivered, SubscriptionLapsed
from infrastructure.audit.known import Known

_OPEN = "deliveries of results: the log's own stream was not disclosed"
_CHECKED = "results delivered: to a subscription, in order, once"
_LAPSED = -1


def follow(known: Known, event: ResultDelivered | SubscriptionLapsed, recorded: Recorded) -> None:
    """Check what a subscription's own stream says.

    Raises:
        VerificationError: when there is no such subscription, or the entry was told before, or lies elsewhere.
    """
    name = event.subscription_id
    if known.tenant(_OPEN) is not None and name not in known.subscriptions.ever:
        raise VerificationError("a result was delivered to a subscription that was never opened")
    last = known.delivered.get(name, -2)
    if last == _LAPSED:
        raise VerificationError("a result was delivered to a subscription that had lapsed")
    opened = known.subscriptions.open.get(name)
    first = last + 1 if opened is None else max(last + 1, opened.after + 1)
    if not first <= event.leaf_index < recorded.leaf_index:
        raise VerificationError("results are delivered in the order of the log, each once, from where it was agreed on")
    if isinstance(event, SubscriptionLapsed):
        known.delivered[name] = _LAPSED
        return
    known.delivered[name] = event.leaf_index
    stream = stream_of(event.cac_id)
    there = stream in known.order.versions or known.ended.get(stream.bytes) is not None
    if not there and known.sealed == 0:
        raise VerificationError("what was delivered is no result of this log")
    known.checked[_CHECKED] += 1
