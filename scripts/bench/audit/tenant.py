"""A made-up tenant: who it is, what begins its log, and the keys that sign for it."""

import os
from dataclasses import dataclass, field
from uuid import UUID

from domain.canonical import canonical
from domain.hashing import sha256_hex
from domain.message import Event
from domain.platform.events import AdminKey
from domain.policies.kinds import InCountry, Policy
from domain.statements import ENDORSEMENT, GOVERNANCE, SUBMISSION
from domain.tenants.decisions import acceptance_claims, endorsement_claims, enrolment_claims, policy_claims
from domain.tenants.events import PolicyAdopted, PrincipalEnrolled, TenantEndorsed, TenantRegistered
from domain.tenants.state import evolve
from scripts.bench.audit.people import Node, Signer

HOST = "ledger.example"
SLOT = 47
ORIGIN = f"{HOST}/t/{SLOT}"
DAO, COUNTRY = "FloodDAO", "DEU"
BEGAN_MS = 1_700_000_000_000
NODES = 4


@dataclass
class Tenant:
    """Keys of a tenant with one admin, one submitter and a policy."""

    log_id: UUID
    admin: Signer = field(default_factory=lambda: Signer(GOVERNANCE))
    submitter: Signer = field(default_factory=lambda: Signer(SUBMISSION))
    endorser: Signer = field(default_factory=lambda: Signer(ENDORSEMENT))
    nodes: tuple[Node, ...] = field(default_factory=lambda: tuple(Node(f"node-{number}") for number in range(NODES)))
    policy: Policy = field(default_factory=lambda: Policy(rules=(InCountry(kind="in_country"),)))

    def __post_init__(self) -> None:
        self.attestation = Signer(ENDORSEMENT, self.admin.iss)

    def beginning(self) -> list[Event]:
        """Return the first events of the log: registered, endorsed, a submitter enrolled, a policy adopted."""
        registered = self._registered()
        tenant = evolve(registered, None)
        credential = {"issuer": self.endorser.iss, "credentialSubject": {"dao": DAO}}
        digest = sha256_hex(canonical(credential))
        endorsement = self.endorser.sign(ORIGIN, BEGAN_MS, endorsement_claims(tenant, digest))
        enrolled = PrincipalEnrolled(
            kid=self.submitter.kid, public_key=self.submitter.public.hex(), person="admin", role="submitter",
            statement_type=SUBMISSION, statements=(),
        )  # fmt: skip
        adoption = policy_claims(1, self.policy.digest())
        return [
            registered,
            TenantEndorsed(statements=(endorsement,), credential=credential, credential_digest=digest),
            enrolled.model_copy(update={"statements": self._governed(enrolment_claims(enrolled))}),
            PolicyAdopted(
                version=1, policy=self.policy, digest=self.policy.digest(), statements=self._governed(adoption)
            ),
        ]

    def _registered(self) -> TenantRegistered:
        registered = TenantRegistered(
            tenant_id=str(self.log_id), dao=DAO, jurisdiction=COUNTRY, jurisdiction_as_given=COUNTRY, origin=ORIGIN,
            slot=SLOT, did=self.admin.iss, threshold=1, acceptances=(),
            admins=(AdminKey(kid=self.admin.kid, public_key=self.admin.public.hex(), person="admin"),),
            attestation_key=self.attestation.public.hex(), release_key=os.urandom(32).hex(),
            output_key=os.urandom(32).hex(), parent=f"{HOST}/t/1",
        )  # fmt: skip
        return registered.model_copy(update={"acceptances": self._governed(acceptance_claims(registered))})

    def _governed(self, claims: dict[str, object]) -> tuple[str, ...]:
        return (self.admin.sign(ORIGIN, BEGAN_MS, claims),)
