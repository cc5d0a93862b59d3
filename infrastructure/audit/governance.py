"""The log's own stream: registration, keys and policies, each act decided again by the domain's own functions.

Invariants:
- Keys count as enrolled at that position: the admin key set of the registration, then enrolments and revocations.
  Whether those admins are the tenant's is what the auditor asks the tenant (thumbprints).
"""

from collections.abc import Sequence
from uuid import UUID

from domain.canonical import canonical
from domain.errors import VerificationError
from domain.hashing import sha256_hex
from domain.logs.events import KeyRotated
from domain.message import Event, Recorded
from domain.platform.events import Genesis, LevelsAdopted, Ticked
from domain.quotas.events import BandwidthGranted, QuotaGranted
from domain.quotas.tree import Quotas
from domain.statements import ENDORSEMENT, GOVERNANCE, Signed, require_claims, require_threshold
from domain.subscriptions.decisions import subscribe, unsubscribe
from domain.subscriptions.events import SubscriptionEnded, SubscriptionOpened
from domain.tenants.decisions import (
    accept_registration,
    adopt_policy,
    appoint_monitor,
    endorsement_claims,
    enrol_principal,
    revoke_principal,
)
from domain.tenants.erasure import order_erasure, withdraw_erasure
from domain.tenants.events import (
    DataKeyRotated,
    ErasureOrdered,
    ErasureWithdrawn,
    HolderEnrolled,
    IssuerEnrolled,
    IssuerRevoked,
    KeyDisclosed,
    MonitorAppointed,
    PolicyAdopted,
    PrincipalEnrolled,
    PrincipalRevoked,
    ReaderEnrolled,
    ScopeRegistered,
    ScopeRegisteredBelow,
    TenantEndorsed,
    TenantRegistered,
    TokenIssuerAdmitted,
    TokenIssuerRevoked,
)
from domain.tenants.grants import (
    Allowance,
    bandwidth_claims,
    granter,
    next_bandwidth,
    next_quota,
    quota_claims,
)
from domain.tenants.issuers import enrol_issuer, revoke_issuer
from domain.tenants.scopes import scope_claims
from domain.tenants.state import Tenant
from domain.tenants.state import evolve as evolve_tenant
from domain.tenants.token_issuers import admit_token_issuer, revoke_token_issuer
from infrastructure.audit.known import Known
from infrastructure.audit.statements import instant_before
from infrastructure.keys.thumbprint import require_thumbprint

ENDORSERS = "endorsements: the endorsers' keys are in the log of the scope above"
GRANTERS = "grants of quotas and tokens: the granting admins' keys, and what else was granted, are in other logs"
SCOPES = "endorsements of a scope: its endorsers' keys are in the log of the scope above"
DISPUTED = "orders of erasure: whether the disputes that the log refers to were open is in the scopes' logs"
OTHER_KEYS = "statements whose keys are enrolled in another log"

_Authority = (
    PrincipalEnrolled
    | ReaderEnrolled
    | PrincipalRevoked
    | IssuerEnrolled
    | IssuerRevoked
    | TokenIssuerAdmitted
    | TokenIssuerRevoked
)


def begin(known: Known, recorded: Recorded) -> None:
    """Take the log's first entry in: only a registration or the genesis begins a log."""
    event = recorded.event
    registrations = TenantRegistered | ScopeRegistered | ScopeRegisteredBelow | Genesis
    if not isinstance(event, registrations) or event.origin != known.origin:
        raise VerificationError("a log begins with its own registration, or with the genesis")
    known.own_stream = recorded.stream_id
    known.order.announce(known.data_generation)
    if isinstance(event, Genesis):
        known.platform = True
        return
    if recorded.stream_id != UUID(event.tenant_id if isinstance(event, TenantRegistered) else event.scope_id):
        raise VerificationError("the registration stands in another stream than the log's own")
    keys = {admin.kid: bytes.fromhex(admin.public_key) for admin in event.admins}
    accept_registration(event, known.statements.by_keys(event.acceptances, GOVERNANCE, keys, recorded))
    if isinstance(event, ScopeRegisteredBelow):
        _endorsed_below(known, event, recorded)
    known.registered = evolve_tenant(event, None)


def govern(known: Known, recorded: Recorded) -> None:
    """Check one more event of the log's own stream, and fold it."""
    event = recorded.event
    if isinstance(event, KeyRotated):
        rotate(known, event, recorded.leaf_index)
    if isinstance(event, KeyDisclosed) and event.everything:
        _require_everything(known, event)
    if known.platform:
        _of_the_platform(known, recorded)
        return
    tenant = known.tenant("events of the log's own stream")
    if tenant is None:
        return
    if not _follows(known, tenant, recorded):
        raise VerificationError(f"{event.TOPIC} is not what its statements say")
    if isinstance(event, PolicyAdopted):
        known.policies[event.version] = event.policy
    known.registered = evolve_tenant(event, tenant)


