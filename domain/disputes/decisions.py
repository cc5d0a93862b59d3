"""What may become of a dispute but its decision: each act by who may, in its order, in its time (domain, "Disputes").

Invariants:
- Opened by an affected tenant's admins about its own CAC or execution, or by a resolver of the scope about anything
  below it; answered by those concerned, once each. What one party has open is bounded.
- What is late changes nothing. A dispute that was not decided in time stays undecided; it can be opened anew.
"""

from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

from domain.disputes.events import (
    MAX_AFFECTED,
    MAX_EVIDENCE,
    MAX_OF_A_PARTY,
    MAX_OF_RESOLVERS,
    AboutCac,
    AboutExecution,
    Affected,
    DisputeAnswered,
    DisputeEvidenceAttached,
    DisputeOpened,
    DisputeWithdrawn,
    NamedEntry,
    Party,
    Role,
    Subject,
)
from domain.disputes.state import Dispute, who
from domain.disputes.statements import (
    AnswerSaid,
    AttachSaid,
    OpenSaid,
    Said,
    WithdrawSaid,
    affected_digest,
)
from domain.errors import ConflictError, NotAuthorisedError, RefusedError, UnknownError
from domain.payloads import StoredPayload
from domain.policies.kinds import DisputeResolution
from domain.statements import Principal, Signed, require_threshold
from domain.tenants.state import Tenant
from domain.time import rfc3339

NOTHING = "there is nothing of that id"
"""What everybody is told of what is not there, and of what is not theirs."""

MAX_OPEN: Final[Mapping[Role, int]] = {"tenant": 64, "resolver": 256}
"""Disputes that one party may have open before a scope at a time."""
MAX_OPEN_ABOUT_ONE: Final = 4
"""Disputes that one party may have open about one execution at a time."""

OPERATOR = "operator"
"""The role in which a scope enrols the key of an operator; the person is the operator's name."""


@dataclass(frozen=True, slots=True)
class Voice:
    """Who may speak as a party: its enrolled keys, the roles that count, and how many persons it takes."""

    party: Party
    principals: Mapping[str, Principal]
    roles: frozenset[str]
    threshold: int


def resolution(scope: Tenant) -> DisputeResolution:
    """Return how a scope decides disputes: as its policy says, else its resolvers at the scope's own threshold."""
    found = [rule for rule in scope.policy.rules if isinstance(rule, DisputeResolution)]
    return found[-1] if found else DisputeResolution(kind="dispute_resolution", threshold=scope.threshold)


def resolvers(scope: Tenant, *, deciding: bool = False) -> Voice:
    """Return the voice of a scope's resolvers: one opens, attaches and takes back; it takes several to decide."""
    rule = resolution(scope)
    party = Party(role="resolver", name=scope.origin)
    return Voice(party, scope.principals, frozenset(rule.roles), rule.threshold if deciding else 1)


def operator(scope: Tenant, name: str) -> Voice:
    """Return the voice of an operator, whose key the scope enrolled."""
    own = {kid: one for kid, one in scope.principals.items() if one.role == OPERATOR and one.person == name}
    return Voice(Party(role="operator", name=name), own, frozenset({OPERATOR}), 1)


def members(tenant: Tenant, signatures: Sequence[Signed], *, whole: bool = True) -> Voice:
    """Return the voice of a tenant's admins: all that its threshold asks for, or one of them (`whole` False)."""
    keys = tuple(tenant.principals[one.kid].public_key for one in signatures if one.kid in tenant.principals)
    party = Party(role="tenant", name=tenant.origin, keys=keys)
    return Voice(party, tenant.principals, tenant.admins, tenant.threshold if whole else 1)


