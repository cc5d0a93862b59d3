"""TEEExecutorVC: what a tenant may execute (wire format, section 5).

Invariants:
- Subject: the tenant's DID, its DAO and jurisdiction, clause families, resource classes and greatest memory.
- `verify_executor` says whether the credential holds at an instant; `check_scope` whether it covers one workload. Both
  must pass; neither asks a clock or a network by itself.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import AfterValidator, Field

from domain.errors import MalformedError
from domain.identifiers import DaoName, ResourceClass, parse_clause_id
from domain.jurisdictions import Jurisdiction
from infrastructure.credentials import verifiable
from infrastructure.credentials.data_integrity import Document
from infrastructure.credentials.subject import Did, Subject, WideInteger
from infrastructure.credentials.verifiable import CredentialRefusedError, Grant, Refusal, StatusChecker

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


class ExecutorSubject(Subject):
    """What is granted, to whom. `id` is the tenant's DID; families are clause ids without their version."""

    dao: DaoName
    jurisdiction: Jurisdiction
    clause_families: _Families
    resource_classes: _Classes
    maximum_memory_bytes: WideInteger


@dataclass(frozen=True, slots=True)
class ExecutorClaims:
    """A verified TEEExecutorVC."""

    subject: ExecutorSubject
    grant: Grant


def issue_executor(
    subject: ExecutorSubject,
    issuer_key: Ed25519PrivateKey,
    *,
    valid_from_ms: int,
    valid_until_ms: int,
    created_ms: int,
    credential_id: str | None = None,
    status: Mapping[str, Any] | None = None,
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
    )


def verify_executor(
    document: Mapping[str, Any],
    *,
    trusted_issuers: Collection[str],
    at_ms: int,
    status: StatusChecker | None = None,
) -> ExecutorClaims:
    """Verify a TEEExecutorVC at an instant. Arguments as for `verifiable.verify`.

    Raises:
        CredentialRefusedError: with its reason.
    """
    grant = verifiable.verify(TYPE, document, trusted_issuers=trusted_issuers, at_ms=at_ms, status=status)
    try:
        return ExecutorClaims(ExecutorSubject.read(grant.subject), grant)
    except MalformedError as error:
        raise CredentialRefusedError(Refusal.MALFORMED, str(error)) from None


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
