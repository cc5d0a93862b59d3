"""The key by which what is posted to a tenant's webhooks verifies, as it is published.

Invariants:
- It signs nothing else, and the tenant's attestation key, which the registration names, says whose it is.
"""

from typing import Any
from uuid import UUID

from domain.statements import ENDORSEMENT
from infrastructure.commands.loading import load_tenant
from infrastructure.keys import base64url, ed25519
from infrastructure.keys.thumbprint import thumbprint
from infrastructure.ledger import Ledger
from infrastructure.statements import jws

ACT = "certify_webhooks"


def published_keys(ledger: Ledger, log_id: UUID) -> dict[str, Any]:
    """Return `keys`, a JWK Set (RFC 7517, RFC 8037), and `certificate`, the attestation key's word on them.

    The certificate is the same token each time: it says nothing that changes.
    """
    tenant, keys = load_tenant(ledger, log_id), ledger.keyring.get(log_id)
    public = ed25519.public_bytes(keys.webhook_key())
    kid = thumbprint(public)
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": base64url.encode(public), "kid": kid, "use": "sig", "alg": "EdDSA"}
    registered = ledger.first(log_id, log_id)
    at_s = 0 if registered is None else registered.at_ms // 1000
    content = {
        "act": ACT, "webhook_key": public.hex(), "iss": tenant.did, "aud": tenant.origin,
        "jti": public[:16].hex(), "iat": at_s, "exp": at_s + _LIFETIME_S,
    }  # fmt: skip
    return {"keys": {"keys": [jwk]}, "certificate": jws.sign(ENDORSEMENT, keys.attestation_key(), content)}


_LIFETIME_S = 100 * 366 * 86_400
