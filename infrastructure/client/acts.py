"""Acts of principals against a ledger in this process: build what has to be signed, sign it with wallets, hand it in.

Each returns what the ledger answered. Nothing here is trusted by the ledger: it verifies every statement at its border.
"""

from collections.abc import Sequence
from uuid import UUID

from domain.attestation.appraise import platform_id
from domain.bounds import Bounds
from domain.canonical import canonical
from domain.clauses.decisions import deprecation_claims, registration_claims
from domain.clauses.events import ClauseMetadata
from domain.errors import RefusedError
from domain.executions.decisions import refusal_claims
from domain.executions.releases import RELEASER
from domain.hashing import sha256_hex
from domain.identifiers import parse_dao
from domain.jurisdictions import parse_jurisdiction
from domain.nodes.decisions import drain_claims, return_claims
from domain.policies.facts import NodeFacts
from domain.policies.kinds import Policy
from domain.statements import ENDORSEMENT, GOVERNANCE, REPORT, SUBMISSION
from domain.tenants.decisions import (
    acceptance_claims,
    endorsement_claims,
    enrolment_claims,
    policy_claims,
    revocation_claims,
)
from domain.tenants.erasure import COOLING_OFF_MS, order_claims, withdrawal_claims
from domain.tenants.events import PrincipalEnrolled, StatementType
from domain.tenants.state import Tenant
from domain.tenants.state import evolve as evolve_tenant
from domain.workloads.decisions import cancel_claims
from infrastructure.client.granting import DEFAULT_MEMORY_BYTES, YEAR_MS, Wanted
from infrastructure.client.signing import accepted, admin_key, person, signed_by
from infrastructure.client.submission import Submission, SubmissionFile, build_submission
from infrastructure.commands import clauses, erasure, genesis, nodes, retries, submissions, tenants
from infrastructure.commands.loading import load_root, load_scope, load_tenant
from infrastructure.commands.tenants import Enrolment, OwnCustody
from infrastructure.credentials.data_integrity import Document
from infrastructure.credentials.node import NodeSubject, issue_node
from infrastructure.keys.wallet import Purpose, Wallet
from infrastructure.ledger import Answer, Ledger
from infrastructure.statements.payload import payload

Wallets = Sequence[Wallet]


def begin_cell(ledger: Ledger, host: str, admins: Wallets, threshold: int) -> Tenant:
    """Write the genesis with these wallets as the root scope's admins; the first one's keys endorse and issue."""
    keys = [admin_key(wallet) for wallet in admins]
    if len({key.person for key in keys}) < threshold:
        raise RefusedError("the threshold is larger than the number of persons")
    platform, root = genesis.prepare_genesis(ledger, host)
    did = admins[0].did(Purpose.GOVERNANCE)
    registration = genesis.scope_registration(
        root,
        name="root",
        did=did,
        admins=keys,
        threshold=threshold,
        issuers=[wallet.did(Purpose.CREDENTIAL) for wallet in admins],
    )
    endorser = principal(admins[0], Purpose.ENDORSEMENT, "endorser", ENDORSEMENT)
    claims = acceptance_claims(registration)
    genesis.begin(
        ledger,
        platform,
        root,
        registration=registration,
        acceptances=governed(ledger, admins, did, root.origin, claims),
        endorser=endorser,
        enrolment=governed(ledger, admins, did, root.origin, enrolment_claims(endorser)),
    )
    scope = load_tenant(ledger, root.log_id)
    for wallet in admins[1:]:
        enrol(ledger, scope, admins, principal(wallet, Purpose.ENDORSEMENT, "endorser", ENDORSEMENT))
        scope = load_tenant(ledger, root.log_id)
    return scope


def adopt_levels(ledger: Ledger, admins: Wallets, domains: Sequence[str]) -> Answer:
    """Adopt priority levels, highest first, by the root scope's admins."""
    root, platform = root_scope(ledger), ledger.platform()
    version = genesis.next_levels_version(ledger.stream(platform.log_id, platform.log_id))
    tokens = governed(ledger, admins, root.did, platform.origin, genesis.levels_claims(version, domains))
    return genesis.adopt_levels(ledger, root, domains, tokens)


