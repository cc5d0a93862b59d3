"""People with keys, and what they sign: statements as the border hands them on, verified."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from domain.platform.events import AdminKey
from domain.statements import GOVERNANCE, SUBMISSION, Principal, Signed
from domain.tenants.state import Tenant, evolve
from domain.workloads import events as workloads
from domain.workloads.decisions import Request, request_claims
from tests.domain import samples


def kid(name: str) -> str:
    """Return the thumbprint of a person's key."""
    return name.ljust(43, "_")


def public(name: str) -> str:
    """Return a person's public key."""
    return sha256(name.encode()).hexdigest()


def admin(name: str, person: str | None = None) -> AdminKey:
    """Return an admin key."""
    return AdminKey(kid=kid(name), public_key=public(name), person=person or name)


def principal(name: str, role: str = "admin", statement_type: str = GOVERNANCE, person: str | None = None) -> Principal:
    """Return an enrolled key."""
    return Principal(kid(name), public(name), person or name, role, statement_type)


def signed(name: str, claims: Mapping[str, Any], typ: str = GOVERNANCE, **registered: Any) -> Signed:
    """Return a verified statement by a person's key."""
    usual = {"iss": "did:key:z", "aud": samples.ORIGIN, "jti": "0" * 32, "iat": 1, "exp": 2}
    return Signed(f"token.of.{name}", kid(name), typ, {**usual, **registered, **claims})


def tenant(*names: str, threshold: int = 1, endorsed: bool = True, **changes: Any) -> Tenant:
    """Return a tenant with these admins, a submitter `sam` and whatever is changed."""
    admins = tuple(admin(name) for name in names or ("ada",))
    found = evolve(samples.tenant_registered(admins=admins, threshold=threshold, **changes), None)
    found = evolve(samples.enrolled(kid=kid("sam"), statement_type=SUBMISSION), found)
    if endorsed:
        found = evolve(samples.SAMPLES_BY_TOPIC["tenant.endorsed.v1"], found)
    return found


def request(**changes: Any) -> Request:
    """Return what a submission asks for."""
    usual: dict[str, Any] = {
        "workload": samples.WORKLOAD,
        "clause_id": samples.CLAUSE,
        "resource_class": samples.CLASS,
        "bounds": samples.BOUNDS,
        "inputs": (
            workloads.NamedInput(commitment=samples.hexed(10), size_bytes=5, ciphertext_digest=samples.hexed(18)),
        ),
        "not_after_ms": samples.NOW + 60_000,
    }
    return Request(**{**usual, **changes})


def submission(name: str = "sam", typ: str = SUBMISSION, **changes: Any) -> Signed:
    """Return a signed submission."""
    return signed(name, request_claims(request(**changes)), typ=typ)
