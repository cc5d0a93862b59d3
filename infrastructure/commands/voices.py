"""Whose voice a statement about a dispute is: verified with the keys of the party that it claims to speak for.

Invariants:
- A tenant's party is one that the scope sees; of every other it is told the same as if there were none.
- The issuer is the party itself: in another's name one could take a command before that one speaks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from domain.disputes import decisions
from domain.disputes.decisions import NOTHING, Voice
from domain.disputes.events import DisputeOpened
from domain.disputes.state import Dispute, evolve
from domain.disputes.statements import AttachSaid, DecideSaid, Said, read_said
from domain.errors import NotAuthorisedError, UnknownError
from domain.statements import GOVERNANCE, Signed
from domain.tenants.state import Tenant
from infrastructure.commands.border import all_verified_or_known, keys_of
from infrastructure.commands.guarding import guard_of
from infrastructure.commands.involved import sees
from infrastructure.commands.loading import load_scope, load_tenant
from infrastructure.keys.did_key import did_key
from infrastructure.ledger import Ledger
from infrastructure.postgres.records import Guard
from infrastructure.statements import jws


@dataclass(frozen=True, slots=True)
class Act:
    """Verified statements about a dispute: what they say, as whose voice, and what the verdict rests on."""

    said: Said
    signed: tuple[Signed, ...]
    voice: Voice
    guards: tuple[Guard, ...]


def read_act(ledger: Ledger, scope: Tenant, tokens: Sequence[str]) -> Act:
    """Verify statements with the keys of the party that they claim to speak for.

    Raises:
        NotAuthorisedError: when a signature is missing or wrong, or another issuer is named.
        UnknownError: when it is no scope.
        MalformedError: when they are not of their form.
    """
    require_scope(scope)
    if not tokens:
        raise NotAuthorisedError("no signature was given")
    claimed = jws.peek(tokens[0])[1]
    role, name = claimed.get("role"), claimed.get("party")
    body = scope
    guards: tuple[Guard, ...] = (guard_of(scope),)
    keys: dict[str, bytes] = {}
    member = _member(ledger, scope, name) if role == "tenant" else scope
    if member is not None:  # of a tenant that is not there it says what it says of a stranger's key
        body = member
        guards = (guard_of(scope), guard_of(body))
        keys = keys_of(body.principals.values(), GOVERNANCE)
    signed = all_verified_or_known(ledger, UUID(scope.log_id), tokens, typ=GOVERNANCE, keys=keys, aud=scope.origin)
    said = read_said(signed[0])
    if said.role == "tenant":
        voice = decisions.members(body, signed, whole=not isinstance(said, AttachSaid))
    elif said.role == "operator":
        voice = decisions.operator(scope, said.party)
    else:
        voice = decisions.resolvers(scope, deciding=isinstance(said, DecideSaid))
    # In another's name one could take a command before that one speaks.
    issuer = body.did if said.role != "operator" else did_key(keys[signed[0].kid])
    if any(one.iss != issuer for one in signed):
        raise NotAuthorisedError("the statements name another issuer than the party that they speak for")
    return Act(said, signed, voice, guards)


def addressed(ledger: Ledger, tokens: Sequence[str]) -> Tenant:
    """Return the scope that statements are addressed to, by their audience; they are not verified here.

    Raises:
        UnknownError: when there is no such scope.
        MalformedError: when there is no statement.
    """
    if not tokens:
        raise NotAuthorisedError("no signature was given")
    try:
        return load_scope(ledger, str(jws.peek(tokens[0])[1]["aud"]))
    except UnknownError:
        raise UnknownError(NOTHING) from None


def signers(tokens: Sequence[str]) -> frozenset[str]:
    """Return the kids of statements that the log holds: they were verified when they came."""
    return frozenset(str(jws.peek(token)[0]["kid"]) for token in tokens)


def _member(ledger: Ledger, scope: Tenant, name: object) -> Tenant | None:
    """Return a tenant below a scope by its origin; None where there is none."""
    log = next((one for one in ledger.logs() if one.origin == name), None)
    if log is None or not sees(ledger, scope, log.log_id):
        return None
    return load_tenant(ledger, log.log_id)


def require_scope(scope: Tenant) -> None:
    """Refuse a tenant where a scope is meant, as if there were nothing."""
    if scope.dao:
        raise UnknownError(NOTHING)


def load_dispute(ledger: Ledger, scope: Tenant, dispute_id: str) -> Dispute:
    """Return a dispute of a scope.

    Raises:
        UnknownError: when there is none.
    """
    dispute: Dispute | None = None
    try:
        stream = UUID(dispute_id)
    except ValueError:
        raise UnknownError(NOTHING) from None
    for recorded in ledger.stream(UUID(scope.log_id), stream):
        if dispute is None and not isinstance(recorded.event, DisputeOpened):
            break
        dispute = evolve(recorded.event, dispute)
    if dispute is None:
        raise UnknownError(NOTHING)
    return dispute
