"""Who holds a key that somebody enrols, and which keys have acted for a tenant.

Invariants:
- A key is named by its own thumbprint; it is enrolled under no other key's name.
- A key acts for a tenant once it has signed for it: its registration, its own acceptance when it was enrolled, or an
  act in the log's own stream. That somebody enrolled it says nothing: anybody can enrol anybody's public key.
- It has acted for ever: to revoke it later undoes nothing.
"""

from collections.abc import Iterable, Sequence
from uuid import UUID

from domain.errors import MalformedError
from domain.message import Event
from domain.platform.events import AdminKey
from domain.statements import Signed
from domain.tenants.events import (
    HolderEnrolled,
    PrincipalEnrolled,
    ScopeRegistered,
    ScopeRegisteredBelow,
    TenantRegistered,
)
from infrastructure.commands.border import verified_or_known
from infrastructure.keys.thumbprint import require_thumbprint
from infrastructure.ledger import Ledger
from infrastructure.statements import jws


def acceptance(ledger: Ledger, log_id: UUID, enrolled: PrincipalEnrolled, origin: str) -> Signed | None:
    """Return what a key that is to be enrolled says itself, verified with that key; None where it says nothing.

    Raises:
        MalformedError: when its name is not its thumbprint.
        NotAuthorisedError: when the acceptance is not by this very key, for this log, now (or it is known).
    """
    require_thumbprint(enrolled.kid, enrolled.public_key)
    if not isinstance(enrolled, HolderEnrolled):
        return None
    keys = {enrolled.kid: bytes.fromhex(enrolled.public_key)}
    typ = enrolled.statement_type
    return verified_or_known(ledger, log_id, enrolled.acceptance, typ=typ, keys=keys, aud=origin)


def admin_keys(admins: Sequence[AdminKey]) -> dict[str, bytes]:
    """Return the public keys of a registration's admins by thumbprint.

    Raises:
        MalformedError: when one is named by another key's thumbprint.
    """
    for admin in admins:
        require_thumbprint(admin.kid, admin.public_key)
    return {admin.kid: bytes.fromhex(admin.public_key) for admin in admins}


def acting_keys(history: Iterable[Event]) -> frozenset[str]:
    """Return the raw public keys (hex) that have signed for a tenant or scope, revoked ones among them.

    Args:
        history: the events of the log's own stream, which were verified when they were taken in.
    """
    known: dict[str, str] = {}
    acting: set[str] = set()
    for event in history:
        if isinstance(event, TenantRegistered | ScopeRegistered | ScopeRegisteredBelow):
            known.update({admin.kid: admin.public_key for admin in event.admins})
            acting.update(known.values())
        elif isinstance(event, PrincipalEnrolled):
            known[event.kid] = event.public_key
            if isinstance(event, HolderEnrolled):
                acting.add(event.public_key)
        acting.update(known[kid] for kid in _signatories(event) if kid in known)
    return frozenset(acting)


def _signatories(event: Event) -> Iterable[str]:
    for token in getattr(event, "statements", ()):
        try:
            yield jws.peek(token)[0]["kid"]
        except MalformedError:
            continue