def register_tenant(
    ledger: Ledger,
    *,
    dao: str,
    jurisdiction: str,
    admins: Wallets,
    threshold: int = 1,
    root_admins: Wallets,
    families: Sequence[str] = (),
    resource_classes: Sequence[str] = (),
    memory_bytes: int = DEFAULT_MEMORY_BYTES,
    valid_ms: int = YEAR_MS,
    scope: Tenant | None = None,
    issued: Document | None = None,
    custody: OwnCustody | None = None,
    releaser: Wallet | None = None,
) -> Tenant:
    """Register a tenant: its admins accept, the scope above endorses and grants its TEEExecutorVC.

    The first admin's submission key is enrolled too. It lies below the root, unless `scope` names another one; then
    `root_admins` are that one's. `issued` is a credential made elsewhere, in place of one that covers the families.
    With `custody` the tenant itself opens inputs and outputs; its releaser is `releaser`, or the first admin.
    """
    # All that can be refused is looked at before a log is made: an empty log would stay.
    did = admins[0].did(Purpose.GOVERNANCE)
    keys = [admin_key(wallet) for wallet in admins]
    submitter = principal(admins[0], Purpose.SUBMISSION, "submitter", "ledger-submission+jwt")
    wanted = Wanted(families, resource_classes, memory_bytes, valid_ms, issued)
    who = (did, parse_dao(dao), parse_jurisdiction(jurisdiction))
    credential = wanted.credential(ledger.clock.now_ms(), root_admins[0], did=did, dao=dao, jurisdiction=jurisdiction)
    tenants.require_credential(ledger, scope or load_root(ledger), credential, who)
    if len({key.person for key in keys}) < threshold:
        raise RefusedError("the threshold is larger than the number of persons")
    registration = tenants.prepare_tenant(
        ledger, dao=dao, jurisdiction=jurisdiction, did=did, admins=keys, threshold=threshold, scope=scope,
        custody=custody,
    )  # fmt: skip
    draft = evolve_tenant(registration, None)
    origin = registration.origin
    claims = acceptance_claims(registration)
    enrolled = [submitter]
    if custody is not None:
        enrolled.append(principal(releaser or admins[0], Purpose.ENDORSEMENT, RELEASER, ENDORSEMENT))
    tenants.register_tenant(
        ledger,
        registration,
        acceptances=governed(ledger, admins, did, origin, claims),
        credential=credential,
        endorsements=_endorsements(ledger, draft, root_admins, credential),
        enrolments=[Enrolment(one, governed(ledger, admins, did, origin, enrolment_claims(one))) for one in enrolled],
    )
    return load_tenant(ledger, UUID(registration.tenant_id))


def renew_credential(
    ledger: Ledger,
    tenant: Tenant,
    root_admins: Wallets,
    *,
    families: Sequence[str] = (),
    resource_classes: Sequence[str] = (),
    memory_bytes: int = DEFAULT_MEMORY_BYTES,
    valid_ms: int = YEAR_MS,
    issued: Document | None = None,
) -> Answer:
    """Grant a tenant a new TEEExecutorVC, by the endorsers of the scope above it; `issued` as for `register_tenant`."""
    wanted = Wanted(families, resource_classes, memory_bytes, valid_ms, issued)
    credential = wanted.credential(
        ledger.clock.now_ms(), root_admins[0], did=tenant.did, dao=tenant.dao, jurisdiction=tenant.jurisdiction
    )
    return tenants.renew(ledger, tenant, credential, _endorsements(ledger, tenant, root_admins, credential))


def enrol(
    ledger: Ledger, tenant: Tenant, admins: Wallets, enrolled: PrincipalEnrolled, holder: Wallet | None = None
) -> Answer:
    """Enrol a further key of a tenant or scope; `holder`: the wallet that holds it and accepts by its own signature."""
    if holder is not None:
        now_ms = ledger.clock.now_ms()
        enrolled = accepted(enrolled, holder, tenant.origin, now_ms=now_ms, entropy=ledger.entropy)
    tokens = governed(ledger, admins, tenant.did, tenant.origin, enrolment_claims(enrolled))
    return tenants.enrol(ledger, tenant, Enrolment(enrolled, tokens))


