"""Acts of governance that a tenant's or scope's own people make in its own log: who signs, policy, faults, erasure.

Each has two halves: `draft` says what has to be signed, so that a client need not know the ledger's state; `take` reads
what was signed and hands it to the command. A draft is no promise: what counts is decided when it is taken.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from domain.bounds import Bounds
from domain.canonical import canonical
from domain.errors import RefusedError, UnknownError
from domain.executions.decisions import refusal_claims
from domain.identifiers import Digest
from domain.message import Value
from domain.policies.kinds import parse_policy
from domain.statements import ASSERTION
from domain.subscriptions.decisions import ending_claims, subscription_claims
from domain.subscriptions.events import SubscriptionId, Wanted
from domain.tenants import erasure as erasing
from domain.tenants.decisions import appointment_claims, policy_claims
from domain.tenants.events import (
    CoolingOff,
    HolderEnrolled,
    MonitorAppointed,
    PrincipalEnrolled,
    PrincipalRevoked,
    ReaderEnrolled,
    TokenIssuerAdmitted,
    TokenIssuerRevoked,
)
from infrastructure.api.problems import NOTHING
from infrastructure.api.writes.asked import Asked
from infrastructure.commands import erasure, retries, subscriptions, tenants, token_issuers
from infrastructure.commands.loading import load_execution, load_workload, log_of
from infrastructure.commands.retries import RetryDraft, draft_retry
from infrastructure.commands.subscriptions import Address
from infrastructure.commands.tenants import Enrolment
from infrastructure.ledger import Answer

Claims = Mapping[str, Any]
Taken = tuple[UUID, Answer]
"""The log whose command it was, and the answer."""


@dataclass(frozen=True, slots=True)
class Act:
    """One act: what is signed for it, and how it is taken in.

    Attributes:
        draft: returns the claims, from those that the asker gave.
        take: takes it in, with the body's further members, where the act has some.
        of: who makes it: a tenant, a scope, or either.
        aud: for which log the statements are: one's own, the platform's, or that of the one whom this claim names.
    """

    draft: Callable[[Asked], Claims]
    take: Callable[[Asked, Any], Taken]
    of: str = "either"
    aud: str = "own"


class _PolicyDigest(Value):
    policy_digest: Digest


class _CoolingOff(Value):
    cooling_off_ms: CoolingOff


class _Bounds(Value):
    bounds: Bounds


class _Subscribing(Wanted):
    after: Annotated[int, Field(ge=-1)]
    commitment: Digest

    @property
    def wanted(self) -> Wanted:
        """Return which results are wanted."""
        return Wanted(clause=self.clause, resource_class=self.resource_class, outcome=self.outcome)


class _Ending(Value):
    subscription: SubscriptionId


class _RetrySaid(_Bounds):
    not_after_ms: int


def unchanged(asked: Asked) -> Claims:
    """Return the claims as they were given: nothing of the ledger's state is in them."""
    canonical(asked.claims)  # what can't be signed is refused here
    return asked.claims


def _own(asked: Asked, answer: Answer) -> Taken:
    return UUID(asked.own.log_id), answer


def _draft_policy(asked: Asked) -> Claims:
    return policy_claims(asked.own.policy_version + 1, asked.read(_PolicyDigest).policy_digest)


def _take_policy(asked: Asked, policy: bytes) -> Taken:
    return _own(
        asked, tenants.adopt(asked.ledger, asked.own, parse_policy(policy, asked.own.jurisdiction), asked.tokens)
    )


def _take_enrolment(asked: Asked, _: Any) -> Taken:
    if asked.claims.get("statement_type") == ASSERTION:
        reader = asked.read(ReaderEnrolled, statements=[])
        return _own(asked, tenants.enrol_reader(asked.ledger, asked.own, reader, asked.tokens))
    kind = HolderEnrolled if "acceptance" in asked.claims else PrincipalEnrolled
    enrolled = asked.read(kind, statements=[])
    return _own(asked, tenants.enrol(asked.ledger, asked.own, Enrolment(enrolled, asked.tokens)))


def _take_revocation(asked: Asked, _: Any) -> Taken:
    said = asked.read(PrincipalRevoked, statements=[])
    return _own(asked, tenants.revoke(asked.ledger, asked.own, said.kid, said.reason, asked.tokens))


def _draft_appointment(asked: Asked) -> Claims:
    said = asked.read(MonitorAppointed, statements=[])
    return appointment_claims(said.name, said.kind)


def _take_appointment(asked: Asked, _: Any) -> Taken:
    said = asked.read(MonitorAppointed, statements=[])
    return _own(asked, tenants.appoint(asked.ledger, asked.own, said.name, said.kind, asked.tokens))


def _draft_subscription(asked: Asked) -> Claims:
    after = asked.claims.get("after", asked.ledger.head(UUID(asked.own.log_id)).size - 1)
    said = _subscribing(Asked(asked.ledger, asked.own, {**asked.claims, "after": after}))
    return subscription_claims(said.wanted, said.after, said.commitment)


