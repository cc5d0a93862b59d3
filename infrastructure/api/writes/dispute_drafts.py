"""What is to be signed for an act about a dispute, so that a client need not know the ledger's state.

Beside the claims it is shown what their digests are of: nobody signs a digest of what he was not shown.

Invariants:
- Whose voice it is follows from the token. Acts that a role may not hand in are not drafted for it either.
- A draft changes nothing, and is no promise: what counts is decided when the act is handed in.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import Field, ValidationError

from domain.canonical import canonical
from domain.disputes.decisions import OPERATOR
from domain.disputes.events import MAX_AFFECTED, CacName, Role, Subject
from domain.disputes.statements import (
    AnswerSaid,
    DocumentSaid,
    EntrySaid,
    OpenSaid,
    Said,
    WithdrawSaid,
    affected_digest,
)
from domain.errors import RefusedError, UnknownError
from domain.malformed import malformed
from domain.message import Value
from domain.tenants.state import Tenant
from infrastructure.api.askers import Principal
from infrastructure.api.problems import NOTHING
from infrastructure.api.rights import RIGHTS
from infrastructure.api.writes.disputes import PATHS
from infrastructure.client.disputes import Decision, decision_of
from infrastructure.commands.involved import every
from infrastructure.commands.loading import load_scope
from infrastructure.disputes.reading import read_dispute, scope_of
from infrastructure.ledger import Ledger

Row = dict[str, Any]

_PATH_OF: Final = {act: path for path, route in PATHS.items() for act in route.acts}


class _Opening(Value):
    dispute: str
    subject: Subject
    grounds: str


class _Deciding(Value):
    dispute: str
    decision: Decision
    reason: str
    cacs: tuple[CacName, ...] | None = Field(default=None, max_length=MAX_AFFECTED)


@dataclass(frozen=True, slots=True)
class _Asked:
    ledger: Ledger
    own: Tenant
    role: Role
    party: str
    claims: Mapping[str, Any]

    def read(self, kind: type[Any], **more: Any) -> Any:
        """Read what is said as a model's members.

        Raises:
            MalformedError: naming every member at fault.
        """
        members = {name: value for name, value in self.claims.items() if name != "act"} | more
        try:
            return kind.model_validate_json(canonical(members))
        except ValidationError as error:
            raise malformed("the act", error, "/claims") from None

    @property
    def scope(self) -> Tenant:
        """The scope that the named dispute lies before, if it concerns who asks."""
        try:
            read_dispute(
                self.ledger, self.own, str(self.claims.get("dispute")),
                operator=self.party if self.role == OPERATOR else "",
            )  # fmt: skip
            return scope_of(self.ledger, str(self.claims["dispute"]))
        except RefusedError:
            raise UnknownError(NOTHING) from None


def is_of_dispute(act: object) -> bool:
    """Tell whether an act is one about disputes."""
    return act in _PATH_OF


def draft_dispute(ledger: Ledger, who: Principal, own: Tenant, claims: Mapping[str, Any]) -> Row:
    """Return what is to be signed: `iss`, `aud` and `claims`; and under `shown` what their digests are of.

    Args:
        ledger: the ledger.
        who: who asks.
        own: the tenant or scope in whose log it is enrolled.
        claims: `act`, and what is meant.

    Raises:
        UnknownError: when the role may not do this, or the dispute does not concern who asks.
        MalformedError: when a member is missing, too much or wrong.
    """
    act = str(claims["act"])
    path = _PATH_OF[act]
    role, party, iss = _voice(who, own)
    if who.role not in RIGHTS["POST", path] or role not in PATHS[path].voices:
        raise UnknownError(NOTHING)
    asked = _Asked(ledger, own, role, party, claims)
    try:
        scope, said, shown = _DRAFTS[act](asked)
    except UnknownError:
        raise UnknownError(NOTHING) from None
    return {"iss": iss, "aud": scope.origin, "claims": said.claims(), "shown": shown}


def _voice(who: Principal, own: Tenant) -> tuple[Role, str, str]:
    if own.dao:
        return "tenant", own.origin, own.did
    one = own.principals.get(who.kid)
    if one is not None and one.role == OPERATOR:
        return "operator", one.person, who.did
    return "resolver", own.origin, own.did


def _opening(asked: _Asked) -> tuple[Tenant, Said, Row]:
    ledger, own = asked.ledger, asked.own
    meant: _Opening = asked.read(_Opening)
    affected = tuple(one.affected() for one in every(ledger, own, meant.subject, most=MAX_AFFECTED))
    said = asked.read(OpenSaid, role=asked.role, party=asked.party, affected=affected_digest(affected))
    scope = load_scope(ledger, own.parent) if own.dao else own
    return scope, said, {"affected": [one.model_dump(mode="json") for one in affected]}


def _deciding(asked: _Asked) -> tuple[Tenant, Said, Row]:
    ledger, scope = asked.ledger, asked.scope
    meant: _Deciding = asked.read(_Deciding)
    made = decision_of(ledger, scope, meant.dispute, meant.decision, meant.reason, cacs=meant.cacs)
    return scope, made.said, {} if made.cacs is None else {"cacs": list(made.cacs), "standing": list(made.standing)}


def _plain(kind: type[Said]) -> "_Draft":
    def draft(asked: _Asked) -> tuple[Tenant, Said, Row]:
        return asked.scope, asked.read(kind, role=asked.role, party=asked.party), {}

    return draft


_Draft = Callable[[_Asked], tuple[Tenant, Said, Row]]
_DRAFTS: Final[Mapping[str, _Draft]] = {
    "open_dispute": _opening,
    "answer_dispute": _plain(AnswerSaid),
    "attach_document": _plain(DocumentSaid),
    "attach_entry": _plain(EntrySaid),
    "decide_dispute": _deciding,
    "withdraw_dispute": _plain(WithdrawSaid),
}
