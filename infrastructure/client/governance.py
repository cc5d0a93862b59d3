"""Acts of scopes: grants of quotas and tokens, scopes below, and monitors that tenants appoint.

Like all acts: built and signed here, believed nowhere (infrastructure.client.acts).
"""

from collections.abc import Sequence
from uuid import UUID

from domain.errors import RefusedError
from domain.quotas.events import Quota
from domain.quotas.tree import Quotas
from domain.statements import ENDORSEMENT
from domain.tenants.decisions import acceptance_claims, appointment_claims, enrolment_claims
from domain.tenants.events import MonitorKind, ScopeKind
from domain.tenants.grants import Allowance, bandwidth_claims, next_bandwidth, next_quota, quota_claims
from domain.tenants.scopes import scope_claims
from domain.tenants.state import Tenant
from infrastructure.client.acts import Wallets, governed, principal
from infrastructure.client.signing import admin_key
from infrastructure.commands import grants, scopes, tenants
from infrastructure.commands.loading import load_root, load_tenant
from infrastructure.commands.tenants import Enrolment
from infrastructure.keys.wallet import Purpose, Wallet
from infrastructure.ledger import Answer, Ledger


def grant_quota(
    ledger: Ledger,
    admins: Wallets,
    grantee: Tenant,
    *,
    slots: Quota | None = None,
    memory_bytes: Quota | None = None,
    weight: int = 1,
) -> Answer:
    """Grant quotas to a tenant or scope, by admins of the scope above it (of itself: for the root)."""
    quotas, scope = Quotas(slots, memory_bytes, weight), grants.granting_scope(ledger, grantee)
    claims = quota_claims(grantee, next_quota(grantee), quotas)
    return grants.quota(ledger, grantee, quotas, governed(ledger, admins, scope.did, grantee.origin, claims))


def grant_tokens(
    ledger: Ledger,
    admins: Wallets,
    grantee: Tenant,
    *,
    tokens: int,
    period_ms: int,
    burst: int,
    from_ms: int | None = None,
    until_ms: int,
) -> Answer:
    """Grant tokens to a tenant, by admins of the scope above it: from now on, unless `from_ms` says when."""
    begins_ms = ledger.clock.now_ms() if from_ms is None else from_ms
    allowance = Allowance(tokens, period_ms, burst, begins_ms, until_ms)
    claims = bandwidth_claims(grantee, next_bandwidth(grantee), allowance)
    did = grants.granting_scope(ledger, grantee).did
    return grants.bandwidth(ledger, grantee, allowance, governed(ledger, admins, did, grantee.origin, claims))


def register_scope(
    ledger: Ledger,
    *,
    name: str,
    kind: ScopeKind,
    admins: Sequence[Wallet],
    threshold: int = 1,
    parent: Tenant | None = None,
    parent_admins: Wallets,
) -> Tenant:
    """Register a scope below the root, or below `parent`: its admins accept, the parent's endorse.

    Its admins' keys for endorsements are enrolled too, and their credential keys issue for the tenants below it.
    """
    keys = [admin_key(wallet) for wallet in admins]
    if len({key.person for key in keys}) < threshold:
        raise RefusedError("the threshold is larger than the number of persons")
    above, did = parent or load_root(ledger), admins[0].did(Purpose.GOVERNANCE)
    registration = scopes.prepare_scope(
        ledger,
        name=name,
        kind=kind,
        parent=above,
        did=did,
        admins=keys,
        threshold=threshold,
        issuers=[wallet.did(Purpose.CREDENTIAL) for wallet in admins],
    )
    enrolled = [principal(wallet, Purpose.ENDORSEMENT, "endorser", ENDORSEMENT) for wallet in admins]
    aud = registration.origin
    scopes.register_scope(
        ledger,
        registration,
        acceptances=governed(ledger, admins, did, aud, acceptance_claims(registration)),
        endorsements=governed(ledger, parent_admins, above.did, aud, scope_claims(registration)),
        enrolments=[Enrolment(one, governed(ledger, admins, did, aud, enrolment_claims(one))) for one in enrolled],
    )
    return load_tenant(ledger, UUID(registration.scope_id))


def appoint_monitor(
    ledger: Ledger, tenant: Tenant, admins: Wallets, name: str, kind: MonitorKind = "treaty_monitor"
) -> Answer:
    """Appoint who is told of a tenant's faults, by its own admins."""
    tokens = governed(ledger, admins, tenant.did, tenant.origin, appointment_claims(name, kind))
    return tenants.appoint(ledger, tenant, name, kind, tokens)