def open_dispute(
    scope: Tenant,
    voice: Voice,
    said: OpenSaid,
    signatures: Sequence[Signed],
    *,
    affected: tuple[Affected, ...],
    now_ms: int,
) -> DisputeOpened:
    """Open a dispute.

    Args:
        scope: whose resolvers decide.
        voice: who opens it.
        said: what its statements say.
        signatures: the statements.
        affected: the executions below the scope that it is about, as the ledger found them.
        now_ms: decision time.

    Raises:
        UnknownError: when there is nothing of the kind, or it is another tenant's.
        RefusedError: when it is about too much, or a span is none.
        ConflictError: when other executions are affected than the statements say.
        NotAuthorisedError: when who signed may not open it.
    """
    may_open(voice, said, signatures, now_ms)
    own = {log_origin(scope, one) for one in affected} == {voice.party.name}
    if not affected or (voice.party.role == "tenant" and not own):
        raise UnknownError(NOTHING)
    if isinstance(said.subject, AboutCac) and affected[0].cac_id is None:
        raise ConflictError("the CAC was overturned already")
    if len(affected) > MAX_AFFECTED:
        raise RefusedError(
            f"more executions are affected than one dispute may be about ({MAX_AFFECTED}): choose shorter spans"
        )
    if said.affected != affected_digest(affected):
        raise ConflictError("other executions are affected than the statement names: look again (`dispute find`)")
    rule = resolution(scope)
    return DisputeOpened(
        dispute_id=said.dispute, subject=said.subject, grounds=said.grounds, party=voice.party, affected=affected,
        answer_by_ms=now_ms + rule.answer_ms, decide_by_ms=now_ms + rule.answer_ms + rule.decide_ms,
        statements=tokens(signatures),
    )  # fmt: skip


def may_open(voice: Voice, said: OpenSaid, signatures: Sequence[Signed], now_ms: int) -> None:
    """Check what can be told before anything is searched for: who asks, and about what kind of thing.

    Raises:
        NotAuthorisedError: when who signed may not open such a dispute.
        RefusedError: when the span is none.
    """
    speak(voice, said, signatures)
    if voice.party.role == "tenant" and not isinstance(said.subject, AboutCac | AboutExecution):
        raise NotAuthorisedError("a tenant disputes a CAC or an execution of its own")
    if voice.party.role == "operator":
        raise NotAuthorisedError("a dispute is opened by a tenant's admins or by a resolver of the scope")
    _require_span(said.subject, now_ms)


def require_room(party: Party, *, opened: int, about_one: int) -> None:
    """Refuse who has enough disputes open: what is open holds up erasures, and takes everybody's time.

    Args:
        party: who opens one more.
        opened: how many it has open before the scope.
        about_one: how many it has open about an execution that this one is about, too; the most of any.

    Raises:
        RefusedError: naming the bound.
    """
    most = MAX_OPEN.get(party.role, 0)
    if opened >= most:
        raise RefusedError(f"one party has at most {most} disputes open: take one back, or wait for a decision")
    if about_one >= MAX_OPEN_ABOUT_ONE:
        raise RefusedError(f"one party has at most {MAX_OPEN_ABOUT_ONE} disputes open about one execution")


def _require_span(subject: Subject, now_ms: int) -> None:
    """Refuse a span that is none, or that has not ended: who is affected in it must be settled."""
    if isinstance(subject, AboutCac | AboutExecution):
        return
    if not subject.from_ms < subject.to_ms:
        raise RefusedError("the span ends before it begins")
    if subject.to_ms > now_ms:
        raise RefusedError("the span has not ended yet: what it affects is not settled")


def answer(
    dispute: Dispute, voice: Voice, said: AnswerSaid, signatures: Sequence[Signed], *, now_ms: int
) -> DisputeAnswered:
    """Answer a dispute. Arguments as for `open_dispute`.

    Raises:
        UnknownError: when the dispute does not concern who answers.
        ConflictError: when it is over, or they have answered.
        RefusedError: when it is too late.
        NotAuthorisedError: when who signed may not answer.
    """
    _require_concerned(dispute, voice, said)
    speak(voice, said, signatures)
    require_open(dispute)
    if who(voice.party) in dispute.answered:
        raise ConflictError("this party has answered already; what it adds is evidence")
    require_before(now_ms, dispute.opened.answer_by_ms, "the time to answer")
    return DisputeAnswered(dispute_id=dispute.id, party=voice.party, text=said.text, statements=tokens(signatures))


