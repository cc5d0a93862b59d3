"""Principals of tenants, scopes and the platform: whose key it is, in which log and role, and whether it counts now.

Invariants:
- Whose log a principal may ask about is the log in which its key is enrolled. The platform's are enrolled in the root
  scope: its admins are the operators.
- Of several that enrolled one key none is guessed: who asserts names the log.
- It is looked up with each request: who was revoked, whose time is over, or whose tenant's keys are gone is nobody.
- Who was shown by a token of an admitted issuer has no key: a pseudonym stands for it, and what was admitted decides.
  Any change of that, and it is nobody: it shows a token anew.
"""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from domain.access.token_issuers import TokenIssuer
from domain.errors import LedgerError, NotAuthorisedError, UnavailableError
from domain.executions.releases import RELEASER
from domain.statements import ENDORSEMENT, GOVERNANCE
from domain.statements import Principal as Enrolled
from domain.tenants.state import Tenant
from infrastructure.api.rights import OF_PLATFORM, OF_SCOPES, OF_TENANTS, Role
from infrastructure.commands.guarding import guard_of
from infrastructure.commands.loading import find_log, load_genesis, load_tenant
from infrastructure.keys.did_key import did_key
from infrastructure.ledger import Ledger
from infrastructure.postgres.records import Guard

_MOST_RECIPIENT: Final = 200
_NOBODY: Final = "the key that signed the assertion is not enrolled in the log that it names"
NOT_SHOWN: Final = "the log that is named admits no such token"
"""Whatever is wrong: whether there is such a log, and what it admits, is nobody else's to learn."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks, by the key that it enrolled: a node, or somebody of a tenant, a scope or the platform.

    Attributes:
        kid: the key's thumbprint.
        did: the key's did:key.
        role: what it is; None: nothing that any route is for.
        node: a node's name; else empty.
        log_id: what it may ask about; None for a node.
        person: who it is; empty for a node.
        called: what people call the tenant or scope; empty for a node and for the platform.
        jurisdictions: of whose tenants a scope's principal may learn; empty: of all.
        admission: of whom an issuer's token showed: digest of what was admitted of the issuer, and the rule's number.
            Empty for who has a key. Such a one only reads.
    """

    kid: str
    did: str
    role: Role | None
    node: str = ""
    log_id: UUID | None = None
    person: str = ""
    called: str = ""
    jurisdictions: tuple[str, ...] = ()
    admission: str = ""

    @property
    def share(self) -> str:
        """Return whose share of what is bounded it takes: its log's, which may enrol as many keys as it likes."""
        return self.kid if self.log_id is None else str(self.log_id)

    @property
    def recipient(self) -> str:
        """Return as whom a disclosure names it: the key first, since a person may be called anything at any length."""
        return f"{self.kid} {self.person}"[:_MOST_RECIPIENT]


class Askers:
    """Principals of logs. Safe to call from several threads.

    Args:
        ledger: where they are enrolled.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def find(self, kid: str, name: object) -> Principal:
        """Return who has a key in the log of a name.

        Args:
            kid: thumbprint of the key.
            name: a tenant's or scope's id or name, `root` or `platform`.

        Raises:
            NotAuthorisedError: when nobody has, or not now: the two can't be told apart.
        """
        try:
            if isinstance(name, str):
                return self._now(kid, find_log(self._ledger, name).log_id)
        except (LedgerError, ValueError):
            pass
        raise NotAuthorisedError(_NOBODY)

    def find_shown(self, kid: str, log_id: UUID, admission: str) -> Principal:
        """Return who was shown to read a log, by what was admitted of an issuer. Raises as `find` does."""
        try:
            return self._shown_now(kid, log_id, admission)
        except UnavailableError:
            raise
        except (LedgerError, ValueError, IndexError):
            raise NotAuthorisedError(NOT_SHOWN) from None

    def admitted(self, name: str, issuer: str) -> tuple[UUID, TokenIssuer]:
        """Return a log by its name, and what it admits now of an issuer.

        Raises:
            NotAuthorisedError: when there is no such log, or it admits nothing of it: the two can't be told apart.
        """
        try:
            log_id = find_log(self._ledger, name).log_id
            found = self._governing(log_id).token_issuers.get(issuer)
        except UnavailableError:
            raise
        except (LedgerError, ValueError):
            found = None
        if found is None or not found.in_force(self._ledger.clock.now_ms()):
            raise NotAuthorisedError(NOT_SHOWN)
        return log_id, found

    def guard(self, known: Principal) -> Guard:
        """Return what must not have changed where something rests on who a principal is.

        Raises:
            NotAuthorisedError: when it is not any more what it was.
        """
        if known.log_id is None:
            raise NotAuthorisedError(_NOBODY)
        guard = guard_of(self._governing(known.log_id))
        self.require_in_force(known)  # after it: what changes in between moves the guard on
        return guard

    def require_in_force(self, known: Principal) -> None:
        """Look up again whether a principal is what it was.

        Raises:
            NotAuthorisedError: when it is not.
        """
        try:
            still = known.log_id is not None and self._again(known, known.log_id) == known
        except LedgerError:
            still = False
        if not still:
            raise NotAuthorisedError("the key is not enrolled any more, or not as it was")

    def _again(self, known: Principal, log_id: UUID) -> Principal:
        if known.admission:
            return self._shown_now(known.kid, log_id, known.admission)
        return self._now(known.kid, log_id)

    def _governing(self, log_id: UUID) -> Tenant:
        """Return in whose log the principals of a log are enrolled: of the platform's, the root scope."""
        if log_id == self._ledger.platform().log_id:
            return load_tenant(self._ledger, UUID(load_genesis(self._ledger).root_scope))
        return load_tenant(self._ledger, log_id)

    def _shown_now(self, kid: str, log_id: UUID, admission: str) -> Principal:
        platform, whose = log_id == self._ledger.platform().log_id, self._governing(log_id)
        digest, _, number = admission.partition("/")
        found = next((one for one in whose.token_issuers.values() if one.digest() == digest), None)
        if found is None or not found.in_force(self._ledger.clock.now_ms()):
            raise NotAuthorisedError(NOT_SHOWN)
        rule = found.rules[int(number)]
        known = OF_TENANTS if whose.dao else OF_SCOPES
        role = OF_PLATFORM.get(rule.role) if platform else Role(rule.role) if rule.role in known else None
        return Principal(
            kid=kid,
            did="",
            role=role,
            log_id=log_id,
            person=found.issuer,
            called="" if platform else whose.called,
            jurisdictions=rule.jurisdictions,
            admission=admission,
        )

    def _now(self, kid: str, log_id: UUID) -> Principal:
        platform, whose = log_id == self._ledger.platform().log_id, self._governing(log_id)
        one = whose.principals.get(kid)
        if one is None or not one.in_force(self._ledger.clock.now_ms()):
            raise NotAuthorisedError(_NOBODY)
        return Principal(
            kid=kid,
            did=did_key(bytes.fromhex(one.public_key)),
            role=OF_PLATFORM.get(one.role) if platform else _role_of(whose, one),
            log_id=log_id,
            person=one.person,
            called="" if platform else whose.called,
            jurisdictions=one.jurisdictions,
        )


def _role_of(whose: Tenant, one: Enrolled) -> Role | None:
    """Return what a log's own principal is. A role that the log's kind does not have is none."""
    known = OF_TENANTS if whose.dao else OF_SCOPES
    if one.role not in known and one.statement_type == GOVERNANCE:
        return Role.SIGNATORY
    if one.role not in known or (one.role == RELEASER) != (one.statement_type == ENDORSEMENT):
        return None
    return Role(one.role)
