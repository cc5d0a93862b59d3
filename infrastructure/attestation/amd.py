"""Verifies SEV-SNP reports of Milan and Genoa: root <- ASK <- VCEK or VLEK <- report (AMD 57230, VCEK and KDS).

Invariants:
- The chain ends at a root key of `Roots`; a root certificate among the endorsements is never trusted, only explained.
- The endorsement key's TCB extensions equal reported_tcb, and its hardware id the chip_id [a key of another machine, or
  of older firmware, under this report]. A chip_id of zero is masked: the report then names no machine.
- Revocation is looked at last, so that `revoked` is said of evidence that is genuine otherwise.
"""

from dataclasses import dataclass
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384

from domain.attestation.claims import CollateralNumber, SnpClaims, VerifiedClaims, Weakness
from domain.attestation.refusal import EvidenceRefusedError, Refusal
from infrastructure.attestation import vek_extensions
from infrastructure.attestation.certificates import (
    is_ca,
    name_of,
    public_key,
    signed_by,
    spki,
    spki_sha256,
    window_of,
)
from infrastructure.attestation.endorsements import Endorsements
from infrastructure.attestation.recognise import Evidence
from infrastructure.attestation.revocation import check_not_revoked
from infrastructure.attestation.roots import ARK_GENOA, ARK_MILAN, Root, Roots
from infrastructure.attestation.snp_report import SnpReport, parse_report

_GUEST_VMPLS = range(4)
_PRODUCTS = {ARK_MILAN: "Milan", ARK_GENOA: "Genoa"}
_COMMON_NAMES = {"VCEK": "SEV-VCEK", "VLEK": "SEV-VLEK"}


@dataclass(frozen=True, slots=True)
class Chain:
    """A verified chain: endorsement key, its signer, the root; `links` pair each certificate with its issuer's SPKI."""

    vek: x509.Certificate
    ask: x509.Certificate
    root: Root
    links: tuple[tuple[x509.Certificate, bytes], ...]


def verify_snp(evidence: Evidence, endorsements: Endorsements, at_s: int, roots: Roots) -> VerifiedClaims:
    """Verify a report against endorsements, at an instant.

    Raises:
        EvidenceRefusedError: when it doesn't verify, with the kind.
    """
    report = parse_report(evidence.raw)
    veks = [one for one in endorsements.certificates if vek_extensions.is_endorsement_key(one)]
    if not endorsements.certificates:
        raise EvidenceRefusedError(Refusal.NO_ENDORSEMENTS, "no certificate of the processor's key was given")
    if not veks:
        raise EvidenceRefusedError(Refusal.INCOMPLETE, "no VCEK or VLEK is among the certificates")
    refused: EvidenceRefusedError | None = None
    for vek in veks if len(veks) == 1 else sorted(veks, key=lambda one: not _fits(one, report)):
        try:
            return _verify(evidence, report, vek, endorsements, at_s, roots)
        except EvidenceRefusedError as error:
            refused = refused or error
    raise refused or EvidenceRefusedError(Refusal.INCOMPLETE, "no VCEK or VLEK is among the certificates")


def fitting(evidence: Evidence, endorsements: Endorsements) -> tuple[x509.Certificate, ...]:
    """Return, of some certificates, the report's key and those that may have issued it."""
    report = parse_report(evidence.raw)
    given = endorsements.certificates
    veks = [one for one in given if vek_extensions.is_endorsement_key(one) and _fits(one, report)]
    issuers = {vek.issuer for vek in veks}
    return (*veks, *(one for one in given if one.subject in issuers))


def _verify(
    evidence: Evidence, report: SnpReport, vek: x509.Certificate, given: Endorsements, at_s: int, roots: Roots
) -> VerifiedClaims:
    vek_extensions.refuse_turin(vek)
    chain = _chain(vek, given.certificates, roots.amd)
    product = vek_extensions.product(vek)
    if report.product not in {None, product}:
        raise EvidenceRefusedError(Refusal.MISMATCH, f"the report is {report.product}'s, its key {product}'s")
    if _PRODUCTS.get(chain.root.spki_sha256, product) != product:
        raise EvidenceRefusedError(Refusal.MISMATCH, f"a key of {product} under {chain.root.name}")
    _check_key(report, vek)
    windows = [chain.root.window, window_of(chain.ask), window_of(vek)]
    for window in windows:
        window.check(at_s)
    _check_signature(evidence.signed, report, vek)
    crls = check_not_revoked(chain.links, given.crls, at_s)
    windows += [crl.window for crl in crls]
    return VerifiedClaims(
        format=evidence.format,
        evidence_class=chain.root.evidence_class,
        root=chain.root.spki_sha256,
        platform_id=f"amd:{report.chip_id.hex()}" if any(report.chip_id) else None,
        measurement=report.measurement.hex(),
        report_data=report.report_data.hex(),
        environment=_environment(report, product),
        tcb_status=None,
        advisories=(),
        weaknesses=_weaknesses(report),
        collateral=tuple(
            CollateralNumber(source=f"crl:{chain.root.spki_sha256}:{crl.issuer}", number=crl.number) for crl in crls
        ),
        collateral_issued_s=min((crl.window.begin_s for crl in crls), default=None),
        revocation=bool(crls),
        evidence_key=evidence.key,
        verified_at_s=at_s,
        fresh_until_s=min(window.end_s for window in windows),
    )


