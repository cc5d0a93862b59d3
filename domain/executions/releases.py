"""The release of inputs by the tenant's own releaser (`custody: tenant`): what it signs, and when it still counts.

Invariants:
- A release is one statement by a key that the tenant enrolled as its releaser. It names evidence, nonce, binding and
  the very ciphertexts: nothing else can be put in their place afterwards.
- Once per execution, and no later than a run of full length still ends within the window.
- A releaser that refuses says so by a statement too: the attempt ends with it, for a reason of its own.
"""

from collections.abc import Sequence
from typing import Any, Final

from domain.errors import ConflictError, MalformedError, NotAuthorisedError, RefusedError
from domain.executions.events import (
    MOST_REASON,
    EvidenceAppraised,
    ExecutionAbandoned,
    InputsReleased,
    ReleaseAwaited,
    ReleaseRefused,
)
from domain.executions.state import Execution
from domain.payloads import StoredPayload
from domain.statements import ENDORSEMENT, Principal, Signed, require_claims
from domain.tenants.state import Tenant

RELEASER: Final = "releaser"
"""The role of a principal that releases inputs; its statements are endorsements."""
BY_OPERATOR: Final = "custody: operator"
BY_TENANT: Final = "custody: tenant"


def releasers(tenant: Tenant) -> dict[str, Principal]:
    """Return the keys that a tenant enrolled as its releasers, by thumbprint."""
    return {
        kid: one for kid, one in tenant.principals.items() if one.role == RELEASER and one.statement_type == ENDORSEMENT
    }


def await_release(execution: Execution) -> ReleaseAwaited:
    """Return that the tenant's releaser has its turn, as long as a run of full length still fits into the window."""
    reserved = execution.reserved
    return ReleaseAwaited(execution_id=execution.id, until_ms=max(reserved.from_ms, latest_release_ms(execution)))


def latest_release_ms(execution: Execution) -> int:
    """Return the instant from which on a release would come too late for a run of full length."""
    return execution.reserved.until_ms - execution.reserved.limits.wall_ms


def release_claims(
    appraised: EvidenceAppraised, commitments: Sequence[str], sealed_digests: Sequence[str]
) -> dict[str, Any]:
    """Return what a releaser says.

    Args:
        appraised: the appraisal of the enclave that gets the inputs.
        commitments: of the inputs, as submitted.
        sealed_digests: SHA-256 (hex) of each input as it was sealed to the enclave's key.
    """
    return {
        "act": "release_inputs",
        "execution": appraised.execution_id,
        "evidence_digest": appraised.evidence_digest,
        "nonce": appraised.nonce,
        "report_data": appraised.report_data,
        "hpke_key_digest": appraised.hpke_key_digest,
        "commitments": list(commitments),
        "inputs": list(sealed_digests),
    }


def refusal_claims(execution_id: str, reason: str) -> dict[str, Any]:
    """Return what a releaser says that does not let an execution have its inputs."""
    return {"act": "refuse_release", "execution": execution_id, "reason": reason}


def require_awaited(execution: Execution, now_ms: int) -> EvidenceAppraised:
    """Return the appraisal of an execution that waits for its releaser.

    Raises:
        ConflictError: when its inputs were released already.
        RefusedError: when it does not wait, or not any more.
    """
    if execution.released is not None:
        raise ConflictError("inputs were released to this execution already; once is for ever")
    if execution.declined is not None:
        raise RefusedError("the tenant's releaser refused this execution its inputs")
    if execution.status != "provisioned" or execution.appraised is None:
        raise RefusedError(f"the execution is {execution.status}: it waits for no release")
    if now_ms >= latest_release_ms(execution):
        raise RefusedError("too late: a run would not end within the execution's window any more")
    return execution.appraised


def release_inputs(
    tenant: Tenant,
    execution: Execution,
    signed: Signed,
    *,
    commitments: Sequence[str],
    payloads: Sequence[StoredPayload],
    now_ms: int,
) -> InputsReleased:
    """Release inputs on the word of the tenant's releaser.

    Args:
        tenant: as it is now.
        execution: as it is now; its gate was evaluated again by the caller.
        signed: the releaser's statement.
        commitments: of the inputs, as submitted.
        payloads: the inputs as sealed to the enclave's key; `plaintext_digest` is over that ciphertext.
        now_ms: the instant.

    Raises:
        RefusedError: as `require_awaited`, or when the tenant's inputs are in the operator's custody.
        NotAuthorisedError: when no releaser of the tenant says exactly this.
    """
    appraised = require_awaited(execution, now_ms)
    require_releaser(tenant, signed)
    require_claims(signed, release_claims(appraised, commitments, [one.plaintext_digest for one in payloads]))
    if len(payloads) != len(commitments):
        raise RefusedError(f"{len(payloads)} inputs were sealed, and {len(commitments)} were submitted")
    return InputsReleased(
        execution_id=execution.id,
        evidence_digest=appraised.evidence_digest,
        nonce=appraised.nonce,
        hpke_key_digest=appraised.hpke_key_digest,
        commitments=tuple(commitments),
        payloads=tuple(payloads),
        released_by=BY_TENANT,
        statement=signed.token,
    )


def refuse_release(
    tenant: Tenant, execution: Execution, signed: Signed, *, now_ms: int
) -> tuple[ReleaseRefused, ExecutionAbandoned]:
    """End an attempt on the word of the tenant's releaser, which does not let it have its inputs.

    Raises:
        ConflictError: when inputs were released already.
        RefusedError: as `require_awaited`, or when the tenant's inputs are in the operator's custody.
        NotAuthorisedError: when no releaser of the tenant says exactly this.
        MalformedError: when the reason is none.
    """
    require_releaser(tenant, signed)
    require_awaited(execution, now_ms)
    reason = signed.payload.get("reason")
    if not isinstance(reason, str) or not 0 < len(reason) <= MOST_REASON:
        raise MalformedError(f"a refusal has a reason of 1 to {MOST_REASON} characters")
    require_claims(signed, refusal_claims(execution.id, reason))
    said = ReleaseRefused(execution_id=execution.id, reason=reason, statement=signed.token)
    return said, ExecutionAbandoned(execution_id=execution.id, reason="release_refused")


def require_releaser(tenant: Tenant, signed: Signed) -> None:
    """Require that a statement is one of the tenant's releasers.

    Raises:
        RefusedError: when the operator releases this tenant's inputs.
        NotAuthorisedError: when another key signed it.
    """
    if tenant.custody != "tenant":
        raise RefusedError("this tenant's inputs are in the operator's custody: nobody else releases them")
    if signed.typ != ENDORSEMENT or signed.kid not in releasers(tenant):
        raise NotAuthorisedError("a release is signed by a key that the tenant enrolled as its releaser")
