"""Hand-made values: one fixed sample per topic, and small builders that tests vary by keyword.

Run as ``python -m tests.domain.samples`` to write the golden file of a topic that has none yet. It never changes one.
"""

from pathlib import Path
from typing import Any
from uuid import UUID

import domain.registry  # noqa: F401 - fills the registry
from domain.access import events as access
from domain.access.token_issuers import EcKey, OkpKey, RoleRule, RsaKey, TokenIssuer
from domain.attestation import events as attestation
from domain.attestation.claims import CollateralNumber, EvidenceFormat
from domain.attestation.trust_vector import Tier, TrustVector
from domain.bounds import MEBIBYTE, Bounds
from domain.cacs import events as cacs
from domain.canonical import canonical
from domain.clauses import events as clauses
from domain.disputes import events as disputes
from domain.executions import events as executions
from domain.identifiers import cac_id_of_execution, execution_id, origin, workload_id
from domain.logs import events as logs
from domain.message import Event, Recorded, topics
from domain.nodes import events as nodes
from domain.payloads import StoredPayload
from domain.platform import events as platform
from domain.policies.facts import NodeFacts, WorkloadFacts
from domain.policies.kinds import InCountry, Policy, ReAuthorisation
from domain.pools import events as pools
from domain.quotas import events as quotas
from domain.subscriptions import events as subscriptions
from domain.tenants import events as tenants
from domain.workloads import events as workloads

GOLDEN = Path(__file__).parent / "golden"

HOST = "ledger.example"
SLOT = 7
ORIGIN = origin(HOST, SLOT)
LOG = UUID("0198c0de-0000-7000-8000-000000000001")
STREAM = UUID("0198c0de-0000-7000-8000-000000000002")
NOW = 1_790_000_000_000
WORKLOAD = workload_id(STREAM)
EXECUTION = execution_id(ORIGIN, WORKLOAD, 1, 0)
CAC = cac_id_of_execution(EXECUTION, NOW)
CLAUSE = "Climate::Flood::Threshold@1.2.3"
CLASS = "Disaster::Flood@v1"
KID = "k" * 43
ENGINE = "engine-1"
BOUNDS = Bounds(memory_bytes=MEBIBYTE, fuel=1_000_000, wall_ms=10_000)


DISPUTE = "0198c0de-0000-7000-8000-00000000000d"
SCOPE = origin(HOST, 3)


def hexed(byte: int, length: int = 32) -> str:
    """Return so many equal bytes in hex."""
    return bytes([byte] * length).hex()


def payload(byte: int) -> StoredPayload:
    """Return what an event says of sealed bytes."""
    return StoredPayload(digest=hexed(byte), size_bytes=100 + byte, plaintext_digest=hexed(byte + 100))


def facts(**changes: Any) -> WorkloadFacts:
    """Return a workload's facts."""
    usual: dict[str, Any] = {"dao": "ClimateDAO", "jurisdiction": "DEU", "resource_class": CLASS, "bounds": BOUNDS}
    return WorkloadFacts(**{**usual, **changes})


def node(name: str = "node-a", **changes: Any) -> NodeFacts:
    """Return a node's facts; its platform id follows its name unless given."""
    usual: dict[str, Any] = {
        "node": name,
        "operator": f"op-{name}",
        "country": "DEU",
        "vendor": "amd",
        "memory_bytes": 64 * MEBIBYTE,
        "slots": 4,
        "platform_ids": (f"amd:{name}",),
    }
    return NodeFacts(**{**usual, **changes})


def decided(**changes: Any) -> dict[str, Any]:
    """Return what every decision names."""
    return {
        "engine": ENGINE, "policy_version": 2, "policy_digest": hexed(1), "seen": 11, "tick": NOW // 1000, **changes,
    }  # fmt: skip


DISPUTING = disputes.Party(role="tenant", name=ORIGIN, keys=(hexed(52),))
OPERATOR = disputes.Party(role="operator", name="op-node-a")
RESOLVERS = disputes.Party(role="resolver", name=SCOPE)


