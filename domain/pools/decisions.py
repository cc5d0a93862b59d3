"""What is said of standing offers, and by whom (wire formats 4: statements of governance in the platform log)."""

from typing import Any

from domain.errors import RefusedError
from domain.policies.kinds import PRIMARY

MOST_MS = 400 * 24 * 3_600_000
"""An offer stands so long at most: who runs a pool says again that it wants to."""


def offer_claims(
    pool: str, operator: str, number: int, *, slots: int | None, memory_bytes: int | None, until_ms: int
) -> dict[str, Any]:
    """Return what a pool's operator says when it makes an offer."""
    terms = {"slots": slots, "memory_bytes": memory_bytes, "until_ms": until_ms}
    return {"act": "stand_offer", "pool": pool, "operator": operator, "number": number, **terms}


def appointment_claims(pool: str, operator: str, public_key: str) -> dict[str, Any]:
    """Return what the root's admins say of the key that speaks for a pool's operator."""
    return {"act": "appoint_pool_operator", "pool": pool, "operator": operator, "public_key": public_key}


def withdrawal_claims(pool: str, operator: str, number: int) -> dict[str, Any]:
    """Return what is said when an offer is withdrawn, by whoever may."""
    return {"act": "withdraw_offer", "pool": pool, "operator": operator, "number": number}


def require_terms(pool: str, until_ms: int, now_ms: int) -> None:
    """Refuse terms that no offer can have.

    Raises:
        RefusedError: for the primary pool, and for an offer that is over already or stands for too long.
    """
    if pool == PRIMARY:
        raise RefusedError("work is placed in the primary pool without an offer")
    if until_ms <= now_ms:
        raise RefusedError("an offer that is over already helps nobody")
    if until_ms > now_ms + MOST_MS:
        raise RefusedError(f"an offer stands for {MOST_MS // 86_400_000} days at most: make it anew in time")
