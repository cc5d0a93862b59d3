"""Scopes below the root: treaty bodies and jurisdictions, accepted by their own admins, endorsed by those above.

Invariants:
- A treaty lies below the root or another treaty; a jurisdiction below the root or a treaty; tenants below any scope.
- The parent's admins say the whole registration, by digest: whose keys govern the scope is nothing that they overlook.
"""

from collections.abc import Sequence
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from domain.errors import MalformedError, RefusedError
from domain.policies.kinds import Word
from domain.statements import Signed, require_threshold
from domain.tenants.decisions import registration_digest
from domain.tenants.events import ScopeRegisteredBelow
from domain.tenants.state import Tenant

RESERVED: Final = frozenset({"root", "platform"})
"""Names that people use for other logs."""

MAX_DEPTH: Final = 8
"""Scopes from the root down to a tenant, at most: every decision climbs them."""

_WORD: TypeAdapter[str] = TypeAdapter(Word)
_SHORTEST_UUID = 31
_UUID_CHARACTERS = frozenset("0123456789abcdef-")


def require_name(name: str) -> None:
    """Check that a scope may be called so.

    Raises:
        MalformedError: when it would be mistaken for something else.
    """
    try:
        _WORD.validate_python(name)
    except ValidationError:
        raise MalformedError(
            f"{name[:80]!a} is no name of a scope: it takes a letter, then letters, digits, _ . : or - (at most 64)"
        ) from None
    if name in RESERVED or (len(name) > _SHORTEST_UUID and set(name.lower()) <= _UUID_CHARACTERS):
        raise MalformedError(f"a scope can't be called {name!a}: choose a name that stands for nothing else")


def require_place(parent: Tenant, depth: int) -> None:
    """Check that a scope may begin below another one.

    Args:
        parent: the scope above.
        depth: how many scopes there are from the root down to it.

    Raises:
        RefusedError: when it may not.
    """
    if parent.dao:
        raise RefusedError(f"{parent.called} is a tenant: nothing lies below it")
    if parent.kind == "jurisdiction":
        raise RefusedError(f"{parent.called} is a jurisdiction: tenants lie below it, and no scope")
    if depth >= MAX_DEPTH:
        raise RefusedError(f"scopes are at most {MAX_DEPTH} deep")


def endorse_scope(
    parent: Tenant, registration: ScopeRegisteredBelow, signatures: Sequence[Signed], *, depth: int
) -> ScopeRegisteredBelow:
    """Let the admins of the scope above endorse a registration.

    Args:
        parent: the scope above.
        registration: as its own admins accepted it.
        signatures: the parent's admins' statements.
        depth: how many scopes there are from the root down to the parent.

    Raises:
        RefusedError: when the parent is no scope that may have such a one below it.
        NotAuthorisedError: below the parent's threshold.
    """
    require_name(registration.name)
    require_place(parent, depth)
    if parent.origin != registration.parent:
        raise RefusedError("the scope above is another one")
    require_threshold(
        signatures,
        parent.principals,
        roles=parent.admins,
        threshold=parent.threshold,
        expected=scope_claims(registration),
    )
    return registration.model_copy(update={"endorsements": tuple(signed.token for signed in signatures)})


def scope_claims(registration: ScopeRegisteredBelow) -> dict[str, Any]:
    """Return what the admins of the scope above say of a scope that begins below it."""
    return {
        "act": "endorse_scope",
        "scope": registration.scope_id,
        "name": registration.name,
        "kind": registration.kind,
        "parent": registration.parent,
        "registration": registration_digest(registration),
    }