def revoke(ledger: Ledger, tenant: Tenant, admins: Wallets, kid: str, reason: str) -> Answer:
    """Withdraw a key of a tenant or scope, for ever."""
    tokens = governed(ledger, admins, tenant.did, tenant.origin, revocation_claims(kid, reason))
    return tenants.revoke(ledger, tenant, kid, reason, tokens)


def adopt_policy(ledger: Ledger, tenant: Tenant, admins: Wallets, policy: Policy) -> Answer:
    """Put a policy in force."""
    claims = policy_claims(tenant.policy_version + 1, policy.digest())
    return tenants.adopt(ledger, tenant, policy, governed(ledger, admins, tenant.did, tenant.origin, claims))


def order_erasure(ledger: Ledger, tenant: Tenant, admins: Wallets, cooling_off_ms: int = COOLING_OFF_MS) -> Answer:
    """Order that a tenant's data keys be destroyed once the order has cooled off."""
    claims = order_claims(tenant, cooling_off_ms)
    return erasure.order(ledger, tenant, cooling_off_ms, governed(ledger, admins, tenant.did, tenant.origin, claims))


def withdraw_erasure(ledger: Ledger, tenant: Tenant, admins: Wallets) -> Answer:
    """Take an order of erasure back while it cools off."""
    return erasure.withdraw(
        ledger, tenant, governed(ledger, admins, tenant.did, tenant.origin, withdrawal_claims(tenant))
    )


def register_clause(ledger: Ledger, owner: Tenant, admins: Wallets, metadata: ClauseMetadata, module: bytes) -> Answer:
    """Register a clause, by its owner's admins."""
    claims = registration_claims(metadata, sha256_hex(module))
    tokens = governed(ledger, admins, owner.did, ledger.platform().origin, claims)
    return clauses.register(ledger, owner, metadata, module, tokens)


def deprecate_clause(ledger: Ledger, owner: Tenant, admins: Wallets, clause_id: str, reason: str) -> Answer:
    """Deprecate a clause, by its owner's admins."""
    claims = deprecation_claims(clause_id, reason)
    tokens = governed(ledger, admins, owner.did, ledger.platform().origin, claims)
    return clauses.deprecate(ledger, owner, clause_id, reason, tokens)


def enrol_node(
    ledger: Ledger,
    wallet: Wallet,
    issuer: Wallet,
    facts: NodeFacts,
    *,
    valid_ms: int = YEAR_MS,
    issued: Document | None = None,
) -> Answer:
    """Enrol a node: the issuer grants its credential (`issued`: did so elsewhere), the node's own key accepts."""
    now_ms = ledger.clock.now_ms()
    software = platform_id(wallet.thumbprint(Purpose.REPORT))
    known = facts
    if facts.evidence_class == "software" and not facts.platform_ids:
        known = facts.model_copy(update={"platform_ids": (software,)})
    subject = NodeSubject(
        id=wallet.did(Purpose.REPORT),
        operator=known.operator,
        country_of_operation=known.country,
        vendor=known.vendor,
        platform_ids=known.platform_ids,
        attributes=known.attributes,
        admits=known.admits,
    )
    credential = issued or issue_node(
        subject,
        issuer.key(Purpose.CREDENTIAL),
        valid_from_ms=now_ms,
        valid_until_ms=now_ms + valid_ms,
        created_ms=now_ms,
    )
    content = payload(
        iss=wallet.did(Purpose.REPORT),
        aud=ledger.platform().origin,
        claims=nodes.enrolment_claims(known),
        now_ms=now_ms,
        entropy=ledger.entropy,
    )
    return nodes.enrol_node(
        ledger,
        known,
        public_key=wallet.public(Purpose.REPORT),
        credential=credential,
        acceptance=signed_by([wallet], REPORT, content)[0],
    )


def drain_node(ledger: Ledger, root_admins: Wallets, name: str, reason: str) -> Answer:
    """Let a node take no new work, by the root scope's admins."""
    root = root_scope(ledger)
    tokens = governed(ledger, root_admins, root.did, ledger.platform().origin, drain_claims(name, reason))
    return nodes.drain_node(ledger, name, reason, tokens)


