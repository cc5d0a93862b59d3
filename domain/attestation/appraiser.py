"""The appraiser of RFC 9334: pure, and repeatable from stored claims, reference values, policy and nonce.

Invariants:
- The status is never better than the weakest claim, nor than what the policy still accepts.
- What was not given was not appraised, and the result says so; it is never taken for good.
- `appraise` judges claims that a verifier proved. What did not verify is `rejected`, and has no claims.
"""

from domain.attestation.claims import EvidenceClass, TcbStatus, VerifiedClaims, Weakness
from domain.attestation.refusal import Refusal
from domain.attestation.trust_vector import (
    CONTRAINDICATED,
    CRYPTO_FAILED,
    TRUSTED,
    UNRECOGNISED,
    UNSAFE,
    Tier,
    TrustVector,
    weakest,
)
from domain.errors import MalformedError
from domain.message import Value

REPORT_DATA_BYTES = 64

_HARDWARE = {
    None: TRUSTED,
    TcbStatus.UP_TO_DATE: TRUSTED,
    TcbStatus.SW_HARDENING_NEEDED: UNSAFE,
    TcbStatus.CONFIGURATION_NEEDED: UNSAFE,
    TcbStatus.CONFIGURATION_AND_SW_HARDENING_NEEDED: UNSAFE,
    TcbStatus.OUT_OF_DATE: CONTRAINDICATED,
    TcbStatus.OUT_OF_DATE_CONFIGURATION_NEEDED: CONTRAINDICATED,
    TcbStatus.REVOKED: CONTRAINDICATED,
    TcbStatus.BELOW_EVERY_LEVEL: CONTRAINDICATED,
}
_WEAKNESSES = {
    Weakness.DEBUG: "its debug mode is on, so the host can read and change it",
    Weakness.MIGRATABLE: "a migration agent may move it to another machine",
    Weakness.HOST_REQUESTED: "the report was requested by the hypervisor, not by the guest",
    Weakness.SERVICE_TD: "a service domain is bound to it that no reference value names",
    Weakness.ATTRIBUTES: "its attributes are reserved, or leave page faults to the host",
}


class ReferenceValues(Value):
    """What is expected: hex measurements that are approved, signers of enclaves, and machines. None: not appraised."""

    measurements: frozenset[str] | None = None
    signers: frozenset[str] | None = None
    platform_ids: frozenset[str] | None = None


class AppraisalPolicy(Value):
    """What a relying party accepts.

    `policy_id` is repeated in the result. `roots` are SPKI hashes (hex) that count beside the vendors'; another root is
    contraindicated.
    """

    policy_id: str
    roots: frozenset[str] = frozenset()
    advisories_refused: frozenset[str] = frozenset()
    revocation_required: bool = False
    maximum_collateral_age_s: int | None = None
    warning_accepted: bool = True


class AttestationResult(Value):
    """An appraisal. `reason` is None when it affirms; `not_appraised` names what nothing was expected of."""

    status: Tier
    trust_vector: TrustVector
    evidence_class: EvidenceClass | None
    platform_id: str | None
    reason: str | None
    not_appraised: tuple[str, ...]
    policy_ids: tuple[str, ...] = ()


_CRYPTOGRAPHIC = frozenset({Refusal.SIGNATURE, Refusal.ENDORSEMENT_SIGNATURE, Refusal.UNTRUSTED_ROOT, Refusal.REVOKED})

Finding = tuple[str, int, str | None]
"""A claim of the vector, its value, and why it is not affirming."""


def appraise(
    claims: VerifiedClaims,
    reference: ReferenceValues | None = None,
    policy: AppraisalPolicy | None = None,
    nonce: bytes | None = None,
) -> AttestationResult:
    """Judge verified claims.

    Args:
        claims: what the verifier proved.
        reference: what is expected of code and machine; without it only the hardware is judged.
        policy: what is accepted; without it every root that the verifier took is.
        nonce: what report_data must be, up to 64 bytes, zeros behind it.

    Raises:
        MalformedError: when the nonce is empty or longer than 64 bytes.
    """
    found = [*_hardware(claims), *_expected(claims, reference or ReferenceValues()), *_freshness(claims, nonce)]
    if policy is not None:
        found += _policy(claims, policy)
    vector = TrustVector()
    for name, value, _ in found:
        worst = max(value, getattr(vector, name) or 0)
        vector = vector.model_copy(update={name: worst})
    reasons = [reason for _, value, reason in sorted(found, key=_value, reverse=True) if reason is not None]
    status = vector.tier()
    if policy is not None and not policy.warning_accepted and status is Tier.WARNING:
        status = weakest(status, Tier.CONTRAINDICATED)
        reasons.insert(0, "the policy accepts no warnings")
    return AttestationResult(
        status=status,
        trust_vector=vector,
        evidence_class=claims.evidence_class,
        platform_id=claims.platform_id,
        reason="; ".join(reasons) or None,
        not_appraised=_not_appraised(claims, reference or ReferenceValues(), nonce),
        policy_ids=() if policy is None else (policy.policy_id,),
    )


