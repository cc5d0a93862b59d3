"""The release of inputs by the tenant's own releaser, and what is put before it to judge (`custody: tenant`).

Invariants:
- A release is decided at its own position: nonce, result, credentials, policy and node are evaluated again there, over
  what they rest on (guards), and the event is durable before any ciphertext leaves.
- Once per execution. The same statement again gets the first answer; another one is refused.
- A refusal is taken as a release is: by a statement of a releaser of the tenant's. The attempt ends in the same commit.
- The ledger never opens what it passes on: it has no key for it. That it is sealed to the enclave and is what was
  submitted is the releaser's word, in its statement; the enclave holds it against the commitments.
"""

from collections.abc import Sequence
from hashlib import sha256
from uuid import UUID

from domain.attestation.appraise import appraise
from domain.attestation.binding import SALT_BYTES
from domain.attestation.claims import VerifiedClaims
from domain.attestation.events import PlatformEvidenceAppraised
from domain.attestation.platform import accepted, judge_execution
from domain.attestation.refusal import EvidenceRefusedError
from domain.errors import MalformedError, RefusedError, UnavailableError, UnknownError
from domain.executions.events import EvidenceAppraised
from domain.executions.releases import (
    refuse_release,
    release_inputs,
    releasers,
    require_awaited,
    require_releaser,
)
from domain.executions.reports import EvidenceReport, read_report
from domain.identifiers import stream_of
from domain.statements import ENDORSEMENT, REPORT, Signed
from domain.tenants.erasure import require_nothing_new
from domain.time import SECOND_MS
from infrastructure.attestation.recognise import recognise
from infrastructure.attestation.verifying import verify_under
from infrastructure.commands.border import verified, verified_or_known
from infrastructure.commands.context import Context, load_context, on_execution
from infrastructure.commands.evidence import admit_collateral, cell_roots
from infrastructure.commands.loading import log_of
from infrastructure.commands.provisioning import forbidden, refused
from infrastructure.commands.residence import Residence
from infrastructure.commands.tenants import statement_command
from infrastructure.keys import hpke
from infrastructure.ledger import Answer, Attachment, Ledger
from infrastructure.postgres.records import Guard, MovedOnError, StreamMovedError
from infrastructure.statements import jws

_ATTEMPTS = 8


def release(ledger: Ledger, cell: Residence, token: str, inputs: Sequence[bytes]) -> Answer:
    """Release inputs on the word of a tenant's releaser.

    Args:
        ledger: the ledger.
        cell: the scheduler's state, folded up to now.
        token: the releaser's statement.
        inputs: sealed to the enclave's key, in the order of the submission.

    Returns:
        {"released": bool, "reason": str}. Where a rule forbids it by now, that is recorded and the attempt has ended.

    Raises:
        NotAuthorisedError: when no releaser of the tenant says exactly this.
        MalformedError: when it is not of its form.
        ConflictError: when inputs were released already, or the command id came with another body.
        RefusedError: when the execution waits for no release, or not any more.
    """
    for _ in range(_ATTEMPTS):
        try:
            return _release(ledger, cell, token, inputs)
        except (
            MovedOnError,
            StreamMovedError,
        ):  # a policy, key or sibling moved on meanwhile: the gate decides again, over what is now
            continue
    raise UnavailableError("what this release is decided on keeps changing: send it again")


def _release(ledger: Ledger, cell: Residence, token: str, inputs: Sequence[bytes]) -> Answer:
    claimed = jws.peek(token)[1].get("execution")
    if not isinstance(claimed, str):
        raise MalformedError("a release is malformed at execution")
    context = load_context(ledger, claimed)
    tenant, now_ms = context.tenant, ledger.clock.now_ms()
    keys = {kid: bytes.fromhex(one.public_key) for kid, one in releasers(tenant).items()}
    signed = verified_or_known(ledger, context.log_id, token, typ=ENDORSEMENT, keys=keys, aud=tenant.origin)
    command = statement_command(context.log_id, [signed], {"released": True, "reason": ""})
    known = ledger.answered(command)
    if known is not None:
        return Answer(known, ())
    require_releaser(tenant, signed)
    require_nothing_new(tenant)
    if any(other.faulted is not None for other in context.siblings):
        raise RefusedError("the workload is held after a fault of another enclave: nothing of it gets inputs")
    appraised = require_awaited(context.execution, now_ms)
    attachments = _attached(ledger, context, signed, inputs)
    event = release_inputs(
        tenant, context.execution, signed,
        commitments=[item.commitment for item in context.workload.submitted.inputs],
        payloads=[one.reference() for one in attachments], now_ms=now_ms,
    )  # fmt: skip
    failed, guards = _no_more(ledger, cell, context, appraised, now_ms)
    if failed is not None:
        rule, have, need = failed
        answer = {"released": False, "reason": f"{rule}: have {have}, need {need}"}
        command = statement_command(context.log_id, [signed], answer)
        return ledger.append(refused(ledger, context, failed), command=command, guards=guards)
    return ledger.append(on_execution(context, [event]), command=command, attachments=attachments, guards=guards)


