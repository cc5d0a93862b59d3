"""Verifies SGX and TDX quotes with `dcap-qvl`, whose every refusal gets its kind here.

Invariants:
- A quote is good only if `dcap-qvl` says so, under the root that counts, and its collateral holds at the instant.
- Texts of `dcap-qvl` are read here and nowhere else; one that is not known is a refusal all the same.
- It looks at debug attributes and at the platform's level after every signature, so quotes that fail there are genuine:
  they are claims with a weakness, which the appraiser judges.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import orjson
from dcap_qvl import Quote, QuotePolicy, QuoteVerifier

from domain.attestation.claims import CollateralNumber, EvidenceFormat, TcbStatus, VerifiedClaims, Weakness
from domain.attestation.refusal import EvidenceRefusedError, Refusal
from infrastructure.attestation.certificates import spki
from infrastructure.attestation.endorsements import Endorsements
from infrastructure.attestation.intel_collateral import (
    Collateral,
    Platform,
    label,
    linked_pck_chain,
    pck_chain,
    platform,
    read_collateral,
)
from infrastructure.attestation.quote_body import Body, read_body
from infrastructure.attestation.recognise import Evidence
from infrastructure.attestation.revocation import check_not_revoked
from infrastructure.attestation.roots import VENDORS, Root, Roots

MAX_COLLATERALS = 16

_CERTIFIED_AT = 4 + 64 + 64
"""Behind header and body: length, signature and key come first."""
_QE_REPORT_DATA = 6

_EXPIRY = ("earliest_expiration_date", "qe_iden_earliest_expiration_date")
_TEES = {EvidenceFormat.SGX_V3: "SGX", EvidenceFormat.TDX_V4: "TDX", EvidenceFormat.TDX_V5: "TDX"}
_GENUINE: tuple[tuple[str, Weakness | TcbStatus], ...] = (
    ("No matching TCB level found", TcbStatus.BELOW_EVERY_LEVEL),
    ("is below minimum required from TDX module TCB levels", TcbStatus.BELOW_EVERY_LEVEL),
    ("TCB status is invalid: Revoked", TcbStatus.REVOKED),
    ("Verification failed: Debug mode is enabled", Weakness.DEBUG),
    ("Invalid MR service TD", Weakness.SERVICE_TD),
    ("Reserved bits in TD attributes are set", Weakness.ATTRIBUTES),
    ("SEPT_VE_DISABLE is not enabled", Weakness.ATTRIBUTES),
)
"""Texts of what is looked at after all signatures."""
_REFUSALS: tuple[tuple[str, Refusal], ...] = (
    ("Failed to decode quote", Refusal.MALFORMED),
    ("Unsupported", Refusal.UNSUPPORTED),
    ("Unknown QE vendor ID", Refusal.UNSUPPORTED),
    ("ISV enclave report signature is invalid", Refusal.SIGNATURE),
    ("QE report hash mismatch", Refusal.SIGNATURE),
    ("Signature is invalid for qe_report", Refusal.SIGNATURE),
    ("Invalid QE auth data length", Refusal.SIGNATURE),
    ("Signature is invalid for tcb_info", Refusal.ENDORSEMENT_SIGNATURE),
    ("Signature is invalid for qe_identity", Refusal.ENDORSEMENT_SIGNATURE),
    ("Invalid key length", Refusal.ENDORSEMENT_SIGNATURE),
    ("issue date is in the future", Refusal.NOT_YET_VALID),
    ("expired", Refusal.EXPIRED),
    ("CrlExpired", Refusal.EXPIRED),
    ("CertRevoked", Refusal.REVOKED),
    ("Failed to verify certificate chain", Refusal.ENDORSEMENT_SIGNATURE),
    ("Certificate chain is too short", Refusal.INCOMPLETE),
    ("Failed to parse", Refusal.MALFORMED),
    ("Failed to decode", Refusal.MALFORMED),
    ("Fmspc mismatch", Refusal.MISMATCH),
    ("TCB info in the collateral", Refusal.MISMATCH),
    ("QE ", Refusal.QUOTING_ENCLAVE),
    ("TDX module", Refusal.MISMATCH),
)


def verify_quote(evidence: Evidence, endorsements: Endorsements, at_s: int, roots: Roots) -> VerifiedClaims:
    """Verify a quote against endorsements, at an instant.

    Raises:
        EvidenceRefusedError: when it doesn't verify, with the kind.
    """
    if not endorsements.collateral:
        raise EvidenceRefusedError(Refusal.NO_ENDORSEMENTS, "no collateral of Intel's was given")
    if roots.intel is None:
        raise EvidenceRefusedError(Refusal.UNTRUSTED_ROOT, "no root that counts is one of SGX and TDX")
    embedded = _embedded_chain(evidence)
    fmspc = platform(embedded).fmspc
    if embedded and not fmspc:
        linked_pck_chain(embedded, roots.intel)
        raise EvidenceRefusedError(Refusal.MISMATCH, "the platform's certificate does not name its kind")
    refused: EvidenceRefusedError | None = None
    for text in _fitting(endorsements.collateral, _TEES[evidence.format], fmspc):
        try:
            return _verify(evidence, embedded, text, endorsements, at_s, roots.intel)
        except EvidenceRefusedError as error:
            refused = refused or error
    raise refused or EvidenceRefusedError(Refusal.MISMATCH, "no collateral is for this kind of platform")


def kind_of_platform(evidence: Evidence) -> tuple[str, str]:
    """Return what collateral is made for: SGX or TDX, and the platform's FMSPC (hex), as the quote's own chain says."""
    return _TEES[evidence.format], platform(_embedded_chain(evidence)).fmspc


def fitting(evidence: Evidence, endorsements: Endorsements) -> str:
    """Return the newest collateral for a quote's kind of platform; empty where there is none."""
    return next(_fitting(endorsements.collateral, *kind_of_platform(evidence)), "")


