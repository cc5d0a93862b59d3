"""A tenant's registration, held against those who accepted it: which release key its admins signed for.

A server could name a release key of its own, and read what is sealed to it. The registration is signed by the tenant's
first admins; who knows their thumbprints from elsewhere need not take the server's word.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from domain.canonical import canonical
from domain.errors import LedgerError, VerificationError
from domain.statements import GOVERNANCE
from domain.tenants.decisions import accept_registration
from domain.tenants.events import TenantRegistered
from infrastructure.client.known import Keys
from infrastructure.commands.border import all_verified


def accepted_keys(tenant: Mapping[str, Any], admins: Sequence[str]) -> Keys:
    """Return a tenant's keys as a server tells them, once they are those that its registration names.

    Args:
        tenant: the row that the server sent. Nothing is sealed to a scope: it has a key of acknowledgements only.
        admins: thumbprints of who accepted the registration, from elsewhere; none: nobody vouches for them.

    Raises:
        VerificationError: when the registration is missing, names other keys, or was not accepted by its admins, or
            these are others.
    """
    try:
        if "release_key" not in tenant:
            return Keys(tenant["origin"], tenant["acknowledgement_key"])
        keys = Keys(*(tenant[name] for name in ("origin", "acknowledgement_key", "release_key", "output_key")))
        registered = TenantRegistered.model_validate_json(canonical(tenant["registration"]))
        known = {admin.kid: bytes.fromhex(admin.public_key) for admin in registered.admins}
        aud = registered.origin
        accepted = all_verified(registered.acceptances, typ=GOVERNANCE, keys=known, aud=aud, now_ms=None)
        accept_registration(registered, accepted)
    except (LedgerError, KeyError, TypeError, ValueError):
        raise VerificationError("the server shows no registration of the tenant that its admins accepted") from None
    if (registered.origin, registered.release_key, registered.output_key) != (
        keys.origin,
        keys.release_key,
        keys.output_key,
    ):
        raise VerificationError("the server tells other keys than those in the tenant's registration")
    if admins and not set(admins) <= known.keys():
        raise VerificationError("the tenant's registration was accepted by other admins than the profile names")
    return keys
