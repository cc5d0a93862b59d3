"""What a command hands to the ledger with its events, and what it gets back."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from uuid import UUID

from domain.canonical import canonical, parse_canonical
from domain.errors import ConflictError
from domain.message import Pending, Recorded
from domain.payloads import StoredPayload
from infrastructure.acknowledging import Commit
from infrastructure.keys.at_rest import AtRest
from infrastructure.postgres.records import CommandKnownError, CommandRecord, Guard
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
class Step:
    """A command's events with all that is stored with them: what `Ledger.append` takes."""

    pending: Sequence[Pending]
    command: Command | None = None
    attachments: Sequence[Attachment] = ()
    claims: Sequence[Command] = ()
    guards: Sequence[Guard] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """A command's answer; `recorded` is empty when it is a repeat of one that was carried out before.

    `log_id` is the log whose command it is; None for what nobody asked for by a command.
    """

    answer: Mapping[str, Any]
    recorded: tuple[Recorded, ...]
    commit: Commit | None = field(default=None, repr=False, compare=False)
    log_id: UUID | None = field(default=None, compare=False)

    @property
    def acknowledgements(self) -> tuple[Acknowledgement, ...]:
        """Return the signed acknowledgement of each event in the command's own log; none for a repeat.

        What the command wrote into other logs is left out here, for whoever asks and by whatever way: such a token says
        how far those have grown, and at which instant, to somebody who may know nothing of them.
        """
        if self.commit is None:
            return ()
        own = [one for one in self.recorded if self.log_id in {None, one.log_id}]
        return tuple([self.commit.acknowledge(one.log_id, one.leaf_index) for one in own])


EventKey = tuple[UUID, int]
"""Stream and version of an event in a command's own log."""


def command_record(command: Command, at_rest: AtRest, events: Sequence[EventKey] = ()) -> CommandRecord:
    """Return the row that is written in the transaction of the command's events.

    Answer and digest are sealed together: what a short body says could be guessed from its hash.

    Args:
        command: the command.
        at_rest: seals what is kept of its log.
        events: those of its own log, so that a repeat can be told again where they lie.
    """
    members: dict[str, Any] = {"answer": dict(command.answer), "digest": sha256(command.body).hexdigest()}
    if events:
        members["events"] = [[stream.hex, version] for stream, version in events]
    sealed = at_rest.seal(_place(command), canonical(members))
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


def kept_events(known: CommandRecord, at_rest: AtRest) -> tuple[EventKey, ...]:
    """Return the events of a command in its own log; none where it had none, or a release before this one kept it.

    Raises as `kept_answer` does.
    """
    if known.answer.startswith(b"{"):
        return ()
    content = parse_canonical(at_rest.open(_place(known), known.answer))
    return tuple((UUID(hex=stream), version) for stream, version in content.get("events", ()))


def _place(command: Command | CommandRecord) -> bytes:
    return canonical(["command", str(command.log_id), command.issuer, command.command_id])
