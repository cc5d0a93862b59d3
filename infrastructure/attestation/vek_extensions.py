"""What AMD certifies about a processor's key: X.509 extensions 1.3.6.1.4.1.3704.1 (AMD 57230, tables VCEK and VLEK).

Invariants:
- Each value has one reading: a DER INTEGER of one byte, an IA5String, or 64 bytes (bare, or as an OCTET STRING).
- Only Milan's and Genoa's order of the TCB is known here. A Turin key is refused by that name.
"""

from functools import lru_cache

from cryptography import x509

from domain.attestation.refusal import EvidenceRefusedError, Refusal

ARC = "1.3.6.1.4.1.3704.1"
PRODUCT_NAME = f"{ARC}.2"
SPL_OIDS = (
    f"{ARC}.3.1",
    f"{ARC}.3.2",
    f"{ARC}.3.4",
    f"{ARC}.3.5",
    f"{ARC}.3.6",
    f"{ARC}.3.7",
    f"{ARC}.3.3",
    f"{ARC}.3.8",
)
"""In the order of a TCB version's bytes: boot loader, TEE, four reserved, SNP, microcode."""
_RESERVED = frozenset(SPL_OIDS[2:6])
_ZERO = bytes((2, 1, 0))
"""A reserved part that a certificate leaves out is zero."""
FMC_SPL = f"{ARC}.3.9"
HARDWARE_ID = f"{ARC}.4"
CSP_ID = f"{ARC}.5"

_PRODUCTS = {"Milan": "Milan", "Genoa": "Genoa", "Bergamo": "Genoa", "Siena": "Genoa"}
"""Product names and the line whose chain serves them."""
_INTEGER, _OCTET_STRING, _IA5_STRING = 0x02, 0x04, 0x16
_CHIP_BYTES = 64
_MAX_SPL = 255


def is_endorsement_key(certificate: x509.Certificate) -> bool:
    """Tell whether a certificate is a VCEK's or VLEK's, by its extensions."""
    return SPL_OIDS[0] in _extensions(certificate)


def refuse_turin(certificate: x509.Certificate) -> None:
    """Refuse a key of a Turin processor.

    Raises:
        EvidenceRefusedError: with that name.
    """
    if _product_name(certificate).startswith("Turin") or FMC_SPL in _extensions(certificate):
        raise EvidenceRefusedError(Refusal.UNSUPPORTED, "SEV-SNP on Turin is not supported")


def product(certificate: x509.Certificate) -> str:
    """Return Milan or Genoa.

    Raises:
        EvidenceRefusedError: for another product, by its name.
    """
    name = _product_name(certificate)
    line = _PRODUCTS.get(name.partition("-")[0])
    if line is None:
        raise EvidenceRefusedError(Refusal.UNSUPPORTED, f"SEV-SNP on {name[:32]!a} is not supported")
    return line


@lru_cache(maxsize=1024)
def tcb(certificate: x509.Certificate) -> bytes:
    """Return the TCB version (8 bytes) that a key is certified for.

    Raises:
        EvidenceRefusedError: when a part is missing or no number from 0 to 255.
    """
    extensions = _extensions(certificate)
    return bytes(_number(extensions.get(oid, _ZERO if oid in _RESERVED else b"")) for oid in SPL_OIDS)


def hardware_id(certificate: x509.Certificate) -> bytes | None:
    """Return the chip (64 bytes) that a key belongs to; None where the certificate names none (a VLEK)."""
    value = _extensions(certificate).get(HARDWARE_ID)
    if value is not None and value[:2] == bytes((_OCTET_STRING, _CHIP_BYTES)):
        value = value[2:]
    return value if value is not None and len(value) == _CHIP_BYTES else None


def _product_name(certificate: x509.Certificate) -> str:
    value = _extensions(certificate).get(PRODUCT_NAME, b"")
    text = value[2:]
    return text.decode("ascii", "replace") if value[:2] == bytes((_IA5_STRING, len(text) & 0x7F)) else "?"


def _number(value: bytes) -> int:
    if len(value) < 3 or value[:2] != bytes((_INTEGER, len(value) - 2 & 0x7F)):  # noqa: PLR2004 - tag, length, value
        raise EvidenceRefusedError(Refusal.MISMATCH, "a part of the TCB is not certified")
    number = int.from_bytes(value[2:], "big", signed=True)
    if not 0 <= number <= _MAX_SPL:
        raise EvidenceRefusedError(Refusal.MISMATCH, "a certified part of the TCB is not a byte")
    return number


@lru_cache(maxsize=1024)
def _extensions(certificate: x509.Certificate) -> dict[str, bytes]:
    return {
        one.oid.dotted_string: one.value.value
        for one in certificate.extensions
        if isinstance(one.value, x509.UnrecognizedExtension)
    }
