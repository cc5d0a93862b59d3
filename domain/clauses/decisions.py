"""Registration of clauses, and whether a tenant may run one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from domain.bounds import Bounds
from domain.canonical import canonical
from domain.clauses.events import ClauseDeprecated, ClauseMetadata, ClauseRegistered
from domain.errors import ConflictError, NotAuthorisedError, RefusedError
from domain.hashing import sha256_hex
from domain.payloads import StoredPayload
from domain.statements import Signed, require_threshold
from domain.tenants.state import Tenant


@dataclass(frozen=True, slots=True)
class Clause:
    """A registered clause: metadata, module digest and payload, hash of its registration entry, its owner's log."""

    metadata: ClauseMetadata
    module_digest: str
    payload_digest: str
    entry: str
    owner_origin: str
    deprecated: bool = False


def register_clause(
    owner: Tenant,
    metadata: ClauseMetadata,
    *,
    module_digest: str,
    module_bytes: int,
    payload: StoredPayload,
    signatures: Sequence[Signed],
) -> ClauseRegistered:
    """Register a clause by its owner's admins.

    Raises:
        RefusedError: when the owner is not endorsed.
        NotAuthorisedError: when the owner is another DAO, or below the threshold.
    """
    if not owner.endorsed:
        raise RefusedError("the owner is not endorsed by its scope yet")
    if owner.dao and owner.dao != metadata.owner:
        raise NotAuthorisedError("only the owner DAO's admins register its clause")
    require_threshold(
        signatures,
        owner.principals,
        roles=owner.admins,
        threshold=owner.threshold,
        expected=registration_claims(metadata, module_digest),
    )
    return ClauseRegistered(
        metadata=metadata,
        module_digest=module_digest,
        module_bytes=module_bytes,
        module=payload,
        owner_origin=owner.origin,
        statements=tuple(signed.token for signed in signatures),
    )


def deprecate_clause(owner: Tenant, clause: Clause, reason: str, signatures: Sequence[Signed]) -> ClauseDeprecated:
    """Let no new submission of a clause in; its trail stays.

    Raises:
        NotAuthorisedError: when the signatories are not its owner's admins, or too few.
        ConflictError: when it is deprecated already.
    """
    if clause.deprecated:
        raise ConflictError("the clause is deprecated already")
    if owner.origin != clause.owner_origin:
        raise NotAuthorisedError("only the tenant that registered a clause deprecates it")
    require_threshold(
        signatures,
        owner.principals,
        roles=owner.admins,
        threshold=owner.threshold,
        expected=deprecation_claims(clause.metadata.clause_id, reason),
    )
    statements = tuple(signed.token for signed in signatures)
    return ClauseDeprecated(clause_id=clause.metadata.clause_id, reason=reason, statements=statements)


def deprecation_claims(clause_id: str, reason: str) -> dict[str, Any]:
    """Return what the owner's admins say when they deprecate a clause."""
    return {"act": "deprecate_clause", "clause_id": clause_id, "reason": reason}


def registration_claims(metadata: ClauseMetadata, module_digest: str) -> dict[str, Any]:
    """Return what the owner's admins say of a clause."""
    return {
        "act": "register_clause",
        "clause_id": metadata.clause_id,
        "metadata_digest": sha256_hex(canonical(metadata.model_dump(mode="json"))),
        "module_digest": module_digest,
    }


def refusal(
    clause: Clause | None, *, dao: str, jurisdiction: str, resource_class: str, bounds: Bounds, inputs: int
) -> str | None:
    """Return why a tenant may not run a clause, or None. Checked at ClauseVerified, deny by default."""
    if clause is None:
        return "the clause is not registered"
    metadata = clause.metadata
    checks = (
        (not clause.deprecated, "the clause is deprecated"),
        (not metadata.daos or dao in metadata.daos, "the clause is not open to this DAO"),
        (
            not metadata.jurisdictions or jurisdiction in metadata.jurisdictions,
            "the clause is not open to this jurisdiction",
        ),
        (resource_class in metadata.resource_classes, f"the clause does not serve resource class {resource_class}"),
        (bounds.within(metadata.maximum_bounds), f"bounds exceed the clause's maximum ({metadata.maximum_bounds})"),
        (inputs == metadata.inputs, f"the clause takes {metadata.inputs} inputs, not {inputs}"),
        (not metadata.simulation_required, "a simulation reference is required, which this version can't check"),
    )
    return next((reason for holds, reason in checks if not holds), None)
