"""Verified statements, and whether enough of the right people signed one (wire formats 4).

Invariants:
- A `Signed` exists only for a statement whose form and signature were verified at the border.
- Several signatures count together only over the same payload bytes, by distinct keys and distinct persons.
- What a statement says is compared with what is asked, member by member: nothing is taken from elsewhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from domain.canonical import canonical, same_json
from domain.errors import NotAuthorisedError

SUBMISSION: Final = "ledger-submission+jwt"
REPORT: Final = "ledger-report+jwt"
GOVERNANCE: Final = "ledger-governance+jwt"
ENDORSEMENT: Final = "ledger-endorsement+jwt"
ASSERTION: Final = "ledger-assertion+jwt"

REGISTERED_CLAIMS = frozenset({"iss", "aud", "jti", "iat", "exp"})


@dataclass(frozen=True, slots=True)
class Signed:
    """One verified statement: the token as it came, the key's thumbprint, its type and its payload."""

    token: str
    kid: str
    typ: str
    payload: Mapping[str, Any]

    @property
    def jti(self) -> str:
        """Return the command id: 32 lowercase hex digits."""
        return str(self.payload["jti"])

    @property
    def iss(self) -> str:
        """Return who says it."""
        return str(self.payload["iss"])


@dataclass(frozen=True, slots=True)
class Principal:
    """An enrolled key: for one person, in one role, for one type of statement.

    Attributes:
        jurisdictions: of whose tenants it may learn, where its log is a scope's; empty: of all.
        from_ms: from when on it counts.
        until_ms: until when it counts; None: until it is revoked.
    """

    kid: str
    public_key: str
    person: str
    role: str
    statement_type: str
    jurisdictions: tuple[str, ...] = ()
    from_ms: int = 0
    until_ms: int | None = None

    def in_force(self, now_ms: int) -> bool:
        """Tell whether it counts at an instant."""
        return self.from_ms <= now_ms and (self.until_ms is None or now_ms < self.until_ms)


def require_claims(signed: Signed, expected: Mapping[str, Any]) -> None:
    """Compare a statement's own members (all but the registered claims) with what it must say.

    Raises:
        NotAuthorisedError: naming the first member that differs, is missing or is too many.
    """
    said = {name: value for name, value in signed.payload.items() if name not in REGISTERED_CLAIMS}
    for name in sorted({*said, *expected}):
        if name not in said or name not in expected or not same_json(said[name], expected[name]):
            raise NotAuthorisedError(f"the statement does not say this: member {name[:64]!a} differs")


def require_threshold(
    signatures: Sequence[Signed],
    principals: Mapping[str, Principal],
    *,
    roles: frozenset[str],
    threshold: int,
    expected: Mapping[str, Any],
    excluded_persons: frozenset[str] = frozenset(),
) -> None:
    """Check a governance act: same payload, enrolled keys, right roles, enough distinct persons.

    Raises:
        NotAuthorisedError: saying which of these is missing.
    """
    if not signatures:
        raise NotAuthorisedError("no signature was given")
    if len({canonical(dict(signed.payload)) for signed in signatures}) != 1:
        raise NotAuthorisedError("the signatures are not over the same payload")
    require_claims(signatures[0], expected)
    persons: set[str] = set()
    for signed in signatures:
        principal = principals.get(signed.kid)
        if principal is None or principal.statement_type != signed.typ or signed.typ != GOVERNANCE:
            raise NotAuthorisedError("a signature is by a key that is not enrolled for this")
        if principal.role not in roles:
            raise NotAuthorisedError(
                f"role {principal.role} may not decide this; it takes one of {', '.join(sorted(roles))}"
            )
        if principal.person in excluded_persons:
            raise NotAuthorisedError("the operator of the node concerned does not count")
        if principal.person in persons:
            raise NotAuthorisedError("one person signed twice")
        persons.add(principal.person)
    if len(persons) < threshold:
        raise NotAuthorisedError(f"{len(persons)} of {threshold} signatures needed")