def disputed(**changes: Any) -> disputes.DisputeOpened:
    """Return a dispute that a tenant opens about its CAC."""
    one = disputes.Affected(slot=SLOT, execution_id=EXECUTION, cac_id=CAC, node="node-a", operator="op-node-a")
    usual: dict[str, Any] = {
        "dispute_id": DISPUTE, "subject": disputes.AboutCac(kind="cac", cac_id=CAC), "grounds": "the river was low",
        "party": DISPUTING, "affected": (one,), "answer_by_ms": NOW + 14 * 86_400_000,
        "decide_by_ms": NOW + 44 * 86_400_000, "statements": ("o.p.e",),
    }  # fmt: skip
    return disputes.DisputeOpened(**{**usual, **changes})


def queued(**changes: Any) -> workloads.WorkloadQueued:
    """Return a queueing."""
    usual: dict[str, Any] = {
        "workload_id": WORKLOAD,
        "attempt": 1,
        "facts": facts(),
        "clause_rules": (),
        "clause_id": CLAUSE,
        "module_digest": hexed(2),
        "not_after_ms": NOW + 3_600_000,
        "draft": False,
    }
    return workloads.WorkloadQueued(**{**usual, **changes})


def reserved(**changes: Any) -> executions.ExecutionReserved:
    """Return a reservation."""
    usual = decided(
        execution_id=EXECUTION, workload_id=WORKLOAD, attempt=1, k=0, node="node-a", cac_id=CAC,
        output_address=f"{ORIGIN}/cac/{CAC}", clause_id=CLAUSE, module_digest=hexed(2), limits=BOUNDS,
        from_ms=NOW, until_ms=NOW + 610_000,
    )  # fmt: skip
    return executions.ExecutionReserved(**{**usual, **changes})


def challenged(**changes: Any) -> executions.ExecutionChallenged:
    """Return a challenge."""
    usual: dict[str, Any] = {
        "execution_id": EXECUTION, "node": "node-a", "nonce": hexed(3), "expires_ms": NOW + 610_000,
    }  # fmt: skip
    return executions.ExecutionChallenged(**{**usual, **changes})


def appraised(**changes: Any) -> executions.SoftwareEvidenceAppraised:
    """Return an affirming appraisal."""
    usual: dict[str, Any] = {
        "execution_id": EXECUTION, "status": "affirming", "reason": "the key vouches", "evidence": "e.v.i",
        "evidence_digest": hexed(4), "evidence_class": "software", "platform_id": f"software:{KID}",
        "nonce": hexed(3), "report_data": hexed(5, 64), "cac_key": hexed(6), "hpke_kem_id": 0x647A,
        "hpke_key": hexed(7), "hpke_key_digest": hexed(8), "engine": "wasmtime 50", "measurement": hexed(9),
        "certificate": "c.e.r",
    }  # fmt: skip
    return executions.SoftwareEvidenceAppraised(**{**usual, **changes})


def kept(**changes: Any) -> attestation.AppraisalKept:
    """Return what an affirming appraisal of a platform keeps."""
    usual: dict[str, Any] = {
        "evidence_format": EvidenceFormat.SNP, "evidence_key": hexed(40), "root": hexed(41),
        "platform_evidence": payload(42), "endorsements": (payload(43), payload(44)), "at_s": NOW // 1000,
        "trust_vector": TrustVector(hardware=2, executables=2, instance_identity=2), "not_appraised": ("revocation",),
        "collateral": (CollateralNumber(source="crl:root:issuer", number=7),), "ear": "e.a.r",
    }  # fmt: skip
    return attestation.AppraisalKept(**{**usual, **changes})


def platform_appraised(**changes: Any) -> attestation.PlatformEvidenceAppraised:
    """Return an affirming appraisal of a platform's evidence."""
    usual: dict[str, Any] = {
        **appraised().model_dump(), "status": Tier.AFFIRMING, "evidence_class": "synthetic",
        "platform_id": "amd:" + hexed(45, 64), "policy_version": 1, "policy_digest": hexed(1), "kept": kept(),
    }  # fmt: skip
    return attestation.PlatformEvidenceAppraised(**{**usual, **changes})


def machine_appraised(**changes: Any) -> attestation.NodeEvidenceAppraised:
    """Return a machine's appraisal at enrolment."""
    usual: dict[str, Any] = {
        "node": "node-a", "kid": KID, "nonce": hexed(3), "status": Tier.AFFIRMING, "reason": "the platform vouches",
        "evidence_class": "synthetic", "platform_id": "amd:" + hexed(45, 64), "kept": kept(),
    }  # fmt: skip
    return attestation.NodeEvidenceAppraised(**{**usual, **changes})


