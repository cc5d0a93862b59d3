"""What a CAC proves by itself, without its log: its proof, its blocks, its binding, and who certified its key."""

from dataclasses import dataclass

from domain.cacs.claims import CacClaims, CacRefusedError, Refusal, read_claims, require_agreement
from domain.time import SECOND_MS
from infrastructure.cacs.presented import Presented, refusing
from infrastructure.credentials.data_integrity import verify_proof
from infrastructure.keys import did_key
from infrastructure.keys.thumbprint import thumbprint
from infrastructure.statements import jws
from infrastructure.statements.certificate import read_certificate, verify_certificate

_PROOF = "the enclave's proof (eddsa-jcs-2022) by the did:key of the CAC key, over every member, for this log and nonce"
_BLOCKS = "tenant blocks agree: scope, host, output address, execution ids; the execution id follows from them"
_BINDING = "report_data follows from the CAC's own members"
_CERTIFICATE = "the attestation key's certificate over the CAC key: for this log, execution, report_data and evidence"
_SIGNED = "signed by attestation key "


@dataclass(frozen=True, slots=True)
class Alone:
    """A CAC that stands by itself: its claims, what was checked, and what could not be."""

    claims: CacClaims
    checked: tuple[str, ...]
    not_checked: tuple[str, ...]


def check_alone(presented: Presented, *, tenant_key: bytes | None, at_ms: int | None) -> Alone:
    """Check a CAC over itself.

    Args:
        presented: the CAC, with the attestation key that its form carries.
        tenant_key: the tenant's attestation key (32 bytes) from elsewhere, or None.
        at_ms: the instant as of which it is asked about; None for any.

    Raises:
        CacRefusedError: with its reason.
    """
    claims = read_claims(presented.document)
    require_agreement(claims)
    with refusing(Refusal.PROOF):
        _verify_proof(presented, claims, None)
    if at_ms is not None:
        with refusing(Refusal.TIME):
            _verify_proof(presented, claims, at_ms)
    if None not in (tenant_key, presented.attestation_key) and tenant_key != presented.attestation_key:
        raise CacRefusedError(Refusal.ISSUER, "it was exported under another attestation key than the tenant's")
    public = tenant_key or presented.attestation_key
    with refusing(Refusal.CERTIFICATE):
        certificate = read_certificate(claims.certificate, origin=claims.scope, claims=claims.certified())
        if public is not None:
            verify_certificate(
                claims.certificate, origin=claims.scope, claims=claims.certified(), attestation_key=public
            )
    if at_ms is not None and certificate.payload["iat"] * SECOND_MS > at_ms + jws.CLOCK_SKEW_S * SECOND_MS:
        raise CacRefusedError(Refusal.TIME, "the enclave's key was certified later than that")
    told = f"{_CERTIFICATE}; {_SIGNED}{certificate.kid}" if public else f"{_CERTIFICATE} (not its signature)"
    return Alone(claims, (*presented.checked, _PROOF, _BLOCKS, _BINDING, told), _left(public, certificate.kid))


def _verify_proof(presented: Presented, claims: CacClaims, at_ms: int | None) -> None:
    verify_proof(
        presented.document,
        at_ms=at_ms,
        controller=did_key.did_key(bytes.fromhex(claims.cac_key)),
        domain=claims.scope,
        challenge=claims.nonce,
    )


def _left(public: bytes | None, kid: str) -> tuple[str, ...]:
    if public is not None:
        return (f"whose attestation key {thumbprint(public)} is: the tenant's registration tells",)
    where = "--tenant-key, a bundle, or the CAC exported as vc or scitt"
    return (f"the certificate's signature: attestation key {kid} did not come along ({where})",)
