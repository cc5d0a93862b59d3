"""What a server answers: a refusal as an error of ours, acknowledgements as what they are."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from domain.errors import (
    ConflictError,
    ErasedError,
    LedgerError,
    MalformedError,
    NotAuthorisedError,
    RefusedError,
    UnknownError,
    VerificationError,
)
from infrastructure.exchange.answers import AnsweredError
from infrastructure.statements.acknowledgement import Acknowledgement

_KINDS: Final[Mapping[int, type[RefusedError]]] = {
    HTTPStatus.BAD_REQUEST: MalformedError,
    HTTPStatus.UNAUTHORIZED: NotAuthorisedError,
    HTTPStatus.FORBIDDEN: NotAuthorisedError,
    HTTPStatus.NOT_FOUND: UnknownError,
    HTTPStatus.CONFLICT: ConflictError,
}


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a statement: the answer's members, and the acknowledgements that were verified."""

    members: Mapping[str, Any]
    acknowledgements: tuple[Acknowledgement, ...]


def verify_acknowledged(one: Acknowledgement, key: bytes, origin: str, jti: str) -> None:
    """Hold an acknowledgement against the key and origin of its log, and against the command that it is to answer."""
    one.verify(key, origin)
    if one.event.jti != jti:
        raise VerificationError("an acknowledgement is of another command")


def refused(error: AnsweredError) -> LedgerError:
    """Return the error of ours that a problem document is."""
    if error.status == HTTPStatus.GONE:
        return ErasedError()
    kind = _KINDS.get(error.status, RefusedError)
    said = [f"{pointer}: {why}" for pointer, why in error.fields[1:]]
    return kind("; ".join([str(error), *said]))


def listed(answer: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """Return a member that is a list of objects.

    Raises:
        VerificationError: when it is missing, or something else.
    """
    found = answer.get(name)
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise VerificationError(f"the server's answer has no {name}")
    return found


def acknowledgement(members: Mapping[str, Any]) -> Acknowledgement:
    """Read an acknowledgement; its signature is not looked at yet.

    Raises:
        VerificationError: when it is none.
    """
    try:
        return Acknowledgement.from_json(dict(members))
    except MalformedError as error:
        raise VerificationError(f"an acknowledgement is not of its form: {error}") from None