def rejected(refusal: Refusal, text: str) -> AttestationResult:
    """Return the result for evidence of which nothing was proved. A revoked chain is worse than unproved."""
    return AttestationResult(
        status=Tier.CONTRAINDICATED if refusal is Refusal.REVOKED else Tier.REJECTED,
        trust_vector=TrustVector(hardware=CRYPTO_FAILED if refusal in _CRYPTOGRAPHIC else None),
        evidence_class=None,
        platform_id=None,
        reason=text,
        not_appraised=(),
    )


def _hardware(claims: VerifiedClaims) -> list[Finding]:
    value = _HARDWARE[claims.tcb_status]
    text = None if value == TRUSTED else f"tcb: the vendor calls this platform {claims.tcb_status}"
    if text is not None and claims.advisories:
        text = f"{text} ({', '.join(claims.advisories)})"
    found: list[Finding] = [("hardware", value, text)]
    found += [("hardware", CONTRAINDICATED, f"{weak}: {_WEAKNESSES[weak]}") for weak in claims.weaknesses]
    if Weakness.DEBUG in claims.weaknesses:
        found.append(("runtime_opaque", CONTRAINDICATED, None))
    return found


def _expected(claims: VerifiedClaims, reference: ReferenceValues) -> list[Finding]:
    found: list[Finding] = []
    if reference.measurements is not None:
        known = claims.measurement in reference.measurements
        text = None if known else "measurement: the code is not one of the reference values"
        found.append(("executables", TRUSTED if known else UNRECOGNISED, text))
    if reference.signers is not None:
        known = getattr(claims.environment, "mr_signer", None) in reference.signers
        text = None if known else "signer: the code's signer is not one of the reference values"
        found.append(("executables", TRUSTED if known else UNRECOGNISED, text))
    if reference.platform_ids is not None:
        known = claims.platform_id is not None and claims.platform_id in reference.platform_ids
        text = None if known else "machine: it is not one that was expected"
        found.append(("instance_identity", TRUSTED if known else UNRECOGNISED, text))
    return found


def _freshness(claims: VerifiedClaims, nonce: bytes | None) -> list[Finding]:
    if nonce is None:
        return []
    if not 0 < len(nonce) <= REPORT_DATA_BYTES:
        raise MalformedError(f"a nonce is 1 to {REPORT_DATA_BYTES} bytes, not {len(nonce)}")
    if nonce.ljust(REPORT_DATA_BYTES, b"\0").hex() == claims.report_data:
        return []
    return [("instance_identity", UNRECOGNISED, "nonce: report_data answers another nonce")]


def _policy(claims: VerifiedClaims, policy: AppraisalPolicy) -> list[Finding]:
    found: list[Finding] = []
    if claims.evidence_class is not EvidenceClass.VENDOR and claims.root not in policy.roots:
        text = "root: it is no vendor's, and the policy does not name it"
        found.append(("hardware", UNRECOGNISED, text))
    refused = sorted(policy.advisories_refused.intersection(claims.advisories))
    if refused:
        found.append(("hardware", CONTRAINDICATED, f"advisory: the policy refuses {', '.join(refused)}"))
    if policy.revocation_required and not claims.revocation:
        found.append(("hardware", CONTRAINDICATED, "revocation: no revocation list was given"))
    oldest = policy.maximum_collateral_age_s
    if oldest is not None:
        issued = claims.collateral_issued_s
        if issued is None or claims.verified_at_s - issued > oldest:
            found.append(("hardware", CONTRAINDICATED, f"collateral: it is older than {oldest} s, or there is none"))
    return found


def _not_appraised(claims: VerifiedClaims, reference: ReferenceValues, nonce: bytes | None) -> tuple[str, ...]:
    left = []
    if reference.measurements is None and reference.signers is None:
        left.append("reference_values")
    if reference.platform_ids is None:
        left.append("platform")
    if nonce is None:
        left.append("nonce")
    if not claims.revocation:
        left.append("revocation")
    return tuple(left)


def _value(finding: Finding) -> int:
    return finding[1]
