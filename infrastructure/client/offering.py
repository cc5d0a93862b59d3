"""Standing offers at a server: signed by the operator's key, vouched for by the root's admins, one of whom asks."""

from collections.abc import Sequence

from domain.pools.decisions import appointment_claims
from domain.statements import GOVERNANCE
from infrastructure.client.answers import Written
from infrastructure.client.remote import Remote
from infrastructure.keys.wallet import Purpose, Wallet


def stand(
    remote: Remote, root_admins: Sequence[Wallet], wallet: Wallet, *, pool: str, operator: str, until_ms: int,
    slots: int | None, memory_bytes: int | None,
) -> Written:  # fmt: skip
    """Let an operator offer its nodes of a pool to overflow."""
    limits = {"slots": slots, "memory_bytes": memory_bytes, "until_ms": until_ms}
    act = {"act": "stand_offer", "pool": pool, "operator": operator, **limits}
    scope, aud, terms, key = remote.drafted(act)
    public = wallet.public(Purpose.GOVERNANCE).hex()
    statements = remote.signed([wallet], GOVERNANCE, iss=wallet.did(Purpose.GOVERNANCE), aud=aud, claims=terms)
    vouched = appointment_claims(pool, operator, public)
    appointed = remote.signed(root_admins, GOVERNANCE, iss=scope, aud=aud, claims=vouched)
    body = {"statements": list(statements), "public_key": public, "appointed": list(appointed)}
    return remote.handed_in("/v1/offers", statements, body, {aud: key})


def withdraw(
    remote: Remote, root_admins: Sequence[Wallet], wallet: Wallet | None, *, pool: str, operator: str
) -> Written:
    """Withdraw the offer that stands: by its operator's wallet, or else by the root's admins."""
    scope, aud, claims, key = remote.drafted({"act": "withdraw_offer", "pool": pool, "operator": operator})
    if wallet is not None:
        iss = wallet.did(Purpose.GOVERNANCE)
        statements = remote.signed([wallet], GOVERNANCE, iss=iss, aud=aud, claims=claims)
    else:
        statements = remote.signed(root_admins, GOVERNANCE, iss=scope, aud=aud, claims=claims)
    return remote.handed_in("/v1/offers/withdrawals", statements, {"statements": list(statements)}, {aud: key})
