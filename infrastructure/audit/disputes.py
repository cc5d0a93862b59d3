"""Disputes in a scope's log, decided again; and in a tenant's log what refers to them.

A tenant's signatories are verified with the keys that the event names; whether these are its admins' is in its own log.
"""

from typing import TypeVar
from uuid import UUID

from domain.cacs.events import CacOverturned
from domain.disputes import deciding, decisions
from domain.disputes.decisions import Voice
from domain.disputes.events import (
    DisputeAnswered,
    DisputeEvidenceAttached,
    DisputeOpened,
    DisputeOverturned,
    DisputeReferenced,
    DisputeUpheld,
    DisputeWithdrawn,
    NamedEntry,
    Party,
)
from domain.disputes.state import evolve
from domain.disputes.statements import AnswerSaid, AttachSaid, DecideSaid, OpenSaid, Said, WithdrawSaid, read_said
from domain.errors import VerificationError
from domain.executions.events import NoticeRequested
from domain.identifiers import stream_of
from domain.message import Event, Recorded
from domain.payloads import StoredPayload
from domain.statements import GOVERNANCE, Principal, Signed
from domain.tenants.state import Tenant
from infrastructure.audit.known import Known
from infrastructure.audit.statements import GRACE_MS, instant_before
from infrastructure.keys.thumbprint import thumbprint
from infrastructure.statements import jws

OF_A_DISPUTE = (
    DisputeOpened | DisputeAnswered | DisputeEvidenceAttached | DisputeUpheld | DisputeOverturned | DisputeWithdrawn
)
_SaidT = TypeVar("_SaidT", bound=Said)
_CHECKED = "disputes: each act decided again (statements, roles, threshold, times, one decision)"
_PARTIES = "parties of disputes: that a tenant's signatories are its admins is in its own log"
_AFFECTED = "disputes: which executions were affected, and their CACs, is in the tenants' logs"
_RESOLVERS = "disputes: the scope's own stream was not disclosed, so whose keys decide is not known"
_DECISIONS = "overturned CACs: the decision is in the log of the scope that resolves disputes"


def follow(known: Known, event: OF_A_DISPUTE, recorded: Recorded) -> None:
    """Check one event of a dispute, and fold it.

    Raises:
        LedgerError: when it does not follow from those before it.
    """
    scope = known.tenant("disputes")
    if known.platform or (scope is not None and scope.dao):
        raise VerificationError("a dispute lies in the log of the scope that resolves it")
    dispute = known.disputes.get(recorded.stream_id)
    if (dispute is None) != isinstance(event, DisputeOpened):
        raise VerificationError("a dispute is opened once, and first")
    if scope is None:
        known.statements.unverified(event.statements, GOVERNANCE, recorded, whose=_RESOLVERS)
    elif _decided_again(known, scope, event, recorded) != event:
        raise VerificationError(f"{event.TOPIC} is not what its statements say")
    else:
        known.checked[_CHECKED] += 1
    known.disputes[recorded.stream_id] = evolve(event, dispute)


def _decided_again(known: Known, scope: Tenant, event: OF_A_DISPUTE, recorded: Recorded) -> Event:
    if isinstance(event, DisputeOpened):
        return _opened(known, scope, event, recorded)
    dispute = known.disputes[recorded.stream_id]
    opened = dispute.opened
    match event:
        case DisputeAnswered():
            said, signed, voice = _said(known, scope, event, event.party, recorded, AnswerSaid)
            at_ms = instant_before(recorded.at_ms, opened.answer_by_ms)
            return decisions.answer(dispute, voice, said, signed, now_ms=at_ms)
        case DisputeEvidenceAttached():
            return _attached(known, scope, event, recorded)
        case DisputeUpheld() | DisputeOverturned():
            party = Party(role="resolver", name=scope.origin)
            said_so, signed, voice = _said(known, scope, event, party, recorded, DecideSaid)
            at_ms = instant_before(recorded.at_ms, opened.decide_by_ms)
            named = event.cacs if isinstance(event, DisputeOverturned) else ()
            return deciding.decide(dispute, voice, said_so, signed, parties=(), named=named, now_ms=at_ms)
        case DisputeWithdrawn():
            back, signed, voice = _said(known, scope, event, event.party, recorded, WithdrawSaid)
            openers = frozenset(str(jws.peek(token)[0]["kid"]) for token in opened.statements)
            return decisions.withdraw(dispute, voice, back, signed, openers=openers)


