"""Grants of quotas and tokens: acts of the scope above, recorded in the grantee's own log."""

from collections.abc import Sequence
from typing import Final

from domain.errors import UnavailableError
from domain.quotas.events import BandwidthGranted, QuotaGranted
from domain.quotas.tree import Quotas, Tree, concerned
from domain.statements import Signed
from domain.tenants.grants import Allowance, grant_quota, grant_tokens, holder_of
from domain.tenants.state import Tenant
from infrastructure.commands.guarding import guard_of
from infrastructure.commands.loading import everybody, scopes_above
from infrastructure.commands.tenants import govern
from infrastructure.ledger import Answer, Ledger
from infrastructure.postgres.records import MovedOnError

_ATTEMPTS: Final = 8


def granting_scope(ledger: Ledger, grantee: Tenant) -> Tenant:
    """Return the scope that grants to a tenant or scope: the one above, or the root itself."""
    return scopes_above(ledger, grantee)[0] if grantee.parent else grantee


def quota(ledger: Ledger, grantee: Tenant, quotas: Quotas, tokens: Sequence[str]) -> Answer:
    """Grant quotas, by the admins of the scope above.

    Raises:
        RefusedError: when a limit above or below would be oversubscribed.
        NotAuthorisedError: below the threshold.
        ConflictError: when the grantee's log moved on.
    """
    for _ in range(_ATTEMPTS):
        try:
            return _quota(ledger, grantee, quotas, tokens)
        except MovedOnError:  # others were granted something meanwhile: count again, two could oversubscribe together
            continue
    raise UnavailableError("what others are granted keeps changing: repeat")


def _quota(ledger: Ledger, grantee: Tenant, quotas: Quotas, tokens: Sequence[str]) -> Answer:
    everyone = {one.origin: one for one in everybody(ledger)}
    tree: Tree = {origin: holder_of(one) for origin, one in everyone.items()}
    scope = everyone.get(grantee.parent, grantee)
    guards = [guard_of(everyone[origin]) for origin in sorted(concerned(tree, grantee.origin) | {scope.origin})]

    def decide(signed: Sequence[Signed]) -> QuotaGranted:
        return grant_quota(scope, grantee, quotas, signed, tree=tree)

    own = guard_of(grantee)
    return govern(ledger, grantee, tokens, decide, by=scope, guards=[one for one in guards if one != own])


def bandwidth(ledger: Ledger, grantee: Tenant, allowance: Allowance, tokens: Sequence[str]) -> Answer:
    """Grant tokens, by the admins of the scope above.

    Raises:
        RefusedError: for a scope, or when they would end before they begin.
        NotAuthorisedError: below the threshold.
        MovedOnError: when the keys of the scope above changed meanwhile; repeat.
    """
    scope = granting_scope(ledger, grantee)

    def decide(signed: Sequence[Signed]) -> BandwidthGranted:
        return grant_tokens(scope, grantee, allowance, signed)

    return govern(ledger, grantee, tokens, decide, by=scope, guards=[guard_of(scope)] if grantee.parent else ())
