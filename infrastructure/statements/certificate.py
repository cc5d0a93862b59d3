"""The certificate of an enclave: the tenant's attestation key over the CAC key of one execution (wire formats 6).

Invariants:
- It is one `ledger-endorsement+jwt` for the tenant's own log; another DAO's attestation key never certifies here.
- It names execution, key, report_data and evidence: a certificate of another enclave does not fit.
"""

from collections.abc import Mapping
from typing import Any

from domain.errors import MalformedError, NotAuthorisedError
from infrastructure.keys.thumbprint import thumbprint
from infrastructure.statements import jws


def read_certificate(token: str, *, origin: str, claims: Mapping[str, Any]) -> jws.Statement:
    """Return a certificate whose signature is NOT verified: for this log, over exactly these claims.

    Args:
        token: the certificate.
        origin: the tenant's log.
        claims: `act`, `execution`, `cac_key`, `report_data` and `evidence_digest` as they must be.

    Raises:
        MalformedError: when it is no statement.
        NotAuthorisedError: when it is of another type, for another log, or says something else.
    """
    statement = jws.parse(token)
    if statement.typ != jws.ENDORSEMENT or statement.payload["aud"] != origin:
        raise NotAuthorisedError("the certificate is no endorsement for this tenant's log")
    said = {name: value for name, value in statement.payload.items() if name not in _REGISTERED}
    if said.keys() != claims.keys():
        raise MalformedError("the certificate does not say exactly what a certificate says")
    differs = next((name for name in sorted(claims) if said[name] != claims[name]), None)
    if differs is not None:
        raise NotAuthorisedError(f"the certificate is of another enclave: its {differs} differs")
    return statement


def verify_certificate(token: str, *, origin: str, claims: Mapping[str, Any], attestation_key: bytes) -> None:
    """Check a certificate by the tenant's attestation key (32 bytes). Other arguments as for `read_certificate`.

    Raises:
        MalformedError: when it is no statement.
        NotAuthorisedError: when another key signed it, or it says something else.
    """
    read_certificate(token, origin=origin, claims=claims)
    keys = {thumbprint(attestation_key): attestation_key}
    try:
        jws.verify(token, typ=jws.ENDORSEMENT, keys=keys, aud=origin, now_s=None)
    except NotAuthorisedError:
        raise NotAuthorisedError("the enclave's key was not certified by this tenant's attestation key") from None


_REGISTERED = frozenset({"iss", "aud", "jti", "iat", "exp"})
