"""Acts of scopes: grants of quotas and tokens, scopes below, and monitors that tenants appoint.

Like all acts: built and signed here, believed nowhere (infrastructure.client.acts).
"""

from collections.abc import Sequence
from uuid import UUID

from domain.errors import RefusedError
from domain.quotas.events import Quota
from domain.quotas.tree import Quotas
from domain.statements import ENDORSEMENT
from domain.subscriptions.decisions import ending_claims, subscription_claims
from domain.subscriptions.events import Wanted
from domain.tenants import issuers
from domain.tenants.decisions import acceptance_claims, appointment_claims, enrolment_claims
from domain.tenants.events import MonitorKind, ReaderEnrolled, ScopeKind
from domain.tenants.grants import Allowance, bandwidth_claims, next_bandwidth, next_quota, quota_claims
from domain.tenants.scopes import scope_claims
from domain.tenants.state import Tenant
from infrastructure.client.acts import Wallets, governed, principal
from infrastructure.client.signing import admin_key
from infrastructure.commands import grants, scopes, subscriptions, tenants
from infrastructure.commands.loading import load_root, load_tenant
from infrastructure.commands.subscriptions import Address
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


def enrol_issuer(ledger: Ledger, scope: Tenant, admins: Wallets, did: str) -> Answer:
    """Let a DID issue credentials in a scope's name, by the scope's admins."""
    tokens = governed(ledger, admins, scope.did, scope.origin, issuers.enrolment_claims(did))
    return tenants.enrol_issuer(ledger, scope, did, tokens)


def revoke_issuer(ledger: Ledger, scope: Tenant, admins: Wallets, did: str, reason: str) -> Answer:
    """Withdraw an issuer for ever, by the scope's admins; every credential of its own ends with it."""
    tokens = governed(ledger, admins, scope.did, scope.origin, issuers.revocation_claims(did, reason))
    return tenants.revoke_issuer(ledger, scope, did, reason, tokens)


def appoint_monitor(
    ledger: Ledger, tenant: Tenant, admins: Wallets, name: str, kind: MonitorKind = "treaty_monitor"
) -> Answer:
    """Appoint who is told of a tenant's faults, by its own admins."""
    tokens = governed(ledger, admins, tenant.did, tenant.origin, appointment_claims(name, kind))
    return tenants.appoint(ledger, tenant, name, kind, tokens)


def enrol_reader(ledger: Ledger, tenant: Tenant, admins: Wallets, reader: ReaderEnrolled) -> Answer:
    """Enrol a key that only asks for tokens, by the admins of a tenant or scope."""
    tokens = governed(ledger, admins, tenant.did, tenant.origin, enrolment_claims(reader))
    return tenants.enrol_reader(ledger, tenant, reader, tokens)


def subscribe(
    ledger: Ledger, tenant: Tenant, admins: Wallets, wanted: Wanted, address: Address, *, after: int | None = None
) -> Answer:
    """Let a tenant's results be told to an address, by its admins: from now on, unless `after` says which entry."""
    begins = ledger.head(UUID(tenant.log_id)).size - 1 if after is None else after
    claims = subscription_claims(wanted, begins, address.commitment)
    tokens = governed(ledger, admins, tenant.did, tenant.origin, claims)
    return subscriptions.subscribe(ledger, tenant, wanted, after=begins, address=address, tokens=tokens)


def unsubscribe(ledger: Ledger, tenant: Tenant, admins: Wallets, subscription: str) -> Answer:
    """Let nothing more be told there, by the tenant's admins."""
    tokens = governed(ledger, admins, tenant.did, tenant.origin, ending_claims(subscription))
    return subscriptions.unsubscribe(ledger, tenant, subscription, tokens)