def refuse(ledger: Ledger, token: str) -> Answer:
    """End an attempt on the word of the tenant's releaser, which does not let it have its inputs.

    Args:
        ledger: the ledger.
        token: the releaser's statement.

    Returns:
        {"released": False, "reason": str}: as the releaser said it.

    Raises:
        NotAuthorisedError: when no releaser of the tenant says exactly this.
        MalformedError: when it is not of its form.
        ConflictError: when inputs were released already, or the command id came with another body.
        RefusedError: when the execution waits for no release, or not any more.
    """
    for _ in range(_ATTEMPTS):
        try:
            return _refuse(ledger, token)
        except (MovedOnError, StreamMovedError):  # a key or the execution moved on meanwhile: look again
            continue
    raise UnavailableError("what this refusal is decided on keeps changing: send it again")


def _refuse(ledger: Ledger, token: str) -> Answer:
    claimed = jws.peek(token)[1].get("execution")
    if not isinstance(claimed, str):
        raise MalformedError("a refusal is malformed at execution")
    context = load_context(ledger, claimed)
    tenant, now_ms = context.tenant, ledger.clock.now_ms()
    keys = {kid: bytes.fromhex(one.public_key) for kid, one in releasers(tenant).items()}
    signed = verified_or_known(ledger, context.log_id, token, typ=ENDORSEMENT, keys=keys, aud=tenant.origin)
    answer = {"released": False, "reason": signed.payload.get("reason")}
    command = statement_command(context.log_id, [signed], answer)
    known = ledger.answered(command)
    if known is not None:
        return Answer(known, ())
    events = refuse_release(tenant, context.execution, signed, now_ms=now_ms)
    return ledger.append(on_execution(context, events), command=command, guards=context.guards())


def _attached(ledger: Ledger, context: Context, signed: Signed, inputs: Sequence[bytes]) -> list[Attachment]:
    """Attach the ciphertexts, if they are those that the statement names, of the size that was submitted."""
    named, submitted = signed.payload.get("inputs"), context.workload.submitted.inputs
    if named != [sha256(one).hexdigest() for one in inputs]:
        raise MalformedError("the inputs are not those that the statement names")
    sizes = [item.size_bytes + SALT_BYTES + hpke.OVERHEAD_BYTES for item in submitted]
    if [len(one) for one in inputs] != sizes:
        raise MalformedError("an input is not of the size that was submitted")
    return [ledger.attach(context.log_id, stream_of(context.execution.id), one) for one in inputs]


def _no_more(
    ledger: Ledger, cell: Residence, context: Context, appraised: EvidenceAppraised, now_ms: int
) -> tuple[tuple[str, str, str] | None, list[Guard]]:
    """Return what forbids the release by now, or None; and what that rests on."""
    guards = context.guards()
    reason, more = _appraised_again(ledger, context, appraised, now_ms)
    if reason is not None:
        return ("evidence", reason, "evidence that is accepted now"), [*guards, *more]
    return forbidden(ledger, cell, context, appraised), [*guards, *more]


def _appraised_again(
    ledger: Ledger, context: Context, appraised: EvidenceAppraised, now_ms: int
) -> tuple[str | None, tuple[Guard, ...]]:
    """Verify and judge the evidence again, as of now. Return why it is not accepted, and what that rests on."""
    expected = context.expected()
    signed = verified(appraised.evidence, typ=REPORT, keys=context.node.keys, aud=context.tenant.origin, now_ms=now_ms)
    said = read_report(signed)
    if not isinstance(said, EvidenceReport) or not appraised.accepted:
        return "none that was accepted", ()
    if not isinstance(appraised, PlatformEvidenceAppraised):
        return appraise(expected, said, now_ms), ()
    try:
        claims = verified_again(ledger, context, appraised, now_ms)
        guards = admit_collateral(ledger, claims)
    except EvidenceRefusedError as error:
        return str(error), ()
    result = judge_execution(expected, said, claims, context.policy(), context.queued.facts, now_ms)
    return (None if accepted(result) else result.reason or result.status), guards


def verified_again(
    ledger: Ledger, context: Context, appraised: PlatformEvidenceAppraised, now_ms: int
) -> VerifiedClaims:
    """Verify the evidence that was kept, as of an instant.

    Raises:
        EvidenceRefusedError: when it does not verify then.
    """
    evidence, *endorsements = kept_evidence(ledger, context, appraised)
    return verify_under(recognise(evidence), endorsements, now_ms // SECOND_MS, cell_roots(ledger.data_dir))


def kept_evidence(ledger: Ledger, context: Context, appraised: PlatformEvidenceAppraised) -> list[bytes]:
    """Return a platform's evidence as it came, and the files of its endorsements."""
    stream = stream_of(context.execution.id)
    kept = (appraised.kept.platform_evidence, *appraised.kept.endorsements)
    return [ledger.attached(context.log_id, stream, one.digest) for one in kept]


def require_own(ledger: Ledger, log_id: UUID, execution_id: object) -> Context:
    """Return an execution of a tenant's.

    Raises:
        UnknownError: when it is another's, or there is none: the two can't be told apart.
    """
    try:
        if isinstance(execution_id, str) and log_of(ledger, execution_id) == log_id:
            return load_context(ledger, execution_id)
    except (UnknownError, MalformedError, ValueError):
        pass
    raise UnknownError("there is no such execution of this tenant")
