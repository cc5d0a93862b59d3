"""The node's credential: who operates a machine, in which country, whose hardware it is (wire format, section 5).

Invariants:
- Subject: the node's DID, operator, country of operation, vendor and platform ids. Capacity is no claim of it.
- No quote proves a country: it comes from here, on the issuer's word.
- A machine without platform ids has none here; policies on country, operator, node or independence then fail.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import AfterValidator, Field

from domain.errors import MalformedError
from domain.identifiers import DaoName
from domain.jurisdictions import Country
from domain.policies.facts import PlatformId
from domain.policies.kinds import Word, Words
from infrastructure.credentials import verifiable
from infrastructure.credentials.data_integrity import Document
from infrastructure.credentials.refusal import CredentialRefusedError, Refusal
from infrastructure.credentials.resolving import Resolver
from infrastructure.credentials.status_checking import StatusChecker
from infrastructure.credentials.subject import Subject
from infrastructure.credentials.verifiable import Grant

TYPE = "NodeCredential"


def _distinct(values: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(values)) != len(values):
        raise ValueError("a platform id is listed twice")
    return values


class NodeSubject(Subject):
    """What is said of a machine. `id` is the node's DID; `admits` names the DAOs that it serves, null for any."""

    operator: Word
    country_of_operation: Country
    vendor: Word
    platform_ids: Annotated[tuple[PlatformId, ...], Field(max_length=16), AfterValidator(_distinct)]
    attributes: Words = ()
    admits: Annotated[tuple[DaoName, ...], Field(max_length=256)] | None = None


@dataclass(frozen=True, slots=True)
class NodeClaims:
    """A verified node credential."""

    subject: NodeSubject
    grant: Grant


def issue_node(
    subject: NodeSubject,
    issuer_key: Ed25519PrivateKey,
    *,
    valid_from_ms: int,
    valid_until_ms: int,
    created_ms: int,
    credential_id: str | None = None,
    status: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    verification_method: str | None = None,
) -> Document:
    """Return a signed NodeCredential. Arguments and errors as for `verifiable.issue`."""
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


def verify_node(
    document: Mapping[str, Any],
    *,
    trusted_issuers: Collection[str],
    at_ms: int,
    node: str | None = None,
    status: StatusChecker | None = None,
    resolver: Resolver = verifiable.ONLY_DID_KEY,
) -> NodeClaims:
    """Verify a node credential at an instant; `node` is the DID that it must be about, if given.

    Raises:
        CredentialRefusedError: with its reason.
    """
    grant = verifiable.verify(
        TYPE, document, trusted_issuers=trusted_issuers, at_ms=at_ms, status=status, resolver=resolver
    )
    try:
        subject = NodeSubject.read(grant.subject)
    except MalformedError as error:
        raise CredentialRefusedError(Refusal.MALFORMED, str(error)) from None
    if node is not None and subject.id != node:
        raise CredentialRefusedError(Refusal.SUBJECT, "it is about another node")
    return NodeClaims(subject, grant)