def _opened(known: Known, scope: Tenant, event: DisputeOpened, recorded: Recorded) -> Event:
    """Decide an opening again, at the instant that its times follow from, shortly before it was recorded."""
    said, signed, voice = _said(known, scope, event, event.party, recorded, OpenSaid)
    at_ms = event.answer_by_ms - decisions.resolution(scope).answer_ms
    if not recorded.at_ms - GRACE_MS <= at_ms <= recorded.at_ms:
        raise VerificationError("the times of a dispute do not follow from when it was opened")
    known.elsewhere[_AFFECTED] += 1
    return decisions.open_dispute(scope, voice, said, signed, affected=event.affected, now_ms=at_ms)


def _attached(known: Known, scope: Tenant, event: DisputeEvidenceAttached, recorded: Recorded) -> Event:
    dispute = known.disputes[recorded.stream_id]
    said, signed, voice = _said(known, scope, event, event.party, recorded, AttachSaid)
    shown: StoredPayload | NamedEntry | None = event.document or event.entry
    if shown is None or (event.document is not None and event.entry is not None):
        raise VerificationError("evidence is a document or an entry")
    limit_ms = dispute.opened.decide_by_ms if voice.party.role == "resolver" else dispute.opened.answer_by_ms
    at_ms = instant_before(recorded.at_ms, limit_ms)
    return decisions.attach(dispute, voice, said, signed, shown=shown, now_ms=at_ms)


def _said(
    known: Known,
    scope: Tenant,
    event: OF_A_DISPUTE,
    party: Party,
    recorded: Recorded,
    kind: type[_SaidT],
) -> tuple[_SaidT, tuple[Signed, ...], Voice]:
    """Verify statements with the keys of who speaks, as of this position; return what they say, and as whose voice."""
    if party.role == "tenant":
        keys = {thumbprint(bytes.fromhex(key)): bytes.fromhex(key) for key in party.keys}
        signed = known.statements.by_keys(event.statements, GOVERNANCE, keys, recorded)
        known.elsewhere[_PARTIES] += 1
        own = {kid: Principal(kid, key.hex(), kid, "admin", GOVERNANCE) for kid, key in keys.items()}
        voice = Voice(party, own, frozenset({"admin"}), 1)
    else:
        keys = {p.kid: bytes.fromhex(p.public_key) for p in scope.principals.values() if p.statement_type == GOVERNANCE}
        signed = known.statements.by_keys(event.statements, GOVERNANCE, keys, recorded)
        deciding = kind is DecideSaid
        voice = (
            decisions.operator(scope, party.name)
            if party.role == "operator"
            else decisions.resolvers(scope, deciding=deciding)
        )
    said = read_said(signed[0])
    if not isinstance(said, kind) or UUID(said.dispute) != recorded.stream_id:
        raise VerificationError("a dispute's statement is of another act or dispute")
    return said, signed, voice


def refer(known: Known, event: DisputeReferenced, recorded: Recorded) -> None:
    """Take in that a dispute is about an execution of this log; one dispute refers to it once."""
    known.disputed = True
    otherwise = "the dispute refers to it in entry {} already"
    known.once.claim(_reference(event.dispute_id, event.execution_id), recorded.leaf_index, b"", otherwise)


def require_referenced(known: Known, event: NoticeRequested | CacOverturned) -> None:
    """Require that a dispute which something follows from is referred to in this log before.

    Raises:
        VerificationError: when it is not, and that stream was disclosed.
    """
    dispute = event.dispute if isinstance(event, NoticeRequested) else event.dispute_id
    if dispute is not None and known.once.holder(_reference(dispute, event.execution_id)) is not None:
        return
    if dispute is not None and known.sealed and not known.order.discloses(stream_of(event.execution_id)):
        known.elsewhere["disputes: the execution's stream was not disclosed"] += 1
        return
    raise VerificationError("it follows from a dispute that this log does not refer to")


def overturn(known: Known, event: CacOverturned, recorded: Recorded) -> None:
    """Check that a CAC is overturned: once, after it was issued, by a dispute that this log refers to.

    Raises:
        VerificationError: when it is not so.
    """
    if recorded.version != 1 or known.once.holder(b"rejected\0" + event.cac_id.encode()) is not None:
        raise VerificationError("a CAC is overturned once, after it was issued")
    if known.once.holder(b"verdict\0" + event.execution_id.encode()) is None:
        raise VerificationError("a CAC is overturned that was never issued")
    require_referenced(known, event)
    known.checked["CACs overturned: issued before, once, by a dispute that the log refers to"] += 1
    known.elsewhere[_DECISIONS] += 1


def _reference(dispute_id: str, execution_id: str) -> bytes:
    return b"dispute\0" + dispute_id.encode() + b"\0" + execution_id.encode()