def released(**changes: Any) -> executions.InputsReleased:
    """Return a release."""
    usual: dict[str, Any] = {
        "execution_id": EXECUTION, "evidence_digest": hexed(4), "nonce": hexed(3), "hpke_key_digest": hexed(8),
        "commitments": (hexed(10),), "payloads": (payload(11),), "released_by": "custody: operator",
    }  # fmt: skip
    return executions.InputsReleased(**{**usual, **changes})


def completed(**changes: Any) -> executions.ExecutionCompleted:
    """Return an end of the clause's own."""
    usual: dict[str, Any] = {
        "execution_id": EXECUTION, "report": "c.o.m", "outcome": "TRIGGER", "output_commitment": hexed(12),
        "output_bytes": 21, "output": payload(13), "cac": payload(14), "fuel_bucket": 17,
        "memory_bucket": 20,
    }  # fmt: skip
    return executions.ExecutionCompleted(**{**usual, **changes})


def fault(**changes: Any) -> executions.ExecutionFaulted:
    """Return a fault."""
    usual: dict[str, Any] = {
        "execution_id": EXECUTION, "kind": "trap", "detail": "unreachable", "report": "f.a.u", "fuel_bucket": 5,
        "memory_bucket": 17,
    }  # fmt: skip
    return executions.ExecutionFaulted(**{**usual, **changes})


def admin(kid: str = KID, person: str = "ada") -> platform.AdminKey:
    """Return an admin key."""
    return platform.AdminKey(kid=kid, public_key=hexed(15), person=person)


def tenant_registered(**changes: Any) -> tenants.TenantRegistered:
    """Return a registration."""
    usual: dict[str, Any] = {
        "tenant_id": str(LOG), "dao": "ClimateDAO", "jurisdiction": "DEU", "jurisdiction_as_given": "deu",
        "origin": ORIGIN, "slot": SLOT, "did": "did:key:z6Mk", "admins": (admin(),), "threshold": 1,
        "acceptances": ("a.b.c",), "attestation_key": hexed(16), "release_key": "aa", "output_key": "bb",
        "parent": f"{HOST}/t/3",
    }  # fmt: skip
    return tenants.TenantRegistered(**{**usual, **changes})


def scope_registered(**changes: Any) -> tenants.ScopeRegistered:
    """Return a scope's registration."""
    usual: dict[str, Any] = {
        "scope_id": str(LOG), "name": "root", "origin": f"{HOST}/t/3", "slot": 3, "did": "did:key:z6Mr",
        "admins": (admin(),), "threshold": 1, "acceptances": ("a.b.c",), "issuers": ("did:key:z6Mr",),
    }  # fmt: skip
    return tenants.ScopeRegistered(**{**usual, **changes})


def enrolled(**changes: Any) -> tenants.PrincipalEnrolled:
    """Return an enrolment of a submission key."""
    usual: dict[str, Any] = {
        "kid": "s" * 43, "public_key": hexed(17), "person": "sam", "role": "submitter",
        "statement_type": "ledger-submission+jwt", "statements": ("g.o.v",),
    }  # fmt: skip
    return tenants.PrincipalEnrolled(**{**usual, **changes})


def holder_enrolled(**changes: Any) -> tenants.HolderEnrolled:
    """Return an enrolment of a submission key that accepted it."""
    return tenants.HolderEnrolled(**{**enrolled().model_dump(), "acceptance": "a.c.c", **changes})


def metadata(**changes: Any) -> clauses.ClauseMetadata:
    """Return a clause's metadata."""
    usual: dict[str, Any] = {
        "clause_id": CLAUSE, "owner": "ClimateDAO", "title": "Flood threshold", "resource_classes": (CLASS,),
        "maximum_bounds": BOUNDS,
    }  # fmt: skip
    return clauses.ClauseMetadata(**{**usual, **changes})


def submitted(**changes: Any) -> workloads.WorkloadSubmitted:
    """Return a submission."""
    sealed = workloads.SealedInput(
        commitment=hexed(10), size_bytes=1234, ciphertext_digest=hexed(18), payload=payload(19)
    )
    tag = workloads.TenantTag(dao="ClimateDAO", jurisdiction="DEU", clause_id=CLAUSE)
    usual: dict[str, Any] = {
        "workload_id": WORKLOAD, "tenant": tag, "resource_class": CLASS, "bounds": BOUNDS, "trigger": "evacuate",
        "tags": ("river",), "forbid_tags": ("market",), "inputs": (sealed,), "not_after_ms": NOW + 3_600_000,
        "submission": "s.u.b", "submission_digest": hexed(20),
    }  # fmt: skip
    return workloads.WorkloadSubmitted(**{**usual, **changes})


