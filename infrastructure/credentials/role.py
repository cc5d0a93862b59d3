"""The role credential: who may govern, audit or resolve disputes, and for whom (domain, "Who asks").

Invariants:
- Subject: the person's DID, one role of a closed list, the jurisdiction that it is for, and the DAOs in it; null stands
  for all of them. Who governs does so for named DAOs.
- It grants no key anything by itself: keys are enrolled by events, and this says on whose word.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import Field, model_validator

from domain.errors import MalformedError
from domain.identifiers import DaoName
from domain.jurisdictions import Jurisdiction
from infrastructure.credentials import verifiable
from infrastructure.credentials.data_integrity import Document
from infrastructure.credentials.refusal import CredentialRefusedError, Refusal
from infrastructure.credentials.resolving import Resolver
from infrastructure.credentials.status_checking import StatusChecker
from infrastructure.credentials.subject import Subject
from infrastructure.credentials.verifiable import Grant

TYPE: Final = "LedgerRoleCredential"

Role = Literal["governance", "auditor", "dispute_resolver"]


class RoleSubject(Subject):
    """Who has which role for whom. `id` is the person's DID; `daos` names DAOs, null for all of the jurisdiction."""

    role: Role
    jurisdiction: Jurisdiction
    daos: Annotated[tuple[DaoName, ...], Field(min_length=1, max_length=256)] | None = None

    @model_validator(mode="after")
    def _governs_somebody(self) -> Self:
        if self.role == "governance" and self.daos is None:
            raise ValueError("governance is for named DAOs")
        if self.daos is not None and len(set(self.daos)) != len(self.daos):
            raise ValueError("a DAO is listed twice")
        return self


@dataclass(frozen=True, slots=True)
class RoleClaims:
    """A verified role credential."""

    subject: RoleSubject
    grant: Grant


def issue_role(
    subject: RoleSubject,
    issuer_key: Ed25519PrivateKey,
    *,
    valid_from_ms: int,
    valid_until_ms: int,
    created_ms: int,
    credential_id: str | None = None,
    status: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    verification_method: str | None = None,
) -> Document:
    """Return a signed role credential. Arguments and errors as for `verifiable.issue`."""
    return verifiable.issue(
        TYPE,
        subject.document(),
        issuer_key,
        valid_from_ms=valid_from_ms,
        valid_until_ms=valid_until_ms,
        created_ms=created_ms,
        credential_id=credential_id,
        status=status,
        verification_method=verification_method,
    )


def verify_role(
    document: Mapping[str, Any],
    *,
    trusted_issuers: Collection[str],
    at_ms: int,
    status: StatusChecker | None = None,
    resolver: Resolver = verifiable.ONLY_DID_KEY,
) -> RoleClaims:
    """Verify a role credential at an instant. Arguments as for `verifiable.verify`.

    Raises:
        CredentialRefusedError: with its reason.
    """
    grant = verifiable.verify(
        TYPE, document, trusted_issuers=trusted_issuers, at_ms=at_ms, status=status, resolver=resolver
    )
    try:
        return RoleClaims(RoleSubject.read(grant.subject), grant)
    except MalformedError as error:
        raise CredentialRefusedError(Refusal.MALFORMED, str(error)) from None


def check_role(claims: RoleClaims, *, person: str, role: Role, dao: str, jurisdiction: str) -> None:
    """Check that a verified role credential covers an act for a tenant.

    Args:
        claims: the credential.
        person: the DID of who acts.
        role: the role that the act takes.
        dao: the tenant's DAO.
        jurisdiction: the tenant's jurisdiction.

    Raises:
        CredentialRefusedError: `subject` when it is another's, `scope` when it is for something else.
    """
    subject = claims.subject
    if subject.id != person:
        raise CredentialRefusedError(Refusal.SUBJECT, "it was issued to another person")
    if subject.role != role:
        raise CredentialRefusedError(Refusal.SCOPE, f"it is for the role {subject.role}, not {role}")
    if subject.jurisdiction != jurisdiction or (subject.daos is not None and dao not in subject.daos):
        raise CredentialRefusedError(Refusal.SCOPE, "it is for another jurisdiction or other DAOs")