def _weaknesses(report: SnpReport) -> tuple[Weakness, ...]:
    found = (
        (report.debug, Weakness.DEBUG),
        (report.migratable, Weakness.MIGRATABLE),
        (report.vmpl not in _GUEST_VMPLS, Weakness.HOST_REQUESTED),
    )
    return tuple(weakness for holds, weakness in found if holds)


def _environment(report: SnpReport, product: str) -> SnpClaims:
    return SnpClaims(
        version=report.version,
        product=product,
        signing_key=report.signing_key,
        guest_svn=report.guest_svn,
        policy=report.policy,
        vmpl=report.vmpl,
        measurement=report.measurement.hex(),
        host_data=report.host_data.hex(),
        family_id=report.family_id.hex(),
        image_id=report.image_id.hex(),
        id_key_digest=report.id_key_digest.hex(),
        author_key_digest=report.author_key_digest.hex(),
        report_id=report.report_id.hex(),
        reported_tcb=report.reported_tcb.hex(),
        committed_tcb=report.committed_tcb.hex(),
        current_tcb=report.current_tcb.hex(),
        platform_info=report.platform_info,
    )


def _fits(vek: x509.Certificate, report: SnpReport) -> bool:
    """Tell whether a key is the one that a report names, to try it first."""
    try:
        _check_key(report, vek)
    except EvidenceRefusedError:
        return False
    return True


def _check_key(report: SnpReport, vek: x509.Certificate) -> None:
    """Hold an endorsement key's name and extensions against the report."""
    if name_of(vek) != _COMMON_NAMES[report.signing_key]:
        raise EvidenceRefusedError(
            Refusal.MISMATCH, f"the report is signed by a {report.signing_key}, not {name_of(vek)}"
        )
    certified = vek_extensions.tcb(vek)
    if certified != report.reported_tcb:
        text = f"its key is certified for TCB {certified.hex()}, the report says {report.reported_tcb.hex()}"
        raise EvidenceRefusedError(Refusal.MISMATCH, text)
    if report.signing_key == "VCEK" and any(report.chip_id) and vek_extensions.hardware_id(vek) != report.chip_id:
        raise EvidenceRefusedError(Refusal.MISMATCH, "its key belongs to another chip")


def _check_signature(signed: bytes, report: SnpReport, vek: x509.Certificate) -> None:
    key = vek.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise EvidenceRefusedError(Refusal.MISMATCH, "its key is not one of P-384")
    try:
        key.verify(encode_dss_signature(*report.signature), signed, ec.ECDSA(SHA384()))
    except (InvalidSignature, ValueError):
        raise EvidenceRefusedError(Refusal.SIGNATURE, "the report is not signed by the key that was given") from None


@lru_cache(maxsize=256)
def _chain(vek: x509.Certificate, certificates: tuple[x509.Certificate, ...], roots: tuple[Root, ...]) -> Chain:
    """Return the chain from a key to a root that counts; windows and revocation are held against it elsewhere."""
    asks = [one for one in certificates if one.subject == vek.issuer and is_ca(one) and one != vek]
    if not asks:
        raise EvidenceRefusedError(Refusal.INCOMPLETE, "the certificate that signs the processor's key is missing")
    signers = [one for one in asks if isinstance(one.public_key(), rsa.RSAPublicKey) and _signs(one, vek)]
    if not signers:
        raise EvidenceRefusedError(Refusal.ENDORSEMENT_SIGNATURE, "the processor's key is not signed by its issuer")
    for ask in signers:
        for root in roots:
            if signed_by(ask, public_key(root.spki)):
                return Chain(vek, ask, root, ((ask, root.spki), (vek, spki(ask.public_key()))))
    raise _no_root(signers[0], certificates, roots)


def _signs(issuer: x509.Certificate, vek: x509.Certificate) -> bool:
    return signed_by(vek, issuer.public_key())


def _no_root(
    ask: x509.Certificate, certificates: tuple[x509.Certificate, ...], roots: tuple[Root, ...]
) -> EvidenceRefusedError:
    trusted = {root.spki_sha256 for root in roots}
    for one in certificates:
        if one.subject == ask.issuer and spki_sha256(one.public_key()) not in trusted and _signs(one, ask):
            return EvidenceRefusedError(Refusal.UNTRUSTED_ROOT, f"{name_of(one)} with this key is not a trusted root")
    issuers = {attribute.value for attribute in ask.issuer.get_attributes_for_oid(x509.NameOID.COMMON_NAME)}
    if any(root.name in issuers for root in roots):
        return EvidenceRefusedError(
            Refusal.ENDORSEMENT_SIGNATURE, f"{name_of(ask)} is not signed by the root that it names"
        )
    return EvidenceRefusedError(Refusal.UNTRUSTED_ROOT, f"{name_of(ask)} is not signed by a trusted root")