def attach(
    dispute: Dispute,
    voice: Voice,
    said: AttachSaid,
    signatures: Sequence[Signed],
    *,
    shown: StoredPayload | NamedEntry,
    now_ms: int,
) -> DisputeEvidenceAttached:
    """Put a document or an entry before the resolvers. Parties do while answers are taken, resolvers until they decide.

    Raises:
        UnknownError: when the dispute does not concern who attaches it.
        RefusedError: when it is too late or too much.
        NotAuthorisedError: when who signed may not, or it is another document or entry than was signed.
    """
    if voice.party.role != "resolver" and who(voice.party) != who(dispute.opened.party):
        _require_concerned(dispute, voice, said)
    speak(voice, said, signatures)
    require_open(dispute)
    most = MAX_OF_RESOLVERS if voice.party.role == "resolver" else MAX_OF_A_PARTY
    if dispute.evidence >= MAX_EVIDENCE or dispute.shown.count(who(voice.party)) >= most:
        raise RefusedError(f"one party shows at most {most} pieces of evidence")
    if voice.party.role == "resolver":
        require_before(now_ms, dispute.opened.decide_by_ms, "the time to decide")
    else:
        require_before(now_ms, dispute.opened.answer_by_ms, "the time to answer")
    document, entry = (shown, None) if isinstance(shown, StoredPayload) else (None, shown)
    named = None if document is None else document.plaintext_digest
    if (named, entry) != (getattr(said, "digest", None), getattr(said, "entry", None)):
        raise NotAuthorisedError("another document or entry was signed for")
    return DisputeEvidenceAttached(
        dispute_id=dispute.id, number=dispute.evidence, party=voice.party, title=said.title, document=document,
        entry=entry, statements=tokens(signatures),
    )  # fmt: skip


def withdraw(
    dispute: Dispute, voice: Voice, said: WithdrawSaid, signatures: Sequence[Signed], *, openers: AbstractSet[str]
) -> DisputeWithdrawn:
    """Take a dispute back, by who opened it; of resolvers by one of the very keys that did.

    All resolvers of a scope are one party, and one of them may act for who is accused.

    Args:
        dispute: as it stands.
        voice: of who speaks.
        said: what they say.
        signatures: under it.
        openers: kids that signed the opening.

    Raises:
        UnknownError: when another party speaks.
        ConflictError: when it is over.
        NotAuthorisedError: when who signed may not.
    """
    if who(voice.party) != who(dispute.opened.party):
        raise UnknownError(NOTHING)
    speak(voice, said, signatures)
    require_open(dispute)
    if voice.party.role == "resolver" and openers.isdisjoint(signed.kid for signed in signatures):
        raise NotAuthorisedError("a resolver's dispute is taken back by who opened it; else it is decided")
    return DisputeWithdrawn(dispute_id=dispute.id, reason=said.reason, party=voice.party, statements=tokens(signatures))


def log_origin(scope: Tenant, affected: Affected) -> str:
    """Return the origin of the log that an affected execution lies in."""
    return f"{scope.origin.rpartition('/t/')[0]}/t/{affected.slot}"


def _require_concerned(dispute: Dispute, voice: Voice, said: Said) -> None:
    if who(voice.party) not in dispute.concerned or said.dispute != dispute.id:
        raise UnknownError(NOTHING)


def require_open(dispute: Dispute) -> None:
    """Refuse what is over.

    Raises:
        ConflictError: saying how it ended.
    """
    if dispute.status != "open":
        raise ConflictError(f"the dispute is over: it was {dispute.status}")


def require_before(now_ms: int, limit_ms: int, what: str) -> None:
    """Refuse what comes too late.

    Raises:
        RefusedError: naming the end.
    """
    if now_ms >= limit_ms:
        raise RefusedError(f"{what} was over at {rfc3339(limit_ms)}")


def speak(voice: Voice, said: Said, signatures: Sequence[Signed], excluded: Collection[str] = ()) -> None:
    """Require that enough of the right people said just this, as who they are.

    Raises:
        NotAuthorisedError: when they did not.
    """
    if (said.role, said.party) != who(voice.party):
        raise NotAuthorisedError("the statement speaks for another party")
    require_threshold(
        signatures, voice.principals, roles=voice.roles, threshold=voice.threshold, expected=said.claims(),
        excluded_persons=frozenset(excluded),
    )  # fmt: skip


def tokens(signatures: Sequence[Signed]) -> tuple[str, ...]:
    """Return the statements as they came."""
    return tuple(signed.token for signed in signatures)
