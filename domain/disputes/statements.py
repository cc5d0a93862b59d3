"""What is signed about disputes, member by member (wire formats 4: governance statements, aud = the scope's log)."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from domain.canonical import MAX_INTEGER, canonical
from domain.disputes.events import (
    MAX_AFFECTED,
    Affected,
    CacName,
    DisputeId,
    NamedEntry,
    Origin,
    Role,
    Subject,
    Text,
)
from domain.errors import MalformedError
from domain.hashing import sha256_hex
from domain.identifiers import Digest
from domain.message import Value
from domain.statements import REGISTERED_CLAIMS, Signed


class Said(Value):
    """What every statement names: the dispute, and as who it speaks."""

    dispute: DisputeId
    role: Role
    party: Origin

    def claims(self) -> dict[str, Any]:
        """Return the statement's own members."""
        members: dict[str, Any] = self.model_dump(mode="json")
        return members


class OpenSaid(Said):
    """Opens a dispute. `affected` is the digest of the executions that it is about (`affected_digest`)."""

    act: Literal["open_dispute"] = "open_dispute"
    subject: Subject
    grounds: Text
    affected: Digest


class AnswerSaid(Said):
    """Answers."""

    act: Literal["answer_dispute"] = "answer_dispute"
    text: Text


class AttachSaid(Said):
    """Attaches evidence."""

    title: Text


class DocumentSaid(AttachSaid):
    """Attaches a document by its digest."""

    act: Literal["attach_document"] = "attach_document"
    digest: Digest


class EntrySaid(AttachSaid):
    """Attaches an entry of a log."""

    act: Literal["attach_entry"] = "attach_entry"
    entry: NamedEntry


class DecideSaid(Said):
    """Decides. `events` is how many events the dispute had when it was signed: one more voids it.

    The CACs that are overturned are named in full (`cacs`), or by digest, with that of all that stood when it was
    signed (`cacs_digest`, `standing_digest`: domain.disputes.deciding). One entry holds sixteen statements of the
    second kind about any dispute, and not of the first.
    """

    act: Literal["decide_dispute"] = "decide_dispute"
    decision: Literal["upheld", "overturned"]
    reason: Text
    cacs: Annotated[tuple[CacName, ...], Field(max_length=MAX_AFFECTED)] = ()
    cacs_digest: Digest | None = None
    standing_digest: Digest | None = None
    events: Annotated[int, Field(ge=1, le=MAX_INTEGER)]

    @model_validator(mode="after")
    def _together(self) -> Self:
        if (self.cacs_digest is None) != (self.standing_digest is None):
            raise ValueError("cacs_digest and standing_digest stand together")
        return self

    def claims(self) -> dict[str, Any]:
        """Return the statement's own members: of the two ways to name CACs the one that is used."""
        members = super().claims()
        for name in ("cacs_digest", "standing_digest") if self.cacs_digest is None else ("cacs",):
            del members[name]
        return members


class WithdrawSaid(Said):
    """Takes a dispute back."""

    act: Literal["withdraw_dispute"] = "withdraw_dispute"
    reason: Text


_Any = OpenSaid | AnswerSaid | DocumentSaid | EntrySaid | DecideSaid | WithdrawSaid
_SAID: TypeAdapter[_Any] = TypeAdapter(Annotated[_Any, Field(discriminator="act")])


def read_said(signed: Signed) -> Said:
    """Return what a verified statement says of a dispute.

    Raises:
        MalformedError: when it is none of these.
    """
    own = {name: value for name, value in signed.payload.items() if name not in REGISTERED_CLAIMS}
    try:
        said = _SAID.validate_json(canonical(own))
    except ValidationError as error:
        where = ".".join(map(str, error.errors(include_url=False, include_input=False)[0]["loc"]))
        raise MalformedError(f"the statement is malformed at {where[:80] or 'act'}") from None
    return said


def affected_digest(affected: tuple[Affected, ...]) -> str:
    """Return H(JCS of the executions that a dispute is about), as its opening statement names it."""
    return sha256_hex(canonical([one.model_dump(mode="json") for one in affected]))