def _verify(evidence: Evidence, embedded: str, text: str, given: Endorsements, at_s: int, root: Root) -> VerifiedClaims:
    collateral = read_collateral(text, root)
    collateral.checked.check(at_s)
    own = embedded if collateral.pck_chain is None else collateral.pck_chain
    chain = pck_chain(own, collateral, root)
    chain.check(at_s)
    if given.crls:
        issuers = [*(spki(one.public_key()) for one in chain.certificates[1:]), root.spki]
        check_not_revoked(tuple(zip(chain.certificates, issuers, strict=True)), given.crls, at_s)
    body = read_body(evidence)
    try:
        verified = _verifier(root).verify_with_policy(
            evidence.raw, collateral.parsed, at_s, QuotePolicy.claims_only(at_s)
        )
    except ValueError as error:
        return _genuine(str(error), evidence, platform(own), collateral, body, at_s, root)
    proved = orjson.loads(verified.to_json())
    _check_instant(proved, at_s)
    return VerifiedClaims(
        format=evidence.format,
        evidence_class=root.evidence_class,
        root=root.spki_sha256,
        platform_id=platform(own).platform_id,
        measurement=body.measurement,
        report_data=body.report_data,
        environment=body.environment,
        tcb_status=TcbStatus(proved["tcb"]["status"]),
        advisories=tuple(proved["tcb"]["advisory_ids"]),
        weaknesses=body.weaknesses,
        collateral=_numbers(collateral, root, proved),
        collateral_issued_s=collateral.issued_s,
        revocation=True,
        evidence_key=evidence.key,
        verified_at_s=at_s,
        fresh_until_s=min(
            *_ends(collateral), proved["earliest_expiration_date"], proved["qe_iden_earliest_expiration_date"]
        ),
    )


