"""Submission: credential first, then clause and governance metadata, then the queue (mission 4.4.4)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, SerializerFunctionWrapHandler, ValidationError, model_serializer

from domain.bounds import Bounds
from domain.canonical import canonical
from domain.clauses.decisions import Clause, refusal
from domain.errors import ConflictError, MalformedError, NotAuthorisedError, RefusedError
from domain.hashing import sha256_hex
from domain.identifiers import ClauseName, Digest, ResourceClass, parse_clause_id, stream_of
from domain.malformed import malformed
from domain.message import Event, Value
from domain.payloads import StoredPayload
from domain.policies.effective import effective_policy
from domain.policies.facts import WorkloadFacts
from domain.policies.kinds import Word, Words
from domain.statements import SUBMISSION, Signed, require_claims
from domain.tenants.erasure import require_nothing_new
from domain.tenants.state import Tenant
from domain.time import DAY_MS, tick_of
from domain.workloads.events import (
    ClauseVerified,
    CredentialChecked,
    Gate,
    NamedInput,
    SealedInput,
    TenantTag,
    WorkloadCancelled,
    WorkloadDenied,
    WorkloadQueued,
    WorkloadSubmitted,
)

MAX_WAIT_MS = 30 * DAY_MS


class Request(Value):
    """What a submission asks for: the statement's own members.

    `output_key_digest` binds the key to which outputs are sealed: the enclave seals to no other, and its evidence
    covers the submission. A tenant in its own custody always names it.
    """

    workload: str
    clause_id: ClauseName
    resource_class: ResourceClass
    bounds: Bounds
    trigger: Word | None = None
    tags: Words = ()
    forbid_tags: Words = ()
    inputs: Annotated[tuple[NamedInput, ...], Field(min_length=1, max_length=16)]
    not_after_ms: int
    slots: Annotated[int, Field(ge=1, le=4096)] = 1
    output_key_digest: Digest | None = None

    @model_serializer(mode="wrap")
    def _without_one_slot(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what the first release did not have: its statements keep their bytes."""
        members: dict[str, Any] = handler(self)
        if members.get("slots") == 1:
            del members["slots"]
        if members.get("output_key_digest") is None:
            members.pop("output_key_digest", None)
        return members


@dataclass(frozen=True, slots=True)
class CredentialVerdict:
    """What the border found of the tenant's TEEExecutorVC, checked for this submission at this instant."""

    passed: bool
    reason: str
    digest: str | None
    valid_until_ms: int | None


def read_request(signed: Signed) -> Request:
    """Read a submission's members.

    Raises:
        MalformedError: when one has not its form.
    """
    members = {name: value for name, value in signed.payload.items() if name not in {"iss", "aud", "jti", "iat", "exp"}}
    try:
        request = Request.model_validate_json(canonical(members))
    except ValidationError as error:
        raise malformed("submission", error, "/submission") from None
    if not request.workload.startswith("wl-"):
        raise MalformedError("a workload id begins with wl-0x")
    stream_of(request.workload)
    return request


def submit_workload(
    tenant: Tenant,
    clause: Clause | None,
    signed: Signed,
    credential: CredentialVerdict,
    *,
    stored: Sequence[StoredPayload],
    engine: str,
    seen: int,
    now_ms: int,
) -> tuple[Event, ...]:
    """Decide a submission: every check is an event, and the first that fails denies.

    Args:
        tenant: whose log it is for.
        clause: the clause that it names, if it is registered.
        signed: the verified submission.
        credential: what the border found of the TEEExecutorVC.
        stored: where each input's ciphertext will be kept.
        engine: digest of the engine.
        seen: the tenant's own leaf index up to which its events counted.
        now_ms: decision time.

    Raises:
        NotAuthorisedError: when the key is not enrolled for submissions of this tenant.
        RefusedError: when the tenant is not endorsed, its erasure is ordered, or the waiting time is out of range.
        MalformedError: for a submission that is not of its form.
    """
    request, submitted = accept_submission(tenant, signed, stored=stored, now_ms=now_ms)
    rules = clause.metadata.policies if clause else ()
    named: dict[str, Any] = {
        "engine": engine,
        "policy_version": tenant.policy_version,
        "policy_digest": effective_policy(tenant.policy, rules).digest(),
        "seen": seen,
        "tick": tick_of(now_ms),
    }
    events: list[Event] = [submitted, _checked(credential)]
    if not credential.passed:
        return (*events, _denied(request, "credential", credential.reason, named))
    reason = refusal(
        clause,
        dao=tenant.dao,
        jurisdiction=tenant.jurisdiction,
        resource_class=request.resource_class,
        bounds=request.bounds,
        inputs=len(request.inputs),
    )
    events.append(
        ClauseVerified(
            passed=reason is None,
            reason=reason or "registered, open to the tenant, within its bounds",
            module_digest=clause.module_digest if clause else None,
            clause_entry=clause.entry if clause else None,
        )
    )
    if reason is not None or clause is None:
        return (*events, _denied(request, "clause", reason or "", named))
    return (*events, first_queued(tenant, clause, request))


