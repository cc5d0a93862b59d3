"""The release of inputs, checked again: to the enclave that was appraised, and by whoever has the custody.

Invariants:
- A tenant that holds its release key itself has its inputs released by its own releaser's statement, or not at all; of
  every other tenant the operator releases, and the event says so. The two never stand for each other.
- The statement names the very ciphertexts that were kept for the enclave.
- A refusal is the tenant's releaser's own statement; what was refused is abandoned for that, and nothing else is.
"""

from domain.errors import VerificationError
from domain.executions.events import InputsReleased, ReleaseAwaited, ReleaseRefused
from domain.executions.releases import (
    BY_TENANT,
    await_release,
    latest_release_ms,
    refusal_claims,
    refuse_release,
    release_claims,
    release_inputs,
    releasers,
)
from domain.executions.state import Execution
from domain.message import Recorded
from domain.statements import ENDORSEMENT, require_claims
from infrastructure.audit.known import Known
from infrastructure.audit.statements import instant_before

_CUSTODY = "releases of inputs: whose custody they are in is told in the log's own stream"
_WHOSE = "releases by a tenant's releaser: the log's own stream, which enrols its key, was not disclosed"
_REFUSED = "refusals by the tenant's own releaser"
_SIGNED = "releases of inputs by the tenant's own releaser: its key, the enclave, the ciphertexts"


def follow(
    known: Known, execution: Execution, event: ReleaseAwaited | ReleaseRefused | InputsReleased, recorded: Recorded
) -> None:
    """Check that a releaser is waited for, that it refused, or that inputs were released.

    Raises:
        LedgerError: when it does not hold.
    """
    if isinstance(event, ReleaseAwaited):
        _awaited(known, execution, event)
        return
    if isinstance(event, ReleaseRefused):
        _declined(known, execution, event, recorded)
        return
    appraised = execution.appraised
    if execution.declined is not None:
        raise VerificationError("inputs were released that the tenant's releaser had refused")
    if execution.status != "provisioned" or appraised is None:
        raise VerificationError("inputs were released that the gate had not let go")
    told = (event.evidence_digest, event.nonce, event.hpke_key_digest)
    if told != (appraised.evidence_digest, appraised.nonce, appraised.hpke_key_digest):
        raise VerificationError("inputs were released to another enclave than was appraised")
    workload = known.workload(execution.reserved.workload_id, "releases of inputs")
    if workload is not None:
        committed = tuple(item.commitment for item in workload.submitted.inputs)
        if event.commitments != committed:
            raise VerificationError("other inputs were released than were submitted")
    if (event.released_by == BY_TENANT) != (event.statement is not None):
        raise VerificationError("a tenant's releaser releases by its statement, the operator without one")
    _by_whom(known, execution, event, recorded)


def _awaited(known: Known, execution: Execution, event: ReleaseAwaited) -> None:
    if execution.status != "provisioned" or event != await_release(execution):
        raise VerificationError("a releaser is waited for once the gate is passed, as long as a run fits the window")
    tenant = known.tenant(_CUSTODY)
    if tenant is not None and tenant.custody != "tenant":
        raise VerificationError("a releaser is waited for whose tenant's inputs are in the operator's custody")


def _declined(known: Known, execution: Execution, event: ReleaseRefused, recorded: Recorded) -> None:
    """Check that the tenant's own releaser said just that, of an execution that waited for it."""
    tenant = known.tenant(_CUSTODY)
    if tenant is None:
        (signed,) = known.statements.unverified([event.statement], ENDORSEMENT, recorded, whose=_WHOSE)
        require_claims(signed, refusal_claims(execution.id, event.reason))
        return
    keys = {kid: bytes.fromhex(one.public_key) for kid, one in releasers(tenant).items()}
    signed = known.statements.by_signer(event.statement, ENDORSEMENT, keys, recorded)
    before_ms = instant_before(recorded.at_ms, latest_release_ms(execution))
    if refuse_release(tenant, execution, signed, now_ms=before_ms)[0] != event:
        raise VerificationError("the refusal is not what its releaser's statement says")
    known.checked[_REFUSED] += 1


def _by_whom(known: Known, execution: Execution, event: InputsReleased, recorded: Recorded) -> None:
    tenant, token = known.tenant(_CUSTODY), event.statement
    if tenant is not None and (tenant.custody == "tenant") != (event.released_by == BY_TENANT):
        raise VerificationError(f"inputs were released under {event.released_by}, which is not the tenant's")
    if token is None or execution.appraised is None:
        return
    if tenant is None:
        (signed,) = known.statements.unverified([token], ENDORSEMENT, recorded, whose=_WHOSE)
        digests = [one.plaintext_digest for one in event.payloads]
        require_claims(signed, release_claims(execution.appraised, event.commitments, digests))
        return
    keys = {kid: bytes.fromhex(one.public_key) for kid, one in releasers(tenant).items()}
    signed = known.statements.by_signer(token, ENDORSEMENT, keys, recorded)
    again = release_inputs(
        tenant, execution, signed, commitments=event.commitments, payloads=event.payloads,
        now_ms=instant_before(recorded.at_ms, latest_release_ms(execution)),
    )  # fmt: skip
    if again != event:
        raise VerificationError("the release is not what its releaser's statement says")
    known.checked[_SIGNED] += 1