def placed(**changes: Any) -> workloads.WorkloadPlaced:
    """Return a placement on one node."""
    place = workloads.Place(
        execution_id=EXECUTION, k=0, node="node-a", cac_id=CAC, output_address=f"{ORIGIN}/cac/{CAC}"
    )
    return workloads.WorkloadPlaced(**{**decided(workload_id=WORKLOAD, attempt=1, places=(place,)), **changes})


def denied(**changes: Any) -> workloads.WorkloadDenied:
    """Return a denial at the queue."""
    usual = decided(
        workload_id=WORKLOAD, gate="queue", rule="in_country", reason="in_country: have FRA, need one of DEU",
        have="FRA", need="one of DEU", nodes=3, filtered=(workloads.FilteredNodes(rule="in_country", nodes=3),),
    )  # fmt: skip
    return workloads.WorkloadDenied(**{**usual, **changes})


FEW_MEMBERS = {"clause_id": CLAUSE, "outcome": "TRIGGER", "node": "node-a", "output_address": f"{ORIGIN}/cac/{CAC}"}


def issued(**changes: Any) -> cacs.CacIssued:
    """Return an issued CAC with the members of its document that rows are made of."""
    document = {
        **FEW_MEMBERS, "tenant_info": {"dao": "ClimateDAO", "jurisdiction": "DEU", "resource_class": CLASS},
    }  # fmt: skip
    usual: dict[str, Any] = {
        "cac_id": CAC, "execution_id": EXECUTION, "workload_id": WORKLOAD, "document": document, "policy_version": 2,
        "policy_digest": hexed(1),
    }  # fmt: skip
    return cacs.CacIssued(**{**usual, **changes})


def rejected(**changes: Any) -> cacs.CacRejected:
    """Return a rejected CAC."""
    usual: dict[str, Any] = {
        "cac_id": CAC, "execution_id": EXECUTION, "workload_id": WORKLOAD, "rule": "binding", "reason": "it differs",
        "policy_version": 2, "policy_digest": hexed(1),
    }  # fmt: skip
    return cacs.CacRejected(**{**usual, **changes})


def deferred(**changes: Any) -> workloads.WorkloadDeferred:
    """Return a deferral."""
    usual = decided(
        workload_id=WORKLOAD, attempt=1, reason="no_node_now", rule="no_node_now", have="", need="", place=1,
        retry_ms=None, wake="when a place falls free", nodes=3, filtered=(),
    )  # fmt: skip
    return workloads.WorkloadDeferred(**{**usual, **changes})


def authorized(**changes: Any) -> executions.RetryAuthorized:
    """Return a re-authorisation."""
    usual: dict[str, Any] = {
        "execution_id": EXECUTION, "workload_id": WORKLOAD, "fault_entry": hexed(21), "fault_leaf_index": 14,
        "next_attempt": 2, "bounds": BOUNDS, "not_after_ms": NOW + 7_200_000, "policy_version": 2,
        "policy_digest": hexed(1), "statements": ("g.o.v",),
    }  # fmt: skip
    return executions.RetryAuthorized(**{**usual, **changes})


def provisioned(**changes: Any) -> executions.EnclaveProvisioned:
    """Return the provisioning gate, passed."""
    usual: dict[str, Any] = {
        "execution_id": EXECUTION, "passed": True, "rule": "", "have": "", "need": "", "policy_version": 2,
        "policy_digest": hexed(1),
    }  # fmt: skip
    return executions.EnclaveProvisioned(**{**usual, **changes})


def offer_stood(**changes: Any) -> pools.OfferStood:
    """Return a standing offer."""
    usual: dict[str, Any] = {
        "number": 0, "pool": "secondary", "operator": "GeysirReserve", "kid": KID, "public_key": hexed(1), "slots": 4,
        "memory_bytes": None, "until_ms": NOW + 7_200_000, "statement": "o.f.f", "appointed": ("g.o.v",),
    }  # fmt: skip
    return pools.OfferStood(**{**usual, **changes})


