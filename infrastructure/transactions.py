"""What a command hands to the ledger with its events, and what it gets back."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from uuid import UUID

from domain.canonical import canonical, parse_canonical
from domain.errors import ConflictError
from domain.message import Recorded
from domain.payloads import StoredPayload
from infrastructure.acknowledging import Commit
from infrastructure.keys.at_rest import AtRest
from infrastructure.postgres.records import CommandKnownError, CommandRecord
from infrastructure.statements.acknowledgement import Acknowledgement


@dataclass(frozen=True, slots=True)
class Command:
    """A command that may be repeated: who, its id, the digest of its body, and the answer that every repeat gets."""

    log_id: UUID
    issuer: str
    command_id: str
    body: bytes
    answer: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Attachment:
    """Bytes too large for an entry, for a stream; sealed under its key and stored under H(sealed bytes)."""

    log_id: UUID
    digest: bytes
    sealed: bytes
    plaintext_digest: bytes

    def reference(self) -> StoredPayload:
        """Return what an event says of it."""
        return StoredPayload(
            digest=self.digest.hex(), size_bytes=len(self.sealed), plaintext_digest=self.plaintext_digest.hex()
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """A command's answer; `recorded` is empty when it is a repeat of one that was carried out before."""

    answer: Mapping[str, Any]
    recorded: tuple[Recorded, ...]
    commit: Commit | None = field(default=None, repr=False, compare=False)

    @property
    def acknowledgements(self) -> tuple[Acknowledgement, ...]:
        """Return the signed acknowledgement of each recorded event; none for a repeat, which stores nothing."""
        if self.commit is None:
            return ()
        return tuple([self.commit.acknowledge(one.log_id, one.leaf_index) for one in self.recorded])


def command_record(command: Command, at_rest: AtRest) -> CommandRecord:
    """Return the row that is written in the transaction of the command's events.

    Answer and digest are sealed together: what a short body says could be guessed from its hash.
    """
    content = canonical({"answer": dict(command.answer), "digest": sha256(command.body).hexdigest()})
    sealed = at_rest.seal(_place(command), content)
    return CommandRecord(command.log_id, command.issuer, command.command_id, b"", sealed)


def repeated(command: Command | None, error: CommandKnownError, at_rest: Callable[[UUID], AtRest]) -> Answer:
    """Return the first answer of a command that was carried out before.

    Raises:
        ConflictError: when it is a claim that was known, or the command's id came with another body.
    """
    for known in error.known:
        if command and (known.log_id, known.issuer, known.command_id) == (
            command.log_id,
            command.issuer,
            command.command_id,
        ):
            return Answer(same_answer(command, known, at_rest(command.log_id)), ())
    raise ConflictError("that name is taken already") from None


def same_answer(command: Command, known: CommandRecord, at_rest: AtRest) -> Mapping[str, Any]:
    """Return a known command's answer.

    Raises:
        ConflictError: when its id came with another body.
        VerificationError: when what is stored was changed.
    """
    answer, digest = kept_answer(known, at_rest)
    if digest != sha256(command.body).hexdigest():
        raise ConflictError("this command id was used before with another body")
    return answer


def kept_answer(known: CommandRecord, at_rest: AtRest) -> tuple[Mapping[str, Any], str]:
    """Return the answer of a command as it is stored, and the digest (hex) of its body.

    Raises:
        VerificationError: when what is stored was changed.
        MalformedError: when it is not of its form.
    """
    if known.answer.startswith(b"{"):  # the first release kept answers in the clear; they hold ids only
        return parse_canonical(known.answer), known.digest.hex()
    content = parse_canonical(at_rest.open(_place(known), known.answer))
    return content["answer"], content["digest"]


def _place(command: Command | CommandRecord) -> bytes:
    return canonical(["command", str(command.log_id), command.issuer, command.command_id])
