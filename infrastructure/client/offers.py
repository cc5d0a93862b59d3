"""What a pool's operator and the root's admins sign of standing offers, and hand in."""

from collections.abc import Sequence

from domain.errors import UnknownError
from domain.pools.decisions import appointment_claims, offer_claims, withdrawal_claims
from infrastructure.client.acts import governed, root_scope
from infrastructure.commands import standing_offers
from infrastructure.keys.wallet import Purpose, Wallet
from infrastructure.ledger import Answer, Ledger


def stand(
    ledger: Ledger, root_admins: Sequence[Wallet], wallet: Wallet, *, pool: str, operator: str, until_ms: int,
    slots: int | None = None, memory_bytes: int | None = None,
) -> Answer:  # fmt: skip
    """Let an operator offer its nodes of a pool to overflow; the root's admins vouch for its key."""
    aud, public = ledger.platform().origin, wallet.public(Purpose.GOVERNANCE)
    number, _ = standing_offers.newest_offer(ledger, pool, operator)
    terms = offer_claims(pool, operator, number, slots=slots, memory_bytes=memory_bytes, until_ms=until_ms)
    (statement,) = governed(ledger, [wallet], wallet.did(Purpose.GOVERNANCE), aud, terms)
    vouched = appointment_claims(pool, operator, public.hex())
    appointed = governed(ledger, root_admins, root_scope(ledger).did, aud, vouched)
    return standing_offers.stand_offer(
        ledger, pool=pool, operator=operator, slots=slots, memory_bytes=memory_bytes, until_ms=until_ms,
        public_key=public, statement=statement, appointed=appointed,
    )  # fmt: skip


def withdraw(
    ledger: Ledger, pool: str, operator: str, *, wallet: Wallet | None = None, root_admins: Sequence[Wallet] = ()
) -> Answer:
    """Withdraw the offer that stands: by its operator's wallet, or else by the root's admins.

    Raises:
        UnknownError: when none stands.
    """
    _, standing = standing_offers.newest_offer(ledger, pool, operator)
    if standing is None:
        raise UnknownError("no offer of that operator stands in that pool")
    claims, aud = withdrawal_claims(pool, operator, standing.number), ledger.platform().origin
    if wallet is not None:
        tokens = governed(ledger, [wallet], wallet.did(Purpose.GOVERNANCE), aud, claims)
    else:
        tokens = governed(ledger, root_admins, root_scope(ledger).did, aud, claims)
    return standing_offers.withdraw_offer(ledger, pool=pool, operator=operator, statements=tokens)
