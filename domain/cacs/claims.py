"""A CAC read as what it claims, by itself: its closed shape, and whether its blocks agree (wire formats 6 and 7).

Invariants:
- Exactly the members of version 1, each of its own form and bounded: an unknown or missing one refuses.
- Every block names one tenant, one execution, one result: scope, host, output address, execution ids, report_data.
- report_data is recomputed from the CAC's own members. Nothing here is believed because the document says so.
"""

from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationError

from domain.attestation.binding import Binding, report_data
from domain.bounds import Bounds
from domain.canonical import MAX_INTEGER, canonical, same_json
from domain.errors import MalformedError, VerificationError
from domain.executions.events import Hex32, Hex64, Outcome
from domain.hashing import sha256_hex
from domain.identifiers import (
    PLATFORM_SLOT,
    ClauseName,
    DaoName,
    Digest,
    ResourceClass,
    execution_id,
    origin,
    parse_clause_id,
    parse_host,
    stream_of,
)
from domain.jurisdictions import Jurisdiction
from domain.message import Value
from domain.policies.kinds import EvidenceClass, Word

MAX_ENCLAVES = 16
"""Of one attempt: what a policy may ask for."""

Text = Annotated[str, Field(min_length=1, max_length=1024)]
Count = Annotated[int, Field(ge=0, le=MAX_INTEGER)]


class Refusal(StrEnum):
    """Why a CAC does not stand. The list is closed."""

    MALFORMED = "malformed"
    DRAFT = "draft"
    TENANT = "tenant"
    BINDING = "binding"
    PROOF = "proof"
    CERTIFICATE = "certificate"
    ISSUER = "issuer"
    CREDENTIAL = "credential"
    STATEMENT = "statement"
    RECEIPT = "receipt"
    TIME = "time"
    BUNDLE = "bundle"
    NOT_ISSUED = "not_issued"
    REJECTED = "rejected"
    DIFFERS = "differs"
    EVIDENCE = "evidence"
    RELEASE = "release"
    POLICY = "policy"
    NONCE = "nonce"
    SUBMISSION = "submission"
    REPLAY = "replay"
    QUORUM = "quorum"
    OVERTURNED = "overturned"


class CacRefusedError(VerificationError):
    """A CAC does not stand, for one reason of the closed list."""

    def __init__(self, reason: Refusal, text: str) -> None:
        super().__init__(f"{reason}: {text}")
        self.reason = reason
        self.text = text


class TenantInfo(Value):
    """The tenant's block. `workload_id` holds the execution id, as the mission's sample has it."""

    dao: DaoName
    jurisdiction: Jurisdiction
    resource_class: ResourceClass
    workload_id: Text


class PolicyInForce(Value):
    """The policy that the execution was decided under."""

    version: Count
    digest: Digest


class Window(Value):
    """When the execution was valid: [from_ms, until_ms)."""

    from_ms: Count
    until_ms: Count


class Output(Value):
    """One sealed output: its salted commitment, and the size of what it commits to in bytes."""

    commitment: Digest
    size_bytes: Count


class CacClaims(Value):
    """All members of a CAC (version 1), typed. Nothing of it is verified."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", ignored_types=(cached_property,))

    type: Literal["ClauseAttestedCompute"]
    version: Literal[1]
    cac_id: Text
    execution_id: Text
    workload: Text
    attempt: Annotated[int, Field(ge=1, le=2**32 - 1)]
    clause_id: ClauseName
    module_digest: Digest
    tenant_info: TenantInfo
    host: Text
    scope: Annotated[str, Field(min_length=1, max_length=255)]
    output_address: Text
    submission_digest: Digest
    input_commitments: Annotated[tuple[Digest, ...], Field(max_length=1024)]
    policy: PolicyInForce
    node: Word
    nonce: Hex32
    report_data: Hex64
    evidence_digest: Digest
    evidence_class: EvidenceClass
    evidence_entry: Digest
    release_entry: Digest
    engine: Text
    measurement: Digest
    hardware: Text
    limits: Bounds
    cac_key: Hex32
    hpke_kem_id: Annotated[int, Field(ge=0, le=0xFFFF)]
    hpke_key_digest: Digest
    certificate: Annotated[str, Field(min_length=1, max_length=49_152)]
    released_by: Literal["custody: operator", "custody: tenant"]
    window: Window
    outcome: Outcome
    outputs: Annotated[tuple[Output, ...], Field(min_length=1, max_length=1024)]
    proof: dict[str, Any]

    def bound_report_data(self) -> str:
        """Recompute report_data from these members (wire formats 6), hex.

        Raises:
            MalformedError: when a part is no part of a binding.
        """
        binding = Binding(
            host=self.host,
            origin=self.scope,
            execution_id=self.execution_id,
            node_id=self.node,
            nonce=bytes.fromhex(self.nonce),
            module_digest=bytes.fromhex(self.module_digest),
            limits_digest=bytes.fromhex(sha256_hex(canonical(self.limits.model_dump(mode="json")))),
            policy_digest=bytes.fromhex(self.policy.digest),
            submission_digest=bytes.fromhex(self.submission_digest),
            cac_key=bytes.fromhex(self.cac_key),
            kem_id=self.hpke_kem_id,
            hpke_key_digest=bytes.fromhex(self.hpke_key_digest),
        )
        return report_data(binding).hex()

    def certified(self) -> dict[str, Any]:
        """Return what the attestation key's certificate over the CAC key must say."""
        return {
            "act": "certify_enclave",
            "execution": self.execution_id,
            "cac_key": self.cac_key,
            "report_data": self.report_data,
            "evidence_digest": self.evidence_digest,
        }