def _genuine(
    text: str, evidence: Evidence, machine: Platform, collateral: Collateral, body: Body, at_s: int, root: Root
) -> VerifiedClaims:
    """Return the claims of a quote that was refused after all its signatures held, or raise the refusal's kind."""
    why = next((kind for words, kind in _GENUINE if words in text), None)
    if why is None:
        kind = next((kind for words, kind in _REFUSALS if words in text), Refusal.SIGNATURE)
        raise EvidenceRefusedError(kind, text.removeprefix("Verification failed: ")[:160])
    weaknesses = body.weaknesses
    if isinstance(why, Weakness) and why not in weaknesses:
        weaknesses = (*weaknesses, why)
    return VerifiedClaims(
        format=evidence.format,
        evidence_class=root.evidence_class,
        root=root.spki_sha256,
        platform_id=machine.platform_id,
        measurement=body.measurement,
        report_data=body.report_data,
        environment=body.environment,
        tcb_status=why if isinstance(why, TcbStatus) else None,
        advisories=(),
        weaknesses=weaknesses,
        collateral=_numbers(collateral, root, None),
        collateral_issued_s=collateral.issued_s,
        revocation=True,
        evidence_key=evidence.key,
        verified_at_s=at_s,
        fresh_until_s=min(_ends(collateral)),
    )


def _fitting(texts: tuple[str, ...], tee: str, fmspc: str) -> Iterator[str]:
    """Yield the collaterals for a kind of platform, the newest first; all that are damaged come last.

    A quote without a chain tells no kind: then each of its TEE may bring the chain.
    """
    labels = [(label(text), text) for text in texts]
    own = [
        (number, issued, text) for (kind, code, number, issued), text in labels if kind == tee and fmspc in {code, ""}
    ]
    damaged = [text for (kind, _, _, _), text in labels if not kind]
    newest = [text for _, _, text in sorted(own, reverse=True)]
    yield from [*newest, *damaged][:MAX_COLLATERALS]


def _embedded_chain(evidence: Evidence) -> str:
    """Return the certificate chain (PEM) in a quote's signature data, empty where it has none.

    From version 4 on it lies within the quoting enclave's data, whose type `dcap-qvl` takes for granted.
    """
    if evidence.format is not EvidenceFormat.SGX_V3:
        kind = evidence.raw[evidence.signed_bytes + _CERTIFIED_AT :][:2]
        if int.from_bytes(kind, "little") != _QE_REPORT_DATA:
            raise EvidenceRefusedError(Refusal.UNSUPPORTED, "the quote's key is certified in an unknown way")
    try:
        return bytes(Quote.parse(evidence.raw).cert_chain_pem_bytes() or b"").decode("ascii", "replace")
    except ValueError:
        raise EvidenceRefusedError(Refusal.MALFORMED, "the quote cannot be taken apart") from None


def _numbers(collateral: Collateral, root: Root, proved: dict[str, Any] | None) -> tuple[CollateralNumber, ...]:
    numbers = {f"tcb:{collateral.tee}:{collateral.fmspc}": collateral.evaluation}
    if proved is not None:
        numbers[f"qe:{collateral.qe}"] = proved["qe"]["tcb_eval_data_number"]
        numbers[f"crl:{collateral.pck_crl_issuer}"] = proved["platform"]["pck_crl_num"]
        numbers["crl:root"] = proved["platform"]["root_ca_crl_num"]
    return tuple(
        CollateralNumber(source=f"{source}@{root.spki_sha256}", number=number) for source, number in numbers.items()
    )


def _ends(collateral: Collateral) -> list[int]:
    return [window.end_s for window in collateral.checked.windows]


def _check_instant(proved: dict[str, Any], at_s: int) -> None:
    """Hold the instant against the windows that `dcap-qvl` found, whatever its policy does with them."""
    if at_s < max(proved["latest_issue_date"], proved["qe_iden_latest_issue_date"]):
        raise EvidenceRefusedError(Refusal.NOT_YET_VALID, "a part of the collateral was issued after that instant")
    if at_s > min(proved[name] for name in _EXPIRY):
        raise EvidenceRefusedError(Refusal.EXPIRED, "a part of the collateral had expired at that instant")


@lru_cache(maxsize=16)
def _verifier(root: Root) -> QuoteVerifier:
    """Return the verifier under a root; Intel's own root is the one that the library brings."""
    return QuoteVerifier(None if root.spki_sha256 in VENDORS else root.certificate)