OFFER = "off-0x" + "5" * 32
BORROWING = "bor-0x" + "6" * 32
QUORUM: dict[str, Any] = {"workload_id": WORKLOAD, "attempt": 1, "cacs": (CAC,)}

SAMPLES: tuple[Event, ...] = (
    platform.Genesis(
        cell=0, host=HOST, origin=f"{HOST}/t/0", root_scope=str(LOG), root_origin=f"{HOST}/t/3", engine=ENGINE
    ),
    platform.LevelsAdopted(version=1, domains=("Disaster", "Finance", "Planning"), statements=("g.o.v",)),
    platform.DecisionsMade(epoch=1, together=7, position=9, decisions=2, engine=ENGINE),
    platform.Ticked(due_ms=NOW),
    platform.KeyDestroyed(slot=7, size=41, root=hexed(24), round=12),
    offer_stood(),
    pools.OfferWithdrawn(number=0, pool="secondary", operator="GeysirReserve", statements=("o.f.f",)),
    scope_registered(),
    tenants.ScopeRegisteredBelow(
        **scope_registered().payload() | {"admins": (admin(),), "acceptances": ("a.c.c",), "issuers": ()},
        kind="treaty", parent=f"{HOST}/t/3", endorsements=("e.n.d",),
    ),
    tenant_registered(),
    quotas.QuotaGranted(
        version=1, slots=quotas.Quota(nominal=20, borrow=100, lend=20), memory_bytes=None, weight=1,
        granted_by=f"{HOST}/t/3", statements=("g.o.v",),
    ),
    quotas.BandwidthGranted(
        version=1, tokens=60, period_ms=60_000, burst=10, from_ms=NOW, until_ms=NOW + 86_400_000,
        granted_by=f"{HOST}/t/3", statements=("g.o.v",),
    ),
    quotas.QuotaBorrowed(**decided(
        borrow_id=BORROWING, workload_id=WORKLOAD, attempt=1, slots=2, memory_bytes=0, lender=f"{HOST}/t/3"
    )),
    quotas.QuotaLent(borrow_id=BORROWING, slots=2, memory_bytes=0, tick=NOW // 1000, engine=ENGINE),
    tenants.MonitorAppointed(name="TreatyMonitor", kind="treaty_monitor", statements=("g.o.v",)),
    tenants.TenantEndorsed(
        statements=("e.n.d",), credential={"id": "urn:uuid:1", "n": [1, None, True]}, credential_digest=hexed(22)
    ),
    enrolled(),
    holder_enrolled(),
    tenants.ReaderEnrolled(
        kid="r" * 43, public_key=hexed(49), person="rita", role="auditor", statement_type="ledger-assertion+jwt",
        jurisdictions=("DEU", "FRA"), from_ms=NOW, until_ms=NOW + 86_400_000, statements=("g.o.v",),
    ),
    access.AccessSummarised(
        kid="r" * 43, role="auditor", route_class="audit", minute_ms=NOW // 60_000 * 60_000, requests=7, refused=1
    ),
    tenants.PrincipalRevoked(kid="s" * 43, reason="stolen", statements=("g.o.v",)),
    tenants.IssuerEnrolled(did="did:web:issuer.example", statements=("g.o.v",)),
    tenants.IssuerRevoked(did="did:web:issuer.example", reason="stolen", statements=("g.o.v",)),
    tenants.TokenIssuerAdmitted(
        admitted=TokenIssuer(
            issuer="https://id.example/realms/climate", audience="https://ledger.example", token_type="at+jwt",
            keys=(
                EcKey(kid="ec-1", kty="EC", crv="P-256", x="x" * 43, y="y" * 43),
                OkpKey(kid="ed-1", kty="OKP", crv="Ed25519", x="x" * 43),
                RsaKey(kid="rsa-1", kty="RSA", n="n" * 342, e="AQAB"),
            ),
            rules=(
                RoleRule(claim=("realm_access", "roles"), value="ledger-auditors", role="auditor"),
                RoleRule(claim=("groups",), value="region", role="resolver", jurisdictions=("DEU", "FRA")),
            ),
            from_ms=NOW, until_ms=NOW + 86_400_000,
        ),
        statements=("g.o.v",),
    ),
    tenants.TokenIssuerRevoked(issuer="https://id.example/realms/climate", reason="left", statements=("g.o.v",)),
    access.PrincipalRecognised(
        kid="f" * 43, issuer="https://id.example/realms/climate", subject="24400320", role="auditor",
        admission=hexed(50),
    ),
    tenants.PolicyAdopted(
        version=1,
        policy=Policy(rules=(InCountry(kind="in_country"), ReAuthorisation(kind="re_authorisation"))),
        digest=hexed(1),
        statements=("g.o.v",),
    ),
    tenants.KeyDisclosed(streams=2, streams_digest=hexed(23), everything=False, recipient="auditor"),
    tenants.DataKeyRotated(generation=1),
    tenants.ErasureOrdered(cooling_off_ms=7 * 86_400_000, not_before_ms=NOW, statements=("g.o.v",)),
    tenants.ErasureWithdrawn(statements=("g.o.v",)),
    clauses.ClauseRegistered(
        metadata=metadata(), module_digest=hexed(2), module_bytes=4096, module=payload(24),
        owner_origin=ORIGIN, statements=("g.o.v",),
    ),
    clauses.ClauseDeprecated(clause_id=CLAUSE, reason="superseded", statements=("g.o.v",)),
    nodes.NodeEnrolled(
        facts=node(admits=("ClimateDAO",)), kid=KID, public_key=hexed(25), credential={"id": "urn:uuid:2"},
        credential_digest=hexed(26), acceptance="a.c.c",
    ),
    nodes.NodeDrained(node="node-a", reason="maintenance", statements=("g.o.v",)),
    nodes.TelemetryReported(
        node="node-a", seq=3, load_percent_bucket=50, free_slots=2, free_memory_bucket=20, report="t.e.l"
    ),
    nodes.NodeSuspected(node="node-a", reason="silent", since_ms=NOW),
    nodes.NodeLost(node="node-a", since_ms=NOW),
    nodes.NodeReturned(node="node-a", reason="repaired", statements=("a.b.c",)),
    submitted(),
    workloads.CredentialChecked(
        passed=True, reason="in force", credential_digest=hexed(22), valid_until_ms=NOW + 1
    ),
    logs.KeyRotated(generation=1, from_size=12, note_digest=hexed(31)),
    workloads.ClauseVerified(passed=True, reason="registered", module_digest=hexed(2), clause_entry=hexed(27)),
    queued(clause_rules=(InCountry(kind="in_country", countries=("DEU", "FRA")),)),
    denied(),
    workloads.WorkloadDeferredV1(**decided(
        workload_id=WORKLOAD, attempt=1, reason="no_node_now", place=1, wake="when a place falls free", nodes=3,
        filtered=(),
    )),
    deferred(reason="bandwidth", rule="bandwidth", have="0 tokens", need="2 tokens", retry_ms=NOW + 1),
    workloads.OverflowOffered(**decided(
        workload_id=WORKLOAD, attempt=1, offer_id=OFFER, nodes=("node-b",), expires_ms=NOW
    )),
    workloads.OverflowAcceptedV1(
        workload_id=WORKLOAD, attempt=1, offer_id=OFFER, offer_hash=hexed(33), standing=True, statement=None
    ),
    workloads.OverflowAccepted(
        workload_id=WORKLOAD, attempt=1, offer_id=OFFER, offer_hash=hexed(33),
        standing=(
            workloads.StandingOffer(pool="secondary", operator="GeysirReserve", number=0, statement=hexed(34)),
        ),
    ),
    workloads.OverflowClosed(workload_id=WORKLOAD, attempt=1, offer_id=OFFER, reason="placed"),
    placed(),
    workloads.WorkloadExpired(**decided(workload_id=WORKLOAD)),
    workloads.WorkloadCancelled(workload_id=WORKLOAD, statement="s.u.b"),
    reserved(),
    challenged(),
    appraised(),
    platform_appraised(),
    attestation.NodeChallenged(node="node-a", kid=KID, public_key=hexed(46), nonce=hexed(3), expires_ms=NOW + 600_000),
    machine_appraised(),
    attestation.ResultKeyEnrolled(kid=KID, public_key=hexed(47)),
    attestation.CollateralSeen(source="crl:root:issuer", number=7),
    provisioned(),
    executions.ReleaseAwaited(execution_id=EXECUTION, until_ms=NOW + 600_000),
    executions.ReleaseRefused(execution_id=EXECUTION, reason="the node's credential: revoked", statement="r.e.f"),
    released(),
    executions.ReportsReceived(node="node-a", batch=hexed(48)[:32], statement="b.a.t"),
    executions.EnclaveStarted(execution_id=EXECUTION, report="s.t.a"),
    completed(),
    fault(),
    executions.RuntimeReset(execution_id=EXECUTION, report="r.e.s"),
    executions.ExecutionAbandoned(execution_id=EXECUTION, reason="reservation_expired"),
    executions.ReportRefused(execution_id=EXECUTION, reason="late: the execution's window is over", report="l.a.t"),
    executions.NoticeRequested(execution_id=EXECUTION, recipient="TreatyMonitor", kind="fuel"),
    executions.NoticeDelivered(execution_id=EXECUTION, recipient="TreatyMonitor", kind="fuel", how="fetched", tries=1),
    authorized(),
    executions.RetryRefused(
        execution_id=EXECUTION, workload_id=WORKLOAD, fault_entry=hexed(21), statements=("g.o.v",)
    ),
    issued(document=FEW_MEMBERS),
    rejected(),
    cacs.QuorumReached(**decided(**QUORUM, outcome="TRIGGER", output_commitment=hexed(12))),
    cacs.QuorumFailed(**decided(**QUORUM, reason="divergence")),
    subscriptions.SubscriptionOpened(
        subscription_id="0" * 31 + "1", wanted=subscriptions.Wanted(clause="UNDRR::Disaster::Flood", outcome="PASS"),
        after=-1, commitment="a" * 64,
        address=StoredPayload(digest="b" * 64, size_bytes=99, plaintext_digest="c" * 64), statements=("g.o.v",),
    ),
    subscriptions.SubscriptionEnded(subscription_id="0" * 31 + "1", statements=("g.o.v",)),
    subscriptions.ResultDelivered(subscription_id="0" * 31 + "1", cac_id="cac-0x" + "0" * 32, leaf_index=7, tries=2),
    subscriptions.SubscriptionLapsed(subscription_id="0" * 31 + "1", leaf_index=8, tries=12),
    cacs.UsageMetered(execution_id=EXECUTION, slot_ms=1200, memory_mib_ms=1200, fuel=99_999),
    cacs.CacOverturned(
        cac_id=CAC, execution_id=EXECUTION, dispute_id=DISPUTE, scope=SCOPE, decision=3, statements_digest=hexed(50)
    ),
    disputed(),
    disputes.DisputeAnswered(dispute_id=DISPUTE, party=OPERATOR, text="it was read twice", statements=("a.n.s",)),
    disputes.DisputeEvidenceAttached(
        dispute_id=DISPUTE, number=0, party=RESOLVERS, title="readings", document=payload(51), entry=None,
        statements=("a.t.t",),
    ),
    disputes.DisputeUpheld(dispute_id=DISPUTE, reason="the readings agree", statements=("u.p.h",)),
    disputes.DisputeOverturned(dispute_id=DISPUTE, reason="they differ", cacs=(CAC,), statements=("o.v.e", "o.v.f")),
    disputes.DisputeWithdrawn(dispute_id=DISPUTE, reason="settled", party=DISPUTING, statements=("w.i.t",)),
    disputes.DisputeReferenced(dispute_id=DISPUTE, execution_id=EXECUTION),
)  # fmt: skip


SAMPLES_BY_TOPIC = {event.TOPIC: event for event in SAMPLES}


def recorded(event: Event, leaf: int = 0, stream: UUID = STREAM, version: int = 0, at_ms: int = NOW) -> Recorded:
    """Return an event as if it were stored."""
    return Recorded(LOG, leaf, stream, version, at_ms, event, leaf.to_bytes(32, "big"))


def golden(topic: str) -> Path:
    """Return the golden file of a topic."""
    return GOLDEN / f"{topic}.json"


def write_missing() -> list[str]:
    """Write golden files of topics that have none. Returns their topics."""
    written = []
    for event in SAMPLES:
        path = golden(event.TOPIC)
        if not path.exists():
            path.write_bytes(canonical(event.payload()))
            written.append(event.TOPIC)
    return written


if __name__ == "__main__":
    missing = set(topics()) - {event.TOPIC for event in SAMPLES}
    print("written:", write_missing(), "without a sample:", sorted(missing))  # noqa: T201 - a person asked