def accept_submission(
    tenant: Tenant, signed: Signed, *, stored: Sequence[StoredPayload], now_ms: int
) -> tuple[Request, WorkloadSubmitted]:
    """Take a submission in for checking. Arguments and errors are those of `submit_workload`."""
    principal = tenant.principals.get(signed.kid)
    if principal is None or principal.statement_type != SUBMISSION or signed.typ != SUBMISSION:
        raise NotAuthorisedError("the key is not enrolled for submissions of this tenant")
    if not tenant.endorsed:
        raise RefusedError("the tenant is not endorsed by its scope yet")
    require_nothing_new(tenant)
    request = read_request(signed)
    if not now_ms < request.not_after_ms <= now_ms + MAX_WAIT_MS:
        raise RefusedError("not_after_ms must lie in the future, at most 30 days ahead")
    if tenant.custody == "tenant" and request.output_key_digest != sha256_hex(bytes.fromhex(tenant.output_key)):
        raise RefusedError("a tenant in its own custody names the digest of its output key in every submission")
    return request, _submitted(tenant, request, signed, stored)


def _submitted(tenant: Tenant, request: Request, signed: Signed, stored: Sequence[StoredPayload]) -> WorkloadSubmitted:
    inputs = tuple(
        SealedInput(**named.model_dump(), payload=payload)
        for named, payload in zip(request.inputs, stored, strict=True)
    )
    return WorkloadSubmitted(
        workload_id=request.workload,
        tenant=TenantTag(dao=tenant.dao, jurisdiction=tenant.jurisdiction, clause_id=request.clause_id),
        resource_class=request.resource_class,
        bounds=request.bounds,
        trigger=request.trigger,
        tags=request.tags,
        forbid_tags=request.forbid_tags,
        inputs=inputs,
        not_after_ms=request.not_after_ms,
        submission=signed.token,
        submission_digest=sha256_hex(signed.token.encode()),
    )


def _checked(credential: CredentialVerdict) -> CredentialChecked:
    return CredentialChecked(
        passed=credential.passed,
        reason=credential.reason,
        credential_digest=credential.digest,
        valid_until_ms=credential.valid_until_ms,
    )


def _denied(request: Request, gate: Gate, reason: str, named: dict[str, Any]) -> WorkloadDenied:
    return WorkloadDenied(
        workload_id=request.workload, gate=gate, rule=gate, reason=reason, have="", need="", nodes=0, filtered=(),
        **named,
    )  # fmt: skip


def first_queued(tenant: Tenant, clause: Clause, request: Request) -> WorkloadQueued:
    """Return how a submission that passed is queued: its first attempt."""
    facts = WorkloadFacts(
        dao=tenant.dao,
        jurisdiction=tenant.jurisdiction,
        resource_class=request.resource_class,
        bounds=request.bounds,
        trigger=request.trigger,
        tags=request.tags,
        forbid_tags=request.forbid_tags,
        required_attributes=clause.metadata.required_attributes,
        slots=request.slots,
    )
    return WorkloadQueued(
        workload_id=request.workload,
        attempt=1,
        facts=facts,
        clause_rules=clause.metadata.policies,
        clause_id=request.clause_id,
        module_digest=clause.module_digest,
        not_after_ms=request.not_after_ms,
        draft=parse_clause_id(request.clause_id).draft,
    )


def request_claims(request: Request) -> dict[str, Any]:
    """Return what a submitter says: the members of a submission statement."""
    return request.model_dump(mode="json")


def cancel_workload(tenant: Tenant, workload: str, *, waits: bool, signed: Signed) -> WorkloadCancelled:
    """Take a waiting workload back, by one of the tenant's submitters.

    Raises:
        NotAuthorisedError: when the key is not enrolled for submissions, or the statement says something else.
        ConflictError: when the workload does not wait (any more).
    """
    principal = tenant.principals.get(signed.kid)
    if principal is None or principal.statement_type != SUBMISSION or signed.typ != SUBMISSION:
        raise NotAuthorisedError("the key is not enrolled for submissions of this tenant")
    require_claims(signed, cancel_claims(workload))
    if not waits:
        raise ConflictError("the workload does not wait; what runs comes to its own end")
    return WorkloadCancelled(workload_id=workload, statement=signed.token)


def cancel_claims(workload: str) -> dict[str, Any]:
    """Return what a submitter says to take a workload back."""
    return {"act": "cancel", "workload": workload}