def _follows(known: Known, tenant: Tenant, recorded: Recorded) -> bool:
    event = recorded.event
    match event:
        case TenantEndorsed() | QuotaGranted() | BandwidthGranted():
            return _from_above(known, tenant, event, recorded)
        case _ if isinstance(event, _Authority):
            accepted = _accepted(known, event, recorded) if isinstance(event, HolderEnrolled) else None
            signed = governed(known, tenant, event.statements, recorded)
            again: Event = _authority(tenant, event, signed, accepted)
        case PolicyAdopted():
            again = adopt_policy(tenant, event.policy, governed(known, tenant, event.statements, recorded))
        case MonitorAppointed():
            signed = governed(known, tenant, event.statements, recorded)
            again = appoint_monitor(tenant, event.name, event.kind, signed)
        case SubscriptionOpened() | SubscriptionEnded():
            again = _subscribed(known, tenant, event, governed(known, tenant, event.statements, recorded))
        case ErasureOrdered():
            again = _ordered(known, tenant, event, recorded)
        case ErasureWithdrawn():
            at_ms = instant_before(recorded.at_ms, tenant.erasure_not_before_ms or 0)
            again = withdraw_erasure(tenant, governed(known, tenant, event.statements, recorded), now_ms=at_ms)
        case DataKeyRotated():
            again = rotated(known)
        case KeyDisclosed() | KeyRotated():
            return True
        case _:
            raise VerificationError(f"{event.TOPIC} has no place in the log's own stream")
    return again == event


def _subscribed(
    known: Known, tenant: Tenant, event: SubscriptionOpened | SubscriptionEnded, signed: Sequence[Signed]
) -> Event:
    """Decide again what is told to an address from here on, or no more."""
    before, known.subscriptions = known.subscriptions, known.subscriptions.after(event)
    if isinstance(event, SubscriptionEnded):
        return unsubscribe(tenant, before, event.subscription_id, signed)
    return subscribe(
        tenant, before, event.wanted, after=event.after, commitment=event.commitment, address=event.address,
        signatures=signed,
    )  # fmt: skip


def _authority(
    tenant: Tenant,
    event: _Authority,
    signed: Sequence[Signed],
    accepted: Signed | None,
) -> Event:
    """Decide again who may sign, read or issue from here on."""
    match event:
        case TokenIssuerAdmitted() | TokenIssuerRevoked():
            return _shown_by(tenant, event, signed)
        case PrincipalEnrolled():
            return enrol_principal(tenant, event.model_copy(update={"statements": ()}), signed, acceptance=accepted)
        case ReaderEnrolled():
            return enrol_principal(tenant, event.model_copy(update={"statements": ()}), signed)
        case PrincipalRevoked():
            return revoke_principal(tenant, event.kid, event.reason, signed)
        case IssuerEnrolled():
            return enrol_issuer(tenant, event.did, signed)
        case IssuerRevoked():
            return revoke_issuer(tenant, event.did, event.reason, signed)


def _shown_by(tenant: Tenant, event: TokenIssuerAdmitted | TokenIssuerRevoked, signed: Sequence[Signed]) -> Event:
    """Decide again whose tokens show who may read."""
    if isinstance(event, TokenIssuerAdmitted):
        return admit_token_issuer(tenant, event.admitted, signed)
    return revoke_token_issuer(tenant, event.issuer, event.reason, signed)


def _accepted(known: Known, event: HolderEnrolled, recorded: Recorded) -> Signed:
    """Verify what a key said itself when it was enrolled."""
    require_thumbprint(event.kid, event.public_key)
    keys = {event.kid: bytes.fromhex(event.public_key)}
    return known.statements.by_signer(event.acceptance, event.statement_type, keys, recorded)


def rotate(known: Known, event: KeyRotated, leaf_index: int) -> None:
    """Take in that the log's keys changed; the note that it names is compared where the bundle's notes are.

    Raises:
        VerificationError: when it stands at another place than it says, or skips a generation.
    """
    if event.from_size != leaf_index or event.generation != len(known.rotations) + 1:
        raise VerificationError("a change of the log's keys is not of the next generation, or not at its place")
    known.rotations.append(event)


def _require_everything(known: Known, event: KeyDisclosed) -> None:
    """Require keys of every generation until now, if those that came along are of this disclosure of everything."""
    if known.disclosure is None:
        return
    streams_digest, generations = known.disclosure()
    if streams_digest == event.streams_digest and generations <= known.data_generation:
        raise VerificationError(f"everything was disclosed, but for keys of generation {generations}")


