"""What comes with evidence, sorted by content: certificates, revocation lists, Intel collateral.

Invariants:
- Names of files say nothing: PEM, DER, JSON and hex of DER are told apart by what is in them. Whatever is none of these
  is passed over and counted.
- Nothing sorted here is trusted: chains end at the roots of `roots.py`, never at a certificate from here.
- Sizes and numbers are bounded before anything is parsed.
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import orjson
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from domain.errors import MalformedError
from infrastructure.attestation.certificates import MAX_DER_BYTES, load_certificate, pem_blocks
from infrastructure.attestation.revocation import RevocationList, load_crl

MAX_FILE_BYTES = 4_194_304
MAX_TOTAL_BYTES = 16_777_216
MAX_FILES = 512
MAX_CERTIFICATES = 256

_COLLATERAL = frozenset(
    {
        "pck_crl_issuer_chain",
        "root_ca_crl",
        "pck_crl",
        "tcb_info_issuer_chain",
        "tcb_info",
        "tcb_info_signature",
        "qe_identity_issuer_chain",
        "qe_identity",
        "qe_identity_signature",
    }
)
_HEX = re.compile(rb"[0-9A-Fa-f\s]+")
_SEQUENCE = b"\x30"


@dataclass(frozen=True, slots=True)
class Endorsements:
    """Sorted endorsements. `collateral` are JSON texts with at least the nine members of QuoteCollateralV3."""

    certificates: tuple[x509.Certificate, ...] = ()
    crls: tuple[RevocationList, ...] = ()
    collateral: tuple[str, ...] = ()
    passed_over: int = 0

    def __bool__(self) -> bool:
        return bool(self.certificates or self.collateral)


def read_endorsements(path: Path) -> Endorsements:
    """Sort one file, or all files below a directory.

    Raises:
        MalformedError: when it can't be read, or is larger than what is taken.
    """
    return sort_endorsements(_contents(path))


def sort_endorsements(contents: Iterable[bytes]) -> Endorsements:
    """Sort contents of files.

    Raises:
        MalformedError: when there are too many certificates, or bytes in all.
    """
    certificates: dict[bytes, x509.Certificate] = {}
    crls: dict[bytes, RevocationList] = {}
    collateral: dict[str, None] = {}
    passed_over = total = 0
    for content in contents:
        total += len(content)
        if total > MAX_TOTAL_BYTES:
            raise MalformedError(f"endorsements are at most {MAX_TOTAL_BYTES} bytes in all")
        try:
            found = _sort(content)
        except MalformedError:
            found = []
        passed_over += not found
        for one in found:
            if isinstance(one, str):
                collateral[one] = None
            elif isinstance(one, x509.Certificate):
                certificates[one.fingerprint(SHA256())] = one
            else:
                crls[one.der] = one
        if len(certificates) + len(crls) + len(collateral) > MAX_CERTIFICATES:
            raise MalformedError(f"endorsements are at most {MAX_CERTIFICATES} certificates, lists and collaterals")
    return Endorsements(tuple(certificates.values()), tuple(crls.values()), tuple(collateral), passed_over)


Found = x509.Certificate | RevocationList | str


def _sort(content: bytes) -> list[Found]:
    stripped = content.strip()
    if content.startswith(_SEQUENCE) and len(content) <= MAX_DER_BYTES:
        return [_der(content)]
    if stripped.startswith(b"{"):
        return _collateral(stripped)
    if b"-----BEGIN " in content and b"\0" not in content:
        return _pem(content.decode("utf-8", "replace"))
    if stripped and len(stripped) <= 2 * MAX_DER_BYTES and _HEX.fullmatch(stripped):
        try:
            return [_der(bytes.fromhex(stripped.decode("ascii")))]
        except ValueError:
            return []
    return []


def _pem(text: str) -> list[Found]:
    found: list[Found] = []
    for label, der in pem_blocks(text):
        try:
            found.append(load_certificate(der) if label == "CERTIFICATE" else load_crl(der))
        except MalformedError:
            continue
    return found


def _der(data: bytes) -> Found:
    try:
        return load_certificate(data)
    except MalformedError:
        return load_crl(data)


def _collateral(data: bytes) -> list[Found]:
    try:
        value = orjson.loads(data)
    except ValueError:
        return []
    if not isinstance(value, dict) or not value.keys() >= _COLLATERAL:
        return []
    return [data.decode("utf-8")]


def _contents(path: Path) -> list[bytes]:
    try:
        if not path.is_dir():
            return [_content(path)]
        below = (Path(folder) / name for folder, _, names in os.walk(path) for name in names)
        files = sorted(file for file in islice(below, MAX_FILES + 1) if file.is_file())
        if len(files) > MAX_FILES:
            raise MalformedError(f"{path} holds more than {MAX_FILES} files")
        return [_content(file) for file in files if file.stat().st_size <= MAX_FILE_BYTES]
    except OSError as error:
        raise MalformedError(f"cannot read {path}: {error.strerror or error}") from None


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise MalformedError(f"{path} is larger than {MAX_FILE_BYTES} bytes")
    return content