def read_claims(document: dict[str, Any]) -> CacClaims:
    """Return what a CAC claims.

    Raises:
        CacRefusedError: `malformed`, when it is not exactly of the form.
    """
    try:
        claims = CacClaims.model_validate_json(canonical(document))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part)[:64] for part in first["loc"])
        raise CacRefusedError(Refusal.MALFORMED, f"at {where!a}: {first['msg'][:200]}") from None
    except MalformedError as error:
        raise CacRefusedError(Refusal.MALFORMED, str(error)) from None
    if not same_json(claims.model_dump(mode="json"), document):  # types that normalise take more than one spelling
        raise CacRefusedError(Refusal.MALFORMED, "a member is not in its normal form")
    return claims


def require_agreement(claims: CacClaims) -> None:
    """Require that all blocks are about one tenant and one execution, and that report_data follows from them.

    Raises:
        CacRefusedError: with its reason.
    """
    if parse_clause_id(claims.clause_id).draft:
        raise CacRefusedError(Refusal.DRAFT, "a draft clause (0.x) never yields a CAC")
    try:
        ids = [stream_of(name) for name in (claims.cac_id, claims.execution_id, claims.workload)]
        parse_host(claims.host)
    except MalformedError as error:
        raise CacRefusedError(Refusal.MALFORMED, str(error)) from None
    if [name.partition("-0x")[0] for name in (claims.cac_id, claims.execution_id, claims.workload)] != _KINDS:
        raise CacRefusedError(Refusal.MALFORMED, "cac_id, execution_id or workload is an id of another kind")
    if len(set(ids)) != len(ids):
        raise CacRefusedError(Refusal.MALFORMED, "the ids of CAC, execution and workload are not three")
    if claims.window.until_ms <= claims.window.from_ms:
        raise CacRefusedError(Refusal.MALFORMED, "its window ends before it begins")
    _require_one_tenant(claims)
    try:
        bound = claims.bound_report_data()
    except MalformedError as error:
        raise CacRefusedError(Refusal.BINDING, str(error)) from None
    if bound != claims.report_data:
        raise CacRefusedError(Refusal.BINDING, "report_data does not follow from the CAC's own members")


_KINDS = ["cac", "exec", "wl"]


def _require_one_tenant(claims: CacClaims) -> None:
    slot = claims.scope.removeprefix(origin(claims.host, 0)[:-1])
    if not (slot.isascii() and slot.isdecimal()) or claims.scope != origin(claims.host, int(slot[:20])):
        raise CacRefusedError(Refusal.TENANT, "scope is not a log of the host that the CAC names")
    if int(slot) == PLATFORM_SLOT:
        raise CacRefusedError(Refusal.TENANT, "scope is the platform's log, which has no tenant")
    if claims.output_address != f"{claims.scope}/cac/{claims.cac_id}":
        raise CacRefusedError(Refusal.TENANT, "output_address is not this CAC's under its scope")
    if claims.tenant_info.workload_id != claims.execution_id:
        raise CacRefusedError(Refusal.TENANT, "tenant_info is about another execution")
    derived = (execution_id(claims.scope, claims.workload, claims.attempt, k) for k in range(MAX_ENCLAVES))
    if claims.execution_id not in derived:
        raise CacRefusedError(Refusal.TENANT, "execution_id does not follow from scope, workload and attempt")
