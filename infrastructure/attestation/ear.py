"""Attestation results as signed EAR (draft-ietf-rats-ear, profile of its third revision; EAT, RFC 9711; JWS, RFC 7515).

Invariants:
- Header exactly {"alg":"Ed25519","kid":<RFC 7638 thumbprint>,"typ":"eat+jwt"}; both parts are JCS bytes, parsed,
  printed again and compared. Who verifies says which keys it trusts; nothing in the token adds one.
- Evidence class, platform id and the evidence's key stand under the signature, and the status in the token is never
  better than its vector's.
- `rejected` is no tier of an EAR: it is written as contraindicated, without a platform or a class.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from domain.attestation.appraiser import AttestationResult
from domain.attestation.claims import EvidenceClass, VerifiedClaims
from domain.attestation.trust_vector import Tier, TrustVector, weakest
from domain.canonical import canonical
from domain.errors import MalformedError, NotAuthorisedError
from infrastructure.keys import base64url, ed25519
from infrastructure.keys.plaintext import decode_json, encode_json
from infrastructure.keys.thumbprint import thumbprint

PROFILE = "tag:ietf.org,2026:rats/ear#03"
TYPE = "eat+jwt"
DEVELOPER = "https://enclave-ledger.example"
MAX_TOKEN_BYTES = 16_384

_EAT_NONCE_BYTES = range(8, 65)
_MEMBERS = {"eat_profile", "iat", "ear_verifier_id", "submods"}
_APPRAISAL = {"ear_status", "ear_trustworthiness_vector", "ledger_not_appraised"}
_OPTIONAL = {
    "ear_appraisal_policy_ids",
    "ledger_evidence_class",
    "ledger_evidence_key",
    "ledger_platform_id",
    "ledger_reason",
    "ledger_root",
}
_PARTS = 3


@dataclass(frozen=True, slots=True)
class Ear:
    """An attestation result as its token says: which submodule, when, for which nonce and evidence."""

    submodule: str
    status: Tier
    trust_vector: TrustVector
    issued_at_s: int
    nonce: bytes | None
    evidence_class: EvidenceClass | None
    platform_id: str | None
    evidence_key: str | None
    root: str | None
    reason: str | None
    not_appraised: tuple[str, ...]
    policy_ids: tuple[str, ...]


class EarSigner:
    """Signs attestation results with one key, for who signs hundreds a second.

    Args:
        key: the verifier's, for this and nothing else.
        build: version of this program.
    """

    def __init__(self, key: Ed25519PrivateKey, build: str) -> None:
        self._sign = ed25519.signer(key)
        self._build = build
        kid = thumbprint(ed25519.public_bytes(key))
        self._header = base64url.encode(canonical({"alg": "Ed25519", "kid": kid, "typ": TYPE}))

    def sign(
        self,
        result: AttestationResult,
        claims: VerifiedClaims | None,
        *,
        issued_at_s: int,
        nonce: bytes | None = None,
    ) -> str:
        """Return the token (compact JWS) of a result.

        Args:
            result: what the appraiser said.
            claims: what it was said of; None for rejected evidence.
            issued_at_s: the instant of the appraisal, seconds since 1970.
            nonce: what the evidence had to answer; one of less than 8 bytes is left out, as EAT has none so short.
        """
        payload: dict[str, Any] = {
            "eat_profile": PROFILE,
            "iat": issued_at_s,
            "ear_verifier_id": {"build": self._build, "developer": DEVELOPER},
            "submods": {"unknown" if claims is None else claims.format.value: _appraisal(result, claims)},
        }
        if nonce is not None and len(nonce) in _EAT_NONCE_BYTES:
            payload["eat_nonce"] = base64url.encode(nonce)
        signing_input = f"{self._header}.{base64url.encode(encode_json(payload))}"
        return f"{signing_input}.{base64url.encode(self._sign(signing_input.encode('ascii')))}"


def _appraisal(result: AttestationResult, claims: VerifiedClaims | None) -> dict[str, Any]:
    status = Tier.CONTRAINDICATED if result.status is Tier.REJECTED else result.status
    appraisal: dict[str, Any] = {
        "ear_status": status.value,
        "ear_trustworthiness_vector": result.trust_vector.members(),
        "ledger_not_appraised": list(result.not_appraised),
    }
    if result.policy_ids:
        appraisal["ear_appraisal_policy_ids"] = list(result.policy_ids)
    if result.reason is not None:
        appraisal["ledger_reason"] = result.reason
    if claims is not None:
        appraisal["ledger_evidence_class"] = claims.evidence_class.value
        appraisal["ledger_evidence_key"] = claims.evidence_key
        appraisal["ledger_root"] = claims.root
        if claims.platform_id is not None:
            appraisal["ledger_platform_id"] = claims.platform_id
    return appraisal


def verify_ear(token: str, keys: Mapping[str, bytes]) -> Ear:
    """Return what a token says, signed by one of the verifiers' keys (32 bytes, by thumbprint).

    Raises:
        MalformedError: when it is not of the one shape.
        NotAuthorisedError: when no such key signed it.
    """
    kid, ear = read_ear(token)
    public = keys.get(kid)
    if public is None or thumbprint(public) != kid:
        raise NotAuthorisedError("no trusted verifier's key has the thumbprint of this attestation result")
    signing_input, _, signature = token.rpartition(".")
    ed25519.verify(public, base64url.decode(signature), signing_input.encode("ascii"))
    return ear


def read_ear(token: str) -> tuple[str, Ear]:
    """Return a token's key (thumbprint) and what it says; nothing of it is verified.

    Raises:
        MalformedError: when it is not of the one shape.
    """
    parts = token.split(".") if len(token) <= MAX_TOKEN_BYTES else []
    if len(parts) != _PARTS:
        raise MalformedError("an attestation result is not a compact JWS of bounded length")
    header, payload = (decode_json(base64url.decode(part)) for part in parts[:2])
    if not isinstance(header, dict) or header.keys() != {"alg", "kid", "typ"} or header["alg"] != "Ed25519":
        raise MalformedError("an attestation result's header is not exactly alg Ed25519, kid and typ")
    if header["typ"] != TYPE or not isinstance(header["kid"], str):
        raise MalformedError(f"an attestation result's type is not {TYPE}")
    return header["kid"], _read(payload)


def _read(payload: object) -> Ear:
    if not isinstance(payload, dict) or not _MEMBERS <= payload.keys() <= _MEMBERS | {"eat_nonce"}:
        raise MalformedError("an attestation result lacks a member, or has one that is not known here")
    submods = payload["submods"]
    if payload["eat_profile"] != PROFILE or not isinstance(submods, dict) or len(submods) != 1:
        raise MalformedError("an attestation result is of another profile, or not of one attester")
    ((name, appraisal),) = submods.items()
    if not isinstance(appraisal, dict) or not _APPRAISAL <= appraisal.keys() <= _APPRAISAL | _OPTIONAL:
        raise MalformedError("an appraisal lacks a member, or has one that is not known here")
    try:
        members = {claim.replace("-", "_"): value for claim, value in appraisal["ear_trustworthiness_vector"].items()}
        vector = TrustVector.model_validate(members)
        status = Tier(appraisal["ear_status"])
        named = appraisal.get("ledger_evidence_class")
        ear = Ear(
            submodule=name,
            status=status,
            trust_vector=vector,
            issued_at_s=_whole(payload["iat"]),
            nonce=base64url.decode(payload["eat_nonce"]) if "eat_nonce" in payload else None,
            evidence_class=None if named is None else EvidenceClass(named),
            platform_id=_text(appraisal.get("ledger_platform_id")),
            evidence_key=_text(appraisal.get("ledger_evidence_key")),
            root=_text(appraisal.get("ledger_root")),
            reason=_text(appraisal.get("ledger_reason")),
            not_appraised=tuple(appraisal["ledger_not_appraised"]),
            policy_ids=tuple(appraisal.get("ear_appraisal_policy_ids", ())),
        )
    except (ValueError, TypeError, AttributeError):
        raise MalformedError("an appraisal's member is not of its kind") from None
    if status is Tier.REJECTED or weakest(status, vector.tier()) is not status:
        raise MalformedError("an appraisal's status is better than its weakest claim, or none that there is")
    return ear


def _text(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError
    return value


def _whole(value: object) -> int:
    if type(value) is not int or value < 0:
        raise TypeError
    return value