def _take_subscription(asked: Asked, address: Address) -> Taken:
    said = _subscribing(asked)
    taken = subscriptions.subscribe(
        asked.ledger, asked.own, said.wanted, after=said.after, address=address, tokens=asked.tokens
    )
    return _own(asked, taken)


def _subscribing(asked: Asked) -> _Subscribing:
    return asked.read(_Subscribing)


def _draft_ending(asked: Asked) -> Claims:
    return ending_claims(asked.text("subscription"))


def _take_ending(asked: Asked, _: Any) -> Taken:
    named = asked.read(_Ending).subscription
    return _own(asked, subscriptions.unsubscribe(asked.ledger, asked.own, named, asked.tokens))


def _take_admission(asked: Asked, _: Any) -> Taken:
    admitted = asked.read(TokenIssuerAdmitted, statements=[]).admitted
    return _own(asked, token_issuers.admit(asked.ledger, asked.own, admitted, asked.tokens))


def _take_issuer_end(asked: Asked, _: Any) -> Taken:
    said = asked.read(TokenIssuerRevoked, statements=[])
    return _own(asked, token_issuers.revoke(asked.ledger, asked.own, said.issuer, said.reason, asked.tokens))


def _draft_erasure(asked: Asked) -> Claims:
    return erasing.order_claims(asked.own, asked.read(_CoolingOff).cooling_off_ms)


def _take_erasure(asked: Asked, _: Any) -> Taken:
    said = asked.read(_CoolingOff, "tenant")
    return _own(asked, erasure.order(asked.ledger, asked.own, said.cooling_off_ms, asked.tokens))


def _draft_withdrawal(asked: Asked) -> Claims:
    return erasing.withdrawal_claims(asked.own)


def _take_withdrawal(asked: Asked, _: Any) -> Taken:
    return _own(asked, erasure.withdraw(asked.ledger, asked.own, asked.tokens))


def _draft_authorisation(asked: Asked) -> Claims:
    """Return the claims of a new attempt, with the bounds of before unless others are given."""
    bounds = asked.read(_Bounds, "execution").bounds if asked.claims.get("bounds") is not None else None
    return draft_retry(asked.ledger, _faulted(asked), bounds=bounds).claims


def _take_authorisation(asked: Asked, _: Any) -> Taken:
    others = asked.claims.keys() - {"bounds", "not_after_ms"}
    said = asked.read(_RetrySaid, *others)
    draft = draft_retry(asked.ledger, _faulted(asked), bounds=said.bounds, not_after_ms=said.not_after_ms)
    return _own(asked, retries.authorize(asked.ledger, draft, asked.tokens))


def _draft_refusal(asked: Asked) -> Claims:
    draft = _drafted(asked)
    workload = draft.context.queued.workload_id
    return refusal_claims(draft.context.tenant, draft.context.execution.id, draft.fault, workload)


def _take_refusal(asked: Asked, _: Any) -> Taken:
    return _own(asked, retries.refuse(asked.ledger, _drafted(asked), asked.tokens))


def _drafted(asked: Asked) -> RetryDraft:
    return draft_retry(asked.ledger, _faulted(asked), bounds=None)


def _faulted(asked: Asked) -> str:
    """Return the execution that is meant: itself, or a workload's last one that faulted and is not decided.

    Raises:
        UnknownError: when there is none in one's own log.
    """
    name, own = asked.text("execution"), UUID(asked.own.log_id)
    try:
        known = log_of(asked.ledger, name)
    except RefusedError:
        known = None
    if known != own:
        raise UnknownError(NOTHING)
    if not name.startswith("wl-"):
        return name
    places = [place for placed in load_workload(asked.ledger, own, name).placed for place in placed.places]
    states = [load_execution(asked.ledger, own, place.execution_id)[0] for place in places]
    waiting = [one.id for one in states if one.faulted is not None and not one.retry_decided]
    if not waiting:
        raise UnknownError("this workload has no fault that waits for a decision")
    return waiting[-1]


OWN: Mapping[str, Act] = {
    "adopt_policy": Act(_draft_policy, _take_policy, of="tenant"),
    "enrol_principal": Act(unchanged, _take_enrolment),
    "revoke_principal": Act(unchanged, _take_revocation),
    "admit_token_issuer": Act(unchanged, _take_admission),
    "revoke_token_issuer": Act(unchanged, _take_issuer_end),
    "appoint_monitor": Act(_draft_appointment, _take_appointment, of="tenant"),
    "subscribe_cacs": Act(_draft_subscription, _take_subscription, of="tenant"),
    "unsubscribe_cacs": Act(_draft_ending, _take_ending, of="tenant"),
    "order_erasure": Act(_draft_erasure, _take_erasure, of="tenant"),
    "withdraw_erasure": Act(_draft_withdrawal, _take_withdrawal, of="tenant"),
    "authorize_retry": Act(_draft_authorisation, _take_authorisation, of="tenant"),
    "refuse_retry": Act(_draft_refusal, _take_refusal, of="tenant"),
}
