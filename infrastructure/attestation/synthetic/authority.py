"""Certificates and revocation lists of a synthetic vendor.

Invariants:
- Names say `Synthetic`, so nobody takes one for a vendor's; only a root named by hand lets it count.
- Algorithms are the vendors': RSASSA-PSS with SHA-384 and a salt of 48 (AMD), ECDSA P-256 with SHA-256 (Intel).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
Extension = tuple[str, bytes]
"""Object identifier and DER value."""

_PSS = padding.PSS(padding.MGF1(SHA384()), 48)
_MAX_SERIAL_BITS = 64


@dataclass(frozen=True, slots=True)
class Issuer:
    """A key with its certificate."""

    key: PrivateKey
    certificate: x509.Certificate

    @property
    def pem(self) -> bytes:
        """The certificate as PEM."""
        return self.certificate.public_bytes(Encoding.PEM)


def root(name: str, key: PrivateKey, begin_s: int, end_s: int) -> Issuer:
    """Return a self-signed root."""
    return issue(name, key, None, begin_s, end_s, ca=True)


def issue(
    name: str,
    key: PrivateKey,
    issuer: Issuer | None,
    begin_s: int,
    end_s: int,
    *,
    ca: bool = False,
    extensions: Sequence[Extension] = (),
) -> Issuer:
    """Return a certificate for a key, signed by an issuer (or itself), valid from `begin_s` to `end_s`."""
    subject = _name(name)
    by = subject if issuer is None else issuer.certificate.subject
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number() >> (159 - _MAX_SERIAL_BITS))
        .not_valid_before(_moment(begin_s))
        .not_valid_after(_moment(end_s))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(_usage(ca=ca), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    for identifier, value in extensions:
        extension = x509.UnrecognizedExtension(x509.ObjectIdentifier(identifier), value)
        builder = builder.add_extension(extension, critical=False)
    signer = key if issuer is None else issuer.key
    if isinstance(signer, rsa.RSAPrivateKey):
        return Issuer(key, builder.sign(signer, SHA384(), rsa_padding=_PSS))
    return Issuer(key, builder.sign(signer, SHA256()))


def revocation_list(issuer: Issuer, begin_s: int, end_s: int, *, number: int, revoked: Iterable[int] = ()) -> bytes:
    """Return an issuer's revocation list (DER) over serial numbers."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(_moment(begin_s))
        .next_update(_moment(end_s))
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.certificate.public_key()),  # type: ignore[arg-type]
            critical=False,
        )
    )
    for serial in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(_moment(begin_s)).build()
        builder = builder.add_revoked_certificate(entry)
    if isinstance(issuer.key, rsa.RSAPrivateKey):
        crl = builder.sign(issuer.key, SHA384(), rsa_padding=_PSS)
    else:
        crl = builder.sign(issuer.key, SHA256())
    return crl.public_bytes(Encoding.DER)


def p256() -> ec.EllipticCurvePrivateKey:
    """Return a fresh key as Intel's platforms have."""
    return ec.generate_private_key(ec.SECP256R1())


def _name(name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Synthetic platforms of Enclave Ledger"),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def _moment(at_s: int) -> datetime:
    return datetime.fromtimestamp(at_s, UTC)
