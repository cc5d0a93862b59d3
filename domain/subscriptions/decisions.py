"""What may become of a tenant's subscriptions: opened and ended by its admins at their threshold.

Invariants:
- A subscription is named by the statement that opened it, so its name is given once.
- What is signed commits to the address with a salt; the address itself is in no entry.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from domain.errors import ConflictError, NotAuthorisedError, RefusedError, UnknownError
from domain.message import Event
from domain.payloads import StoredPayload
from domain.statements import Signed, require_threshold
from domain.subscriptions.events import SubscriptionEnded, SubscriptionOpened, Wanted
from domain.tenants.state import Tenant

MOST_OPEN: Final = 16
"""Subscriptions of one tenant at once."""


@dataclass(frozen=True, slots=True)
class Subscriptions:
    """The subscriptions of one log that are open, by id, and the ids of all that ever were."""

    open: dict[str, SubscriptionOpened]
    ever: frozenset[str]

    @classmethod
    def none(cls) -> "Subscriptions":
        """Begin without any."""
        return cls({}, frozenset())

    def after(self, event: Event) -> "Subscriptions":
        """Return them after one more event of the log's own stream."""
        if isinstance(event, SubscriptionOpened):
            one = event.subscription_id
            return Subscriptions({**self.open, one: event}, self.ever | {one})
        if isinstance(event, SubscriptionEnded):
            left = {name: opened for name, opened in self.open.items() if name != event.subscription_id}
            return Subscriptions(left, self.ever)
        return self


def fold(events: Iterable[Event]) -> Subscriptions:
    """Return the subscriptions that a log's own stream tells of."""
    found = Subscriptions.none()
    for event in events:
        found = found.after(event)
    return found


def subscribe(
    tenant: Tenant,
    known: Subscriptions,
    wanted: Wanted,
    *,
    after: int,
    commitment: str,
    address: StoredPayload,
    signatures: Sequence[Signed],
) -> SubscriptionOpened:
    """Open a subscription.

    Args:
        tenant: whose results.
        known: its subscriptions.
        wanted: which results.
        after: leaf index after which it begins.
        commitment: of the address.
        address: where that is kept.
        signatures: the admins'.

    Raises:
        NotAuthorisedError: below the admins' threshold.
        ConflictError: when that statement opened one already.
        RefusedError: when too many are open, or the log is no tenant's.
    """
    if not tenant.dao:
        raise RefusedError("results are a tenant's: a scope has none")
    if not signatures:
        raise NotAuthorisedError("no signature was given")
    named = signatures[0].jti
    if named in known.ever:
        raise ConflictError("this statement opened a subscription already")
    if len(known.open) >= MOST_OPEN:
        raise RefusedError(f"{MOST_OPEN} subscriptions are open: end one first")
    _require(tenant, signatures, subscription_claims(wanted, after, commitment))
    return SubscriptionOpened(
        subscription_id=named, wanted=wanted, after=after, commitment=commitment, address=address,
        statements=tuple(signed.token for signed in signatures),
    )  # fmt: skip


def unsubscribe(
    tenant: Tenant, known: Subscriptions, subscription_id: str, signatures: Sequence[Signed]
) -> SubscriptionEnded:
    """End a subscription.

    Raises:
        UnknownError: when none of that id is open.
        NotAuthorisedError: below the admins' threshold.
    """
    if subscription_id not in known.open:
        raise UnknownError("no such subscription is open")
    _require(tenant, signatures, ending_claims(subscription_id))
    return SubscriptionEnded(subscription_id=subscription_id, statements=tuple(signed.token for signed in signatures))


def subscription_claims(wanted: Wanted, after: int, commitment: str) -> dict[str, Any]:
    """Return what admins say when they open a subscription: members that choose nothing are left out."""
    chosen = {name: value for name, value in wanted.model_dump(mode="json").items() if value is not None}
    return {"act": "subscribe_cacs", **chosen, "after": after, "commitment": commitment}


def ending_claims(subscription_id: str) -> dict[str, Any]:
    """Return what admins say when they end a subscription."""
    return {"act": "unsubscribe_cacs", "subscription": subscription_id}


def _require(tenant: Tenant, signatures: Sequence[Signed], expected: dict[str, Any]) -> None:
    require_threshold(signatures, tenant.principals, roles=tenant.admins, threshold=tenant.threshold, expected=expected)
