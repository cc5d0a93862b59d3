"""Submissions: verify, check the credential, decide, save with the sealed inputs. All in one transaction."""

from collections.abc import Sequence
from hashlib import sha256
from uuid import UUID

from domain.clauses.decisions import Clause
from domain.errors import ConflictError, MalformedError
from domain.identifiers import clause_stream, stream_of
from domain.message import Pending
from domain.statements import SUBMISSION, Signed
from domain.tenants.state import Tenant
from domain.workloads.decisions import (
    CredentialVerdict,
    Request,
    cancel_workload,
    read_request,
    submit_workload,
)
from domain.workloads.events import WorkloadSubmitted
from infrastructure.commands.border import keys_of, verified_or_known
from infrastructure.commands.guarding import guard_of
from infrastructure.commands.loading import load_clause, load_workload, scopes_above, trusted_issuers
from infrastructure.commands.tenants import statement_command
from infrastructure.credentials.executor import check_scope
from infrastructure.credentials.refusal import CredentialRefusedError
from infrastructure.engine_digest import engine_digest
from infrastructure.ledger import Answer, Attachment, Command, Ledger
from infrastructure.postgres.records import Guard
from infrastructure.statements import jws

_UUID_VERSION = 7


def submit(ledger: Ledger, tenant: Tenant, token: str, ciphertexts: Sequence[bytes]) -> Answer:
    """Take a submission in. Denials by credential or clause are answers, with their events; not errors.

    Args:
        ledger: the ledger.
        tenant: whose log it is for.
        token: the signed submission.
        ciphertexts: the inputs, each sealed to the tenant's release key; their digests are in the statement.

    Raises:
        NotAuthorisedError: when the key is not enrolled for it.
        MalformedError: when statement or inputs are not of their form.
        ConflictError: when its id came before with another body, or the workload id is taken.
    """
    log_id, now_ms = UUID(tenant.log_id), ledger.clock.now_ms()
    keys = keys_of(tenant.principals.values(), SUBMISSION)
    signed = verified_or_known(ledger, log_id, token, typ=SUBMISSION, keys=keys, aud=tenant.origin)
    request = read_request(signed)
    command = statement_command(log_id, [signed], {"workload": request.workload})
    known = ledger.answered(command)
    if known is not None:
        return Answer(known, ())
    try:
        stream = _free_stream(ledger, request.workload)
    except ConflictError:
        known = ledger.answered(command)  # the same statement, carried out since we looked
        if known is None:
            raise
        return Answer(known, ())
    clause = load_clause(ledger, request.clause_id)
    above = scopes_above(ledger, tenant)
    guards = [guard_of(tenant), *map(guard_of, above), *_clause_guard(ledger, clause)]
    attachments = _attachments(ledger, log_id, stream, request, ciphertexts)
    events = submit_workload(
        tenant,
        clause,
        signed,
        check_credential(ledger, above, tenant, request, now_ms),
        stored=[attachment.reference() for attachment in attachments],
        engine=engine_digest(),
        seen=ledger.head(log_id).size - 1,
        now_ms=now_ms,
    )
    pending = [Pending(log_id, stream, version, event) for version, event in enumerate(events)]
    claim = Command(ledger.platform().log_id, "workload-id", request.workload, b"", {})
    return ledger.append(pending, command=command, attachments=attachments, guards=guards, claims=[claim])


def cancel(ledger: Ledger, tenant: Tenant, workload: str, token: str) -> Answer:
    """Take a waiting workload back.

    Raises:
        NotAuthorisedError: when the key may not.
        ConflictError: when it does not wait.
        UnknownError: when the tenant has no such workload.
    """
    log_id = UUID(tenant.log_id)
    keys = keys_of(tenant.principals.values(), SUBMISSION)
    signed = verified_or_known(ledger, log_id, token, typ=SUBMISSION, keys=keys, aud=tenant.origin)
    command = statement_command(log_id, [signed], {"workload": workload})
    known = ledger.answered(command)
    if known is not None:
        return Answer(known, ())
    found = load_workload(ledger, log_id, workload)
    event = cancel_workload(tenant, workload, waits=found.waits, signed=signed)
    pending = [Pending(log_id, stream_of(workload), found.version + 1, event)]
    return ledger.append(pending, command=command, guards=[guard_of(tenant)])


def check_credential(
    ledger: Ledger, above: Sequence[Tenant], tenant: Tenant, request: Request, now_ms: int
) -> CredentialVerdict:
    """Check the tenant's TEEExecutorVC, which a scope above it issued, for a submission, at an instant.

    Its status, and every credential above it, are checked too; where nobody can tell, it does not pass.
    """
    if tenant.credential is None:
        return CredentialVerdict(passed=False, reason="no TEEExecutorVC was granted", digest=None, valid_until_ms=None)
    try:
        claims = ledger.credentials.executor(tenant.credential, trusted_issuers(above), now_ms)
        check_scope(
            claims,
            tenant=tenant.did,
            dao=tenant.dao,
            jurisdiction=tenant.jurisdiction,
            clause_id=request.clause_id,
            resource_class=request.resource_class,
            memory_bytes=request.bounds.memory_bytes,
        )
    except CredentialRefusedError as error:
        return CredentialVerdict(passed=False, reason=str(error), digest=None, valid_until_ms=None)
    return CredentialVerdict(
        passed=True,
        reason="issued, in force, in scope",
        digest=claims.grant.digest,
        valid_until_ms=claims.grant.valid_until_ms,
    )


def _free_stream(ledger: Ledger, workload: str) -> UUID:
    """Return the stream of a new workload: a UUIDv7 that no log of the cell uses yet.

    The submitter chooses the id. One that stood for something of another tenant would take that one's place in the
    scheduler's state and make its id ambiguous; the claim that goes with the append closes the race.
    """
    stream = stream_of(workload)
    if stream.version != _UUID_VERSION:
        raise MalformedError("a workload id is wl-0x and the 32 hex digits of a UUIDv7")
    if ledger.recorder.log_of_stream(stream) is not None:
        raise ConflictError("this workload id is taken")
    return stream


def _clause_guard(ledger: Ledger, clause: Clause | None) -> list[Guard]:
    if clause is None:
        return []
    stream = clause_stream(clause.metadata.clause_id)
    return [Guard(ledger.platform().log_id, stream, int(clause.deprecated))]  # registered, then deprecated


def _attachments(
    ledger: Ledger, log_id: UUID, stream: UUID, request: Request, ciphertexts: Sequence[bytes]
) -> list[Attachment]:
    """Seal the ciphertexts under the workload's stream. The statement names H(ciphertext) of each."""
    if len(ciphertexts) != len(request.inputs):
        raise MalformedError(f"{len(ciphertexts)} inputs came, {len(request.inputs)} are named")
    attachments = []
    for index, (ciphertext, named) in enumerate(zip(ciphertexts, request.inputs, strict=True)):
        if sha256(ciphertext).hexdigest() != named.ciphertext_digest:
            raise MalformedError(f"input {index} is not the one that the submission names")
        attachments.append(ledger.attach(log_id, stream, ciphertext))
    return attachments


def submitted_statement(submitted: WorkloadSubmitted) -> Signed:
    """Return the statement of a submission that was verified when it was taken in."""
    header, content = jws.peek(submitted.submission)
    return Signed(submitted.submission, header["kid"], SUBMISSION, content)