def return_node(ledger: Ledger, root_admins: Wallets, name: str, reason: str) -> Answer:
    """Let a node take work again that was drained, in doubt or lost, by the root scope's admins."""
    root = root_scope(ledger)
    tokens = governed(ledger, root_admins, root.did, ledger.platform().origin, return_claims(name, reason))
    return nodes.return_node(ledger, name, reason, tokens)


def submit(
    ledger: Ledger, tenant: Tenant, wallet: Wallet, content: SubmissionFile, inputs: Sequence[bytes]
) -> Submission:
    """Sign and seal a submission, and hand it in."""
    now_ms = ledger.clock.now_ms()
    own = tenant.custody == "tenant"
    submission = build_submission(
        content,
        inputs,
        wallet=wallet,
        workload=ledger.ids.uuid(now_ms),
        origin=tenant.origin,
        release_key=tenant.release_key,
        output_key=tenant.output_key if own else None,
        now_ms=now_ms,
        entropy=ledger.entropy,
    )
    submissions.submit(ledger, tenant, submission.token, submission.ciphertexts)
    return submission


def cancel(ledger: Ledger, tenant: Tenant, wallet: Wallet, workload: str) -> Answer:
    """Take a waiting workload back."""
    content = payload(
        iss=wallet.did(Purpose.SUBMISSION),
        aud=tenant.origin,
        claims=cancel_claims(workload),
        now_ms=ledger.clock.now_ms(),
        entropy=ledger.entropy,
    )
    return submissions.cancel(ledger, tenant, workload, signed_by([wallet], SUBMISSION, content)[0])


def authorize_retry(
    ledger: Ledger,
    execution_id: str,
    signatories: Wallets,
    *,
    bounds: Bounds | None = None,
    within_ms: int | None = None,
) -> Answer:
    """Let a held workload run again: all signatories sign the same payload."""
    draft = retries.draft_retry(ledger, execution_id, bounds=bounds, within_ms=within_ms)
    tenant = draft.context.tenant
    return retries.authorize(ledger, draft, governed(ledger, signatories, tenant.did, tenant.origin, draft.claims))


def refuse_retry(ledger: Ledger, execution_id: str, signatories: Wallets) -> Answer:
    """Let a held workload stay held: all signatories sign the same payload."""
    draft = retries.draft_retry(ledger, execution_id, bounds=None, within_ms=None)
    tenant = draft.context.tenant
    claims = refusal_claims(tenant, execution_id, draft.fault, draft.context.queued.workload_id)
    return retries.refuse(ledger, draft, governed(ledger, signatories, tenant.did, tenant.origin, claims))


def root_scope(ledger: Ledger) -> Tenant:
    """Return the root scope."""
    return load_root(ledger)


def principal(wallet: Wallet, purpose: Purpose, role: str, statement_type: StatementType) -> PrincipalEnrolled:
    """Return the enrolment of one of a wallet's keys, not signed yet."""
    return PrincipalEnrolled(
        kid=wallet.thumbprint(purpose),
        public_key=wallet.public(purpose).hex(),
        person=person(wallet),
        role=role,
        statement_type=statement_type,
        statements=(),
    )


def _endorsements(
    ledger: Ledger, tenant: Tenant, root_admins: Wallets, credential: dict[str, object]
) -> tuple[str, ...]:
    claims = endorsement_claims(tenant, sha256_hex(canonical(credential)))
    scope = load_scope(ledger, tenant.parent)
    content = payload(
        iss=scope.did, aud=tenant.origin, claims=claims, now_ms=ledger.clock.now_ms(), entropy=ledger.entropy
    )
    return signed_by(root_admins, ENDORSEMENT, content)


def governed(ledger: Ledger, wallets: Wallets, iss: str, aud: str, claims: dict[str, object]) -> tuple[str, ...]:
    """Let wallets sign one act of governance, for a body (`iss`) and a log (`aud`)."""
    content = payload(iss=iss, aud=aud, claims=claims, now_ms=ledger.clock.now_ms(), entropy=ledger.entropy)
    return signed_by(wallets, GOVERNANCE, content)
