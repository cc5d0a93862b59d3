"""Disputes: opened, answered, shown evidence for, decided and taken back; the tenants concerned are told.

Everything that is asked stands in the signed statements; what a route adds is whose log it is, and a document's bytes.

Invariants:
- What a dispute is about is found by the ledger, below the scope, and must be what was signed.
- A dispute and what every tenant's log says of it are one transaction; so are a decision and what it overturns.
- What is not there and what is another's get one answer, word for word.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeVar
from uuid import UUID

from domain.disputes import deciding, decisions
from domain.disputes.decisions import NOTHING, Voice
from domain.disputes.events import MAX_AFFECTED, DisputeOverturned, NamedEntry
from domain.disputes.state import Dispute
from domain.disputes.statements import (
    AnswerSaid,
    AttachSaid,
    DecideSaid,
    DocumentSaid,
    EntrySaid,
    OpenSaid,
    Said,
    WithdrawSaid,
)
from domain.errors import ConflictError, MalformedError, NotAuthorisedError, UnavailableError, UnknownError
from domain.executions.events import DisputeNotice
from domain.hashing import sha256_hex
from domain.message import Event, Pending
from domain.tenants.state import Tenant
from infrastructure.commands.guarding import guard_of
from infrastructure.commands.holders import acting_keys
from infrastructure.commands.involved import every
from infrastructure.commands.loading import load_tenant
from infrastructure.commands.openings import require_room_for
from infrastructure.commands.referring import outcomes, overturned, readable, standing, told
from infrastructure.commands.tenants import statement_command
from infrastructure.commands.voices import Act, load_dispute, read_act, require_scope, signers
from infrastructure.ledger import Answer, Attachment, Command, Ledger
from infrastructure.postgres.records import MovedOnError, StreamMovedError

MAX_DOCUMENT_BYTES: Final = 4 * 1024 * 1024
_ATTEMPTS: Final = 8
_SaidT = TypeVar("_SaidT", bound=Said)


def open_dispute(ledger: Ledger, scope: Tenant, tokens: Sequence[str]) -> Answer:
    """Open a dispute before the resolvers of a scope.

    Args:
        ledger: the ledger.
        scope: whose resolvers decide it; what it is about lies below.
        tokens: the statements, by an affected tenant's admins or by a resolver.

    Raises:
        UnknownError: when it is about nothing that there is, or that is the tenant's own.
        NotAuthorisedError: when who signed may not open it.
        RefusedError: when it is about too much, or about what has not ended, or who signed has enough of them open.
        ConflictError: when other executions are affected than was signed, or the dispute's id is taken.
    """
    require_scope(scope)

    def attempt(act: Act, said: OpenSaid) -> Answer:
        command = _command(scope, act)
        known = ledger.answered(command)
        if known is not None:
            return Answer(known, ())
        if ledger.recorder.log_of_stream(UUID(said.dispute)) is not None:
            raise ConflictError("this dispute's id is taken: draw another")
        now_ms = ledger.clock.now_ms()
        decisions.may_open(act.voice, said, act.signed, now_ms)
        affected = tuple(one.affected() for one in every(ledger, scope, said.subject, most=MAX_AFFECTED))
        opened = decisions.open_dispute(scope, act.voice, said, act.signed, affected=affected, now_ms=now_ms)
        pending = [_pending(scope, said.dispute, 0, opened)]
        concerned = readable(ledger, opened.affected)
        for log_id, one in concerned:
            pending += told(ledger, scope, log_id, one, said.dispute, "dispute_opened")
        require_room_for(ledger, scope, act.voice.party, concerned)
        claim = dispute_claim(ledger.platform().log_id, said.dispute)
        return ledger.append(pending, command=command, guards=act.guards, claims=[claim])

    return _again(ledger, scope, tokens, OpenSaid, attempt)


def answer_dispute(ledger: Ledger, scope: Tenant, tokens: Sequence[str]) -> Answer:
    """Answer a dispute, as an affected tenant or as an operator concerned.

    Raises:
        UnknownError: when there is no such dispute, or it does not concern who answers.
        RefusedError: when it is too late; ConflictError: when they have answered, or it is over.
        NotAuthorisedError: when who signed may not.
    """

    def attempt(act: Act, said: AnswerSaid) -> Answer:
        return _next(
            ledger, scope, act, lambda dispute: decisions.answer(
                dispute, act.voice, said, act.signed, now_ms=ledger.clock.now_ms()
            ),
        )  # fmt: skip

    return _again(ledger, scope, tokens, AnswerSaid, attempt)


def attach_evidence(ledger: Ledger, scope: Tenant, tokens: Sequence[str], document: bytes | None = None) -> Answer:
    """Put a document, or an entry of a log, before the resolvers.

    Args:
        ledger: the ledger.
        scope: whose dispute it is.
        tokens: the statements; they name the document's digest, or the entry.
        document: the document; None where an entry is named.

    Raises:
        MalformedError: when a document is missing, too much or too long.
        UnknownError: when dispute or entry are not there, or none of theirs.
        RefusedError: when it is too late or too much.
        NotAuthorisedError: when who signed may not, or for another document.
    """

    def attempt(act: Act, said: AttachSaid) -> Answer:
        if isinstance(said, EntrySaid):
            if document is not None:
                raise MalformedError("an entry is named; no document comes with it")
            return _attached(ledger, scope, act, said, said.entry, ())
        if not isinstance(said, DocumentSaid) or document is None or not 0 < len(document) <= MAX_DOCUMENT_BYTES:
            raise MalformedError(f"the document comes along: 1 to {MAX_DOCUMENT_BYTES} bytes")
        if sha256_hex(document) != said.digest:
            raise NotAuthorisedError("another document or entry was signed for")
        load_dispute(ledger, scope, said.dispute)
        sealed = ledger.attach(UUID(scope.log_id), UUID(said.dispute), document)
        return _attached(ledger, scope, act, said, sealed, (sealed,))

    return _again(ledger, scope, tokens, AttachSaid, attempt)


def decide_dispute(ledger: Ledger, scope: Tenant, tokens: Sequence[str], cacs: Sequence[str] | None = None) -> Answer:
    """Decide a dispute, by the scope's resolvers. What is overturned is so in its own log in the same instant.

    Args:
        ledger: the ledger.
        scope: whose resolvers decide.
        tokens: the statements.
        cacs: the CACs whose digest they name; None: all that stand.

    Raises:
        UnknownError: when there is no such dispute.
        NotAuthorisedError: below the threshold, when a party signed, or for other CACs than were signed.
        RefusedError: before those concerned were heard, while something of it runs, or too late.
        ConflictError: when it is over, something was added since it was signed, or a CAC was issued or overturned.
    """

    def attempt(act: Act, said: DecideSaid) -> Answer:
        command = _command(scope, act)
        known = ledger.answered(command)
        if known is not None:
            return Answer(known, ())
        dispute = load_dispute(ledger, scope, said.dispute)
        concerned = readable(ledger, dispute.opened.affected)
        tenants = {log_id: load_tenant(ledger, log_id) for log_id, _ in concerned}
        found = outcomes(ledger, concerned)
        event = deciding.decide(
            dispute, act.voice, said, act.signed, now_ms=ledger.clock.now_ms(), parties=_acting(ledger, tenants),
            standing=standing(found), named=cacs,
        )  # fmt: skip
        pending = [_pending(scope, dispute.id, dispute.version + 1, event)]
        what: DisputeNotice = "dispute_upheld"
        if isinstance(event, DisputeOverturned):
            what = "dispute_overturned"
            pending += [item for one in found for item in overturned(scope, dispute, event, one)]
        for log_id, one in concerned:
            pending += told(ledger, scope, log_id, one, dispute.id, what)
        guards = [*act.guards, *map(guard_of, tenants.values())]
        return ledger.append(pending, command=command, guards=guards)

    return _again(ledger, scope, tokens, DecideSaid, attempt)


def withdraw_dispute(ledger: Ledger, scope: Tenant, tokens: Sequence[str]) -> Answer:
    """Take a dispute back, by who opened it.

    Raises:
        UnknownError: when there is no such dispute, or another opened it.
        ConflictError: when it is over.
        NotAuthorisedError: when who signed may not.
    """

    def attempt(act: Act, said: WithdrawSaid) -> Answer:
        def decided(dispute: Dispute) -> Event:
            openers = signers(dispute.opened.statements)
            return decisions.withdraw(dispute, act.voice, said, act.signed, openers=openers)

        return _next(ledger, scope, act, decided, "dispute_withdrawn")

    return _again(ledger, scope, tokens, WithdrawSaid, attempt)


def _again(
    ledger: Ledger,
    scope: Tenant,
    tokens: Sequence[str],
    kind: type[_SaidT],
    attempt: Callable[[Act, _SaidT], Answer],
) -> Answer:
    """Read the statements and act on them; where something else was recorded meanwhile, over what is now."""
    for _ in range(_ATTEMPTS):
        act = read_act(ledger, load_tenant(ledger, UUID(scope.log_id)), tokens)
        if not isinstance(act.said, kind):
            raise MalformedError("the statement is of another act")
        try:
            return attempt(act, act.said)
        except (MovedOnError, StreamMovedError):
            continue
    raise UnavailableError("what this is decided on keeps changing: send it again")


def _next(
    ledger: Ledger,
    scope: Tenant,
    act: Act,
    decided: Callable[[Dispute], Event],
    what: DisputeNotice | None = None,
    attachments: Sequence[Attachment] = (),
) -> Answer:
    """Decide on a dispute as it is now, and append what follows to its stream, once."""
    command = _command(scope, act)
    known = ledger.answered(command)
    if known is not None:
        return Answer(known, ())
    dispute = load_dispute(ledger, scope, act.said.dispute)
    pending = [_pending(scope, dispute.id, dispute.version + 1, decided(dispute))]
    if what is not None:
        for log_id, one in readable(ledger, dispute.opened.affected):
            pending += told(ledger, scope, log_id, one, dispute.id, what)
    return ledger.append(pending, command=command, guards=act.guards, attachments=attachments)


def _acting(ledger: Ledger, log_ids: Iterable[UUID]) -> set[str]:
    """Return the keys that have signed for tenants."""
    return {key for one in log_ids for key in acting_keys(item.event for item in ledger.stream(one, one))}


def _attached(
    ledger: Ledger,
    scope: Tenant,
    act: Act,
    said: AttachSaid,
    shown: Attachment | NamedEntry,
    attachments: Sequence[Attachment],
) -> Answer:
    def decided(dispute: Dispute) -> Event:
        event = decisions.attach(
            dispute, act.voice, said, act.signed, now_ms=ledger.clock.now_ms(),
            shown=shown.reference() if isinstance(shown, Attachment) else shown,
        )  # fmt: skip
        if isinstance(shown, NamedEntry):
            _require_entry(ledger, scope, dispute, act.voice, shown)
        return event

    return _next(ledger, scope, act, decided, attachments=attachments)


def _require_entry(ledger: Ledger, scope: Tenant, dispute: Dispute, voice: Voice, entry: NamedEntry) -> None:
    """Require that an entry lies where it is said to: in a log that the dispute is about, a party's own, or public."""
    affected = {decisions.log_origin(scope, one) for one in dispute.opened.affected}
    own = {voice.party.name} if voice.party.role == "tenant" else {*affected, scope.origin}
    log = next((one for one in ledger.logs() if one.origin == entry.origin), None)
    if log is None or entry.origin not in own | {ledger.platform().origin}:
        raise UnknownError(NOTHING)
    stored = ledger.recorder.entries(log.log_id, entry.leaf_index, 1)
    if not stored or stored[0].leaf_index != entry.leaf_index or stored[0].leaf_hash.hex() != entry.leaf_hash:
        raise UnknownError(NOTHING)


def dispute_claim(platform: UUID, dispute: str) -> Command:
    """Return what a dispute takes for itself in the cell: the workload id of its UUID, as a workload does.

    Whoever opens it chooses the id. One that stood for something of another log would make that ambiguous.
    """
    return Command(platform, "workload-id", f"wl-0x{UUID(dispute).hex}", b"", {})


def _command(scope: Tenant, act: Act) -> Command:
    return statement_command(UUID(scope.log_id), act.signed, {"dispute": act.said.dispute})


def _pending(scope: Tenant, dispute_id: str, version: int, event: Event) -> Pending:
    return Pending(UUID(scope.log_id), UUID(dispute_id), version, event)
