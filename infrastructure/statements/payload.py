"""The payload of a statement that is about to be signed."""

from collections.abc import Mapping
from typing import Any

from domain.time import HOUR_MS, SECOND_MS
from infrastructure.entropy import Entropy

_LIFETIME_S = HOUR_MS // SECOND_MS


def payload(
    *, iss: str, aud: str, claims: Mapping[str, Any], now_ms: int, entropy: Entropy, jti: str | None = None
) -> dict[str, Any]:
    """Return a statement's payload: registered claims, a fresh command id, and what it says."""
    issued = now_ms // SECOND_MS
    return {
        **claims,
        "iss": iss,
        "aud": aud,
        "jti": jti or entropy.bytes(16).hex(),
        "iat": issued,
        "exp": issued + _LIFETIME_S,
    }
