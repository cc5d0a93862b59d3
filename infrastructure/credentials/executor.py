"""TEEExecutorVC: what a tenant may execute (wire format, section 5).

Invariants:
- Subject: the tenant's DID, its DAO and jurisdiction, clause families, resource classes and greatest memory.
- `delegation`, where there is one, names the DID that may issue narrower ones under it; without it nobody may.
- `verify_executor` says whether the credential holds at an instant; `check_scope` whether it covers one workload. Both
  must pass; neither asks a clock or a network by itself.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import AfterValidator, Field, SerializerFunctionWrapHandler, model_serializer

from domain.errors import MalformedError
from domain.identifiers import DaoName, ResourceClass, parse_clause_id
from domain.jurisdictions import Jurisdiction
from infrastructure.credentials import delegation, verifiable
from infrastructure.credentials.data_integrity import Document
from infrastructure.credentials.delegation import Reach
from infrastructure.credentials.refusal import CredentialRefusedError, Refusal
from infrastructure.credentials.resolving import Resolver
from infrastructure.credentials.status_checking import StatusChecker
from infrastructure.credentials.subject import Did, Part, Subject, WideInteger
from infrastructure.credentials.verifiable import Grant

TYPE = "TEEExecutorVC"


def _distinct(values: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(values)) != len(values):
        raise ValueError("a value is listed twice")
    return values


def _family(text: str) -> str:
    return parse_clause_id(f"{text}@0.0.0").family


ClauseFamily = Annotated[str, AfterValidator(_family)]
_Families = Annotated[tuple[ClauseFamily, ...], Field(min_length=1, max_length=256), AfterValidator(_distinct)]
_Classes = Annotated[tuple[ResourceClass, ...], Field(min_length=1, max_length=256), AfterValidator(_distinct)]


class Delegation(Part):
    """Who may issue under a credential, and how many credentials deep."""

    issuer: Did
    depth: Annotated[int, Field(ge=1, le=delegation.MAX_PARENTS)]


class ExecutorSubject(Subject):
    """What is granted, to whom. `id` is the tenant's DID; families are clause ids without their version."""

    dao: DaoName
    jurisdiction: Jurisdiction
    clause_families: _Families
    resource_classes: _Classes
    maximum_memory_bytes: WideInteger
    delegation: Delegation | None = None

    @model_serializer(mode="wrap")
    def _without_nothing(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out a delegation that is none: one credential has one spelling."""
        members: dict[str, Any] = handler(self)
        if members.get("delegation") is None:
            members.pop("delegation", None)
        return members


@dataclass(frozen=True, slots=True)
class ExecutorClaims:
    """A verified TEEExecutorVC, and the credentials above it, the topmost first."""

    subject: ExecutorSubject
    grant: Grant
    above: tuple[Grant, ...] = ()

    @property
    def reach(self) -> Reach:
        """Return how far it reaches."""
        subject, delegated = self.subject, self.subject.delegation
        return Reach(
            dao=subject.dao,
            jurisdiction=subject.jurisdiction,
            families=frozenset(subject.clause_families),
            classes=frozenset(subject.resource_classes),
            memory_bytes=subject.maximum_memory_bytes,
            valid_from_ms=self.grant.valid_from_ms,
            valid_until_ms=self.grant.valid_until_ms,
            delegates=None if delegated is None else (delegated.issuer, delegated.depth),
        )


def issue_executor(
    subject: ExecutorSubject,
    issuer_key: Ed25519PrivateKey,
    *,
    valid_from_ms: int,
    valid_until_ms: int,
    created_ms: int,
    credential_id: str | None = None,
    status: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    verification_method: str | None = None,
    parent: Mapping[str, Any] | None = None,
) -> Document:
    """Return a signed TEEExecutorVC. Arguments and errors as for `verifiable.issue`."""
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
        parent=parent,
    )


def verify_executor(
    document: Mapping[str, Any],
    *,
    trusted_issuers: Collection[str],
    at_ms: int,
    status: StatusChecker | None = None,
    resolver: Resolver = verifiable.ONLY_DID_KEY,
) -> ExecutorClaims:
    """Verify a TEEExecutorVC at an instant, with every credential above it. Arguments as for `verifiable.verify`.

    Raises:
        CredentialRefusedError: with its reason; where it is a parent's, its text says so.
    """
    claims: ExecutorClaims | None = None
    above: list[Grant] = []
    for link in delegation.lineage(document):
        try:
            claims = _verify_link(link, claims, trusted_issuers, at_ms, status, resolver)
        except CredentialRefusedError as error:
            raise error if link is document else error.of("its parent") from None
        above.append(claims.grant)
    if claims is None:
        raise CredentialRefusedError(Refusal.MALFORMED, "there is no credential")
    return replace(claims, above=tuple(above[:-1])) if len(above) > 1 else claims


def _verify_link(
    document: Mapping[str, Any],
    parent: ExecutorClaims | None,
    trusted_issuers: Collection[str],
    at_ms: int,
    status: StatusChecker | None,
    resolver: Resolver,
) -> ExecutorClaims:
    """Verify one credential of a chain, under the verified one above it; the topmost by a trusted issuer."""
    grant = verifiable.verify(
        TYPE,
        document,
        trusted_issuers=trusted_issuers if parent is None else (delegation.allowed_issuer(parent.reach),),
        at_ms=at_ms,
        status=status,
        resolver=resolver,
        parents=True,
    )
    try:
        claims = ExecutorClaims(ExecutorSubject.read(grant.subject), grant)
    except MalformedError as error:
        raise CredentialRefusedError(Refusal.MALFORMED, str(error)) from None
    if parent is not None:
        delegation.check_narrower(claims.reach, parent.reach)
    return claims


def check_scope(
    claims: ExecutorClaims,
    *,
    tenant: Did,
    dao: str,
    jurisdiction: str,
    clause_id: str,
    resource_class: str,
    memory_bytes: int,
) -> None:
    """Check that a verified credential covers a workload.

    Raises:
        CredentialRefusedError: `subject` when it is another tenant's, `scope` when it doesn't reach so far.
        MalformedError: when the clause id is none.
    """
    subject = claims.subject
    if (subject.id, subject.dao, subject.jurisdiction) != (tenant, dao, jurisdiction):
        raise CredentialRefusedError(Refusal.SUBJECT, "it was issued to another tenant")
    family = parse_clause_id(clause_id).family
    if family not in subject.clause_families:
        raise CredentialRefusedError(Refusal.SCOPE, f"it doesn't cover clauses of {family}")
    if resource_class not in subject.resource_classes:
        raise CredentialRefusedError(Refusal.SCOPE, f"it doesn't cover the resource class {resource_class}")
    if memory_bytes > subject.maximum_memory_bytes:
        raise CredentialRefusedError(
            Refusal.SCOPE, f"it allows {subject.maximum_memory_bytes} bytes of memory, not {memory_bytes}"
        )