def _ordered(known: Known, tenant: Tenant, event: ErasureOrdered, recorded: Recorded) -> Event:
    """Decide an order of erasure again, at the instant that it names, which must not lie after it was recorded."""
    at_ms = event.not_before_ms - event.cooling_off_ms
    if at_ms > recorded.at_ms:
        raise VerificationError("an order of erasure names an instant after it was recorded")
    runs = [one.execution for one in known.attempts.values()]
    decided = {(run.reserved.workload_id, run.reserved.attempt) for run in runs if run.retry_decided}
    held = [one.queued for one in known.workloads.values() if one.held and one.queued is not None]
    holds = [one.workload_id for one in held if (one.workload_id, one.attempt) not in decided]
    signed = governed(known, tenant, event.statements, recorded)
    if known.disputed:
        known.elsewhere[DISPUTED] += 1
    return order_erasure(tenant, event.cooling_off_ms, signed, holds=holds, now_ms=at_ms)


def rotated(known: Known) -> DataKeyRotated:
    """Return the next rotation of the log's data key."""
    known.data_generation += 1
    known.order.announce(known.data_generation)
    return DataKeyRotated(generation=known.data_generation)


def _of_the_platform(known: Known, recorded: Recorded) -> None:
    event = recorded.event
    if isinstance(event, DataKeyRotated):
        if event != rotated(known):
            raise VerificationError("a rotation is not the next one of the data key")
    elif isinstance(event, LevelsAdopted):
        known.statements.unverified(event.statements, GOVERNANCE, recorded, whose=OTHER_KEYS)
    elif not isinstance(event, Ticked | KeyDisclosed | KeyRotated):
        raise VerificationError(f"{event.TOPIC} has no place in the platform's own stream")


def _from_above(
    known: Known, tenant: Tenant, event: TenantEndorsed | QuotaGranted | BandwidthGranted, recorded: Recorded
) -> bool:
    if isinstance(event, TenantEndorsed):
        return _endorsed(known, tenant, event, recorded)
    return _granted(known, tenant, event, recorded)


def _endorsed(known: Known, tenant: Tenant, event: TenantEndorsed, recorded: Recorded) -> bool:
    signed = known.statements.unverified(event.statements, ENDORSEMENT, recorded, whose=ENDORSERS)
    for one in signed:
        require_claims(one, endorsement_claims(tenant, event.credential_digest))
    return bool(signed) and sha256_hex(canonical(event.credential)) == event.credential_digest


def _endorsed_below(known: Known, event: ScopeRegisteredBelow, recorded: Recorded) -> None:
    """Check what the admins of the scope above said of this one, as far as it can be told without their keys."""
    signed = known.statements.unverified(event.endorsements, GOVERNANCE, recorded, whose=SCOPES)
    _require_several(signed)
    for one in signed:
        require_claims(one, scope_claims(event))


def _granted(known: Known, tenant: Tenant, event: QuotaGranted | BandwidthGranted, recorded: Recorded) -> bool:
    """Check that a grant is the next one and what its statements say; the root's own also for keys and threshold."""
    if isinstance(event, QuotaGranted):
        version, claims = next_quota(tenant), quota_claims(tenant, event.version, quotas_of(event))
    else:
        members = event.model_dump(include={"tokens", "period_ms", "burst", "from_ms", "until_ms"})
        version, claims = next_bandwidth(tenant), bandwidth_claims(tenant, event.version, Allowance(**members))
    if tenant.parent:
        signed = known.statements.unverified(event.statements, GOVERNANCE, recorded, whose=GRANTERS)
        _require_several(signed)
    else:
        signed = governed(known, tenant, event.statements, recorded)
        require_threshold(signed, tenant.principals, roles=tenant.admins, threshold=tenant.threshold, expected=claims)
    for one in signed:
        require_claims(one, claims)
    return event.version == version and event.granted_by == granter(tenant)


def quotas_of(event: QuotaGranted) -> Quotas:
    """Return what was granted."""
    return Quotas(event.slots, event.memory_bytes, event.weight)


def _require_several(signed: Sequence[Signed]) -> None:
    """Require one statement at least, none twice, and all over the same payload."""
    if not signed or len({one.kid for one in signed}) != len(signed):
        raise VerificationError("an act of the scope above is signed by nobody, or twice by one key")
    if len({canonical(dict(one.payload)) for one in signed}) != 1:
        raise VerificationError("the signatures are not over the same payload")


def governed(known: Known, tenant: Tenant, tokens: Sequence[str], recorded: Recorded) -> tuple[Signed, ...]:
    """Verify governance statements with the tenant's keys of this position."""
    return known.statements.by_keys(tokens, GOVERNANCE, enrolled_keys(tenant, GOVERNANCE), recorded)


def enrolled_keys(tenant: Tenant, typ: str) -> dict[str, bytes]:
    """Return the public keys that are enrolled for a type of statement, by thumbprint."""
    return {p.kid: bytes.fromhex(p.public_key) for p in tenant.principals.values() if p.statement_type == typ}
