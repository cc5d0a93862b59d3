"""Certificates and revocation lists, as far as vendors of TEEs use them.

Invariants:
- A link of a chain holds when names match and the issuer's key verifies; which root is trusted is decided elsewhere.
- Windows are held against the instant that is given, never against a clock.
"""

import hashlib
import warnings
from base64 import b64decode
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from domain.attestation.refusal import EvidenceRefusedError, Refusal
from domain.errors import MalformedError
from domain.time import SECOND_MS, rfc3339

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey

MAX_DER_BYTES = 1_048_576
_PSS_SALT_BYTES = 48
_LABELS = ("CERTIFICATE", "X509 CRL")
_BEGIN, _END, _DASHES = "-----BEGIN ", "-----END ", "-----"


def load_certificate(der: bytes) -> x509.Certificate:
    """Read a DER certificate. A VCEK's serial number is 0, of which `cryptography` only warns up to version 50.

    Whatever else it warns of refuses: names that are not what they say.

    Raises:
        MalformedError: when it is none.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", message="Parsed a serial number")
            certificate = x509.load_der_x509_certificate(der)
            _read_all(certificate)
            check_algorithm(der, certificate.tbs_certificate_bytes, certificate.signature)
    except Exception:  # noqa: BLE001 - the parser's many ways to fail, its panics excepted, are one
        raise MalformedError("not a certificate") from None
    return certificate


def check_algorithm(der: bytes, signed: bytes, signature: bytes) -> None:
    """Check that the algorithm beside a signature is the one under it (RFC 5280 4.1.1.2), and the rest is plain DER.

    Raises:
        MalformedError: when it isn't.
    """
    begin = der.index(signed) + len(signed)
    algorithm = der[begin : begin + 2 + der[begin + 1]]
    if algorithm not in signed or der[-len(signature) - 1] != 0:
        raise MalformedError("a signature's algorithm is not the one that was signed")


def _read_all(certificate: x509.Certificate) -> None:
    """Read what is read later: `cryptography` takes a certificate apart piece by piece, and each may be damaged."""
    certificate.public_key()
    for extension in certificate.extensions:
        extension.oid.dotted_string  # noqa: B018
    for name in (certificate.subject, certificate.issuer):
        name.rfc4514_string()
    seconds(certificate.not_valid_before_utc)
    seconds(certificate.not_valid_after_utc)
    certificate.signature_algorithm_oid, certificate.serial_number  # noqa: B018


def serial_number(certificate: x509.Certificate) -> int:
    """Return a certificate's serial number, 0 for a VCEK."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Parsed a serial number")
        return certificate.serial_number


def pem_blocks(text: str) -> list[tuple[str, bytes]]:
    """Return label and DER of every certificate and revocation list of a PEM text; other text is left out.

    Raises:
        MalformedError: when a block has no end, or its base64 is wrong.
    """
    return _scan(text)[0]


def pem_chain(text: str) -> tuple[x509.Certificate, ...]:
    """Return the certificates of a PEM text that holds nothing else.

    Raises:
        MalformedError: when there is anything else in it.
    """
    blocks, rest = _scan(text)
    if rest.strip("\0 \r\n\t") or any(label != "CERTIFICATE" for label, _ in blocks):
        raise MalformedError("a certificate chain holds more than certificates")
    return tuple(load_certificate(der) for _, der in blocks)


def _scan(text: str) -> tuple[list[tuple[str, bytes]], str]:
    """Return the blocks of a PEM text, and what stands between them."""
    blocks, rest, at = [], [], 0
    while (begin := text.find(_BEGIN, at)) >= 0:
        rest.append(text[at:begin])
        label, dashes, _ = text[begin + len(_BEGIN) : begin + 64].partition(_DASHES)
        start = begin + len(_BEGIN) + len(label) + len(_DASHES)
        closing = f"{_END}{label}{_DASHES}"
        end = text.find(closing, start) if dashes else -1
        if end < 0:
            raise MalformedError("a PEM block has no end")
        if label in _LABELS:
            blocks.append((label, _base64(text[start:end])))
        at = end + len(closing)
    return blocks, "".join([*rest, text[at:]])


def _base64(body: str) -> bytes:
    try:
        return b64decode("".join(body.split()), validate=True)
    except ValueError:
        raise MalformedError("a PEM block is not base64") from None


def spki(key: object) -> bytes:
    """Return the DER SubjectPublicKeyInfo of a public key."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined,no-any-return]


def spki_sha256(key: object) -> str:
    """Return the SHA-256 (hex) of a public key's SubjectPublicKeyInfo."""
    return hashlib.sha256(spki(key)).hexdigest()


@lru_cache(maxsize=256)
def public_key(der: bytes) -> object:
    """Return the public key of a DER SubjectPublicKeyInfo."""
    return load_der_public_key(der)


def name_of(certificate: x509.Certificate) -> str:
    """Return a certificate's common name for a text, or a dash."""
    names = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(names[0].value)[:64] if names else "-"


def is_ca(certificate: x509.Certificate) -> bool:
    """Tell whether a certificate may sign others (RFC 5280 4.2.1.9 and 4.2.1.3)."""
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return False
    return constraints.ca and usage.key_cert_sign


def signed_by(signed: x509.Certificate | x509.CertificateRevocationList, key: object) -> bool:
    """Tell whether a key signed: RSASSA-PSS with SHA-384 and a salt of 48 bytes (AMD), or ECDSA P-256 (Intel)."""
    body = signed.tbs_certificate_bytes if isinstance(signed, x509.Certificate) else signed.tbs_certlist_bytes
    try:
        if isinstance(key, rsa.RSAPublicKey):
            pss = padding.PSS(padding.MGF1(SHA384()), _PSS_SALT_BYTES)
            key.verify(signed.signature, body, pss, SHA384())
        elif isinstance(key, ec.EllipticCurvePublicKey):
            if not isinstance(signed.signature_hash_algorithm, SHA256):
                return False
            key.verify(signed.signature, body, ec.ECDSA(SHA256()))
        else:
            return False
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False
    return True


@dataclass(frozen=True, slots=True)
class Window:
    """When something is valid: from `begin_s` to `end_s`, both included, in seconds since 1970."""

    name: str
    begin_s: int
    end_s: int

    def check(self, at_s: int) -> None:
        """Hold an instant against it.

        Raises:
            EvidenceRefusedError: when it is not yet, or no longer valid.
        """
        if at_s < self.begin_s:
            text = f"{self.name} is valid from {rfc3339(self.begin_s * SECOND_MS)} on"
            raise EvidenceRefusedError(Refusal.NOT_YET_VALID, text)
        if at_s > self.end_s:
            text = f"{self.name} was valid until {rfc3339(self.end_s * SECOND_MS)}"
            raise EvidenceRefusedError(Refusal.EXPIRED, text)


@lru_cache(maxsize=1024)
def window_of(certificate: x509.Certificate) -> Window:
    """Return a certificate's validity."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return Window(name_of(certificate), seconds(begin), seconds(end))


def seconds(moment: datetime) -> int:
    """Return seconds since 1970."""
    return int(moment.timestamp())
