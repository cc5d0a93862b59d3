"""Subscriptions of a tenant to its own results, by its admins.

Invariants:
- The address is attached, sealed under the stream of the subscription; statement and event commit to it.
- Where it may lead is looked at when it is posted to: names change.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from domain.attestation.binding import SALT_BYTES, salted_commitment
from domain.errors import MalformedError, NotAuthorisedError
from domain.identifiers import subscription_stream
from domain.subscriptions import decisions
from domain.subscriptions.decisions import Subscriptions, fold
from domain.subscriptions.events import SubscriptionOpened, Wanted
from domain.tenants.state import Tenant
from infrastructure.commands.tenants import govern
from infrastructure.ledger import Answer, Ledger
from infrastructure.posting.targets import Target
from infrastructure.statements import jws


@dataclass(frozen=True, slots=True)
class Address:
    """A webhook's URL with the salt (32 bytes) of the commitment to it. It may hold a secret: no text shows it."""

    salt: bytes
    url: str

    def __repr__(self) -> str:
        """Return nothing of it."""
        return "Address(...)"

    @property
    def commitment(self) -> str:
        """Return what is signed of it, in hex.

        Raises:
            MalformedError: when salt or URL are not of their form.
        """
        return salted_commitment(self.salt, self._bytes).hex()

    @property
    def _bytes(self) -> bytes:
        Target.parse(self.url)
        return self.url.encode()

    def to_bytes(self) -> bytes:
        """Return it as it is sealed."""
        return self.salt + self._bytes

    @classmethod
    def from_bytes(cls, data: bytes) -> "Address":
        """Read what `to_bytes` gave."""
        return cls(data[:SALT_BYTES], data[SALT_BYTES:].decode())


def load_subscriptions(ledger: Ledger, log_id: UUID) -> Subscriptions:
    """Return the subscriptions of a log."""
    return fold(recorded.event for recorded in ledger.stream(log_id, log_id))


def subscribe(
    ledger: Ledger, tenant: Tenant, wanted: Wanted, *, after: int, address: Address, tokens: Sequence[str]
) -> Answer:
    """Tell a tenant's results to an address, from after a leaf index on.

    Raises:
        MalformedError: when the address can't be a webhook's.
        NotAuthorisedError: below the admins' threshold, or when they signed another address.
        RefusedError: when too many are open.
    """
    if not tokens:
        raise NotAuthorisedError("no signature was given")
    log_id, named = UUID(tenant.log_id), jws.peek(tokens[0])[1].get("jti")
    if not isinstance(named, str):
        raise MalformedError("a statement has a jti")
    said = address.commitment
    sealed = ledger.attach(log_id, subscription_stream(named), address.to_bytes())
    known = load_subscriptions(ledger, log_id)
    return govern(
        ledger,
        tenant,
        tokens,
        lambda signed: decisions.subscribe(
            tenant, known, wanted, after=after, commitment=said, address=sealed.reference(), signatures=signed
        ),
        attachments=(sealed,),
    )


def unsubscribe(ledger: Ledger, tenant: Tenant, subscription_id: str, tokens: Sequence[str]) -> Answer:
    """Tell nothing more there. Raises as `decisions.unsubscribe` does."""
    known = load_subscriptions(ledger, UUID(tenant.log_id))
    return govern(ledger, tenant, tokens, lambda signed: decisions.unsubscribe(tenant, known, subscription_id, signed))


def address_of(ledger: Ledger, log_id: UUID, opened: SubscriptionOpened) -> Address:
    """Return where a subscription is told.

    Raises:
        LedgerError: when it can't be opened any more.
    """
    stream = subscription_stream(opened.subscription_id)
    return Address.from_bytes(ledger.attached(log_id, stream, opened.address.digest))


def new_address(url: str, salt: bytes) -> dict[str, Any]:
    """Return what is handed in beside the statements, and said in them: `url`, `salt`, `commitment`."""
    return {"url": url, "salt": salt.hex(), "commitment": Address(salt, url).commitment}
