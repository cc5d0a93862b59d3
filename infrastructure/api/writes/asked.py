"""One act of governance as it was asked: by whom, in whose log, with which statements; its members read strictly."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from pydantic import BaseModel, ValidationError

from domain.canonical import canonical
from domain.errors import MalformedError, RefusedError, UnknownError
from domain.malformed import malformed
from domain.statements import REGISTERED_CLAIMS
from domain.tenants.state import Tenant
from infrastructure.api.problems import NOTHING
from infrastructure.commands.loading import find_tenant, load_genesis, load_root, load_tenant
from infrastructure.ledger import Ledger
from infrastructure.postgres.records import Log
from infrastructure.statements import jws

_ModelT = TypeVar("_ModelT", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Asked:
    """An act that somebody asks for.

    Attributes:
        ledger: the ledger.
        own: the tenant or scope whose token it came with; the root scope, where that is the platform's.
        claims: what is said, without the registered claims.
        tokens: the statements; none for a draft.
    """

    ledger: Ledger
    own: Tenant
    claims: Mapping[str, Any]
    tokens: tuple[str, ...] = ()

    def read(self, kind: type[_ModelT], *left: str, **more: Any) -> _ModelT:
        """Read what is said as a model's members.

        Args:
            kind: the model.
            left: members that are said and that the model does not have, beside `act`.
            more: members that nobody says.

        Raises:
            MalformedError: naming every member at fault.
        """
        members = {name: value for name, value in self.claims.items() if name not in {"act", *left}} | more
        try:
            return kind.model_validate_json(canonical(members))
        except ValidationError as error:
            under = "/statements/0" if self.tokens else "/claims"
            raise malformed("the act", error, under) from None

    def text(self, name: str) -> str:
        """Return a member that is text.

        Raises:
            MalformedError: when it is missing or something else.
        """
        value = self.claims.get(name)
        if not isinstance(value, str):
            under = "/statements/0" if self.tokens else "/claims"
            raise MalformedError(f"the act is malformed at {name}: a text is needed", [(f"{under}/{name}", "a text")])
        return value

    def below(self, name: str) -> Tenant:
        """Return the tenant or scope of which a member tells the id or name: only what lies right below one's own.

        Raises:
            UnknownError: for every other, as if there were none.
        """
        try:
            found = find_tenant(self.ledger, self.text(name))
        except RefusedError:
            raise UnknownError(NOTHING) from None
        if (found.parent or found.origin) != self.own.origin:
            raise UnknownError(NOTHING)
        return found

    @property
    def platform(self) -> Log:
        """The platform's log, of whose acts only the root's principals may ask."""
        if self.own.origin != load_genesis(self.ledger).root_origin:
            raise UnknownError(NOTHING)
        return self.ledger.platform()


def asked(ledger: Ledger, own: Tenant, tokens: Sequence[str]) -> Asked:
    """Return what statements say, which are not verified yet: the command does that.

    Raises:
        MalformedError: when one is no statement, or two say different things.
    """
    payloads = []
    for number, token in enumerate(tokens):
        try:
            payloads.append(jws.peek(token)[1])
        except MalformedError as error:
            raise MalformedError(str(error), [(f"/statements/{number}", str(error))]) from None
        if payloads[-1] != payloads[0]:
            text = "all statements of an act say the same, to the byte"
            raise MalformedError(text, [(f"/statements/{number}", text)])
    claims = {name: value for name, value in payloads[0].items() if name not in REGISTERED_CLAIMS}
    return Asked(ledger, own, claims, tuple(tokens))


def own_of(ledger: Ledger, log_id: UUID) -> Tenant:
    """Return whose acts a log's principal asks for; of the platform's, the root scope."""
    return load_root(ledger) if log_id == ledger.platform().log_id else load_tenant(ledger, log_id)
