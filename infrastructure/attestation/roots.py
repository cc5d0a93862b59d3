"""Whom evidence may rest on: vendors' root keys, compiled in, or one that was named by hand.

Invariants:
- A vendor's root is its key: what the SHA-256 of its SubjectPublicKeyInfo is, stands here. No file that comes with
  evidence adds to that list, or is taken for a root.
- A root named by hand stands alone: with it no vendor's counts, unless it is one. What it vouches for is `synthetic`.
"""

import hashlib
from base64 import b64decode
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from domain.attestation.claims import EvidenceClass
from domain.errors import MalformedError
from infrastructure.attestation.certificates import Window, load_certificate, name_of, pem_blocks, spki, window_of

INTEL_SGX_ROOT_CA = "a0af031289f5d5d4132f9186068a7fc13628633ba235777472e29b6b6c67a49e"
ARK_MILAN = "9f056bee44377e29308cb5ffa895bdfb62d18881fa6bed8d6f075b0204089cb9"
ARK_GENOA = "429a69c9422aa258ee4d8db5fcda9c6470ef15f8cd5a9cebd6cbc7d90b863831"
VENDORS = frozenset({INTEL_SGX_ROOT_CA, ARK_MILAN, ARK_GENOA})

MAX_ROOT_FILE_BYTES = 65_536
_MAX_ROOTS = 8

_INTEL_KEY = (
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEC6nEwMDIYZOj/iPWsCzaEKi71OiOSLRFhWGjbnBVJfVnkY4u3IjkDYYL0MxO4mqsyYjlBalTVYxFP2sJ"
    "BK5zlA=="
)
_MILAN_KEY = (
    "MIICIjANBgkqhkiG9w0BAQEFAAOCAg8AMIICCgKCAgEA0Ld52RJOdeiJlqK2JdsVmD7FktuotWwX1fNgW41XY9Xz1HEhSUmhLz9Cu9DHRlvg"
    "JSNxbeYYsnJfvyjx1MfU0V5tkKiU1EesNFta1kTA0szNisdYc9isqk7mXT5+KfGRbfc4V/9zRIcE8jlHN61S1ju8X93+6dxDUrG2SzxqJ4Bh"
    "qyYmUDruPXJSX4vUc01P7j98MpqOS95rORdGHeI52Naz5m2B+O+vjsC060d37jY9LFeuOP4Meri8qgfi2S5kKqg/aF6aPtuAZQVR7u3KFYXP"
    "59XmJgtcog05gmI0T/OitLhuzVvpZcLph0odh/1IPXqx3+MnjD97A7fXpqGd/y8KxX7jksTEzAOgbKAeam3lm+3yKIcTYMlsRMXPcjNbIvms"
    "BykD//xSniusuHBkgnlENEWx1UcbQQrs+gVDkuVPhsnzIRNgYvM48Y+7LGiJYnrmE8xcrexekBxrva2V9TJQqnN3Q53kt5viQi3+gCfmkwC0"
    "F0tirIZbLkXPrPwzZ0M9eNxhIySb2npJfgnqz55I0u33wh4r0ZNQeTGfw03MBUtyuzGesGkcw+loqMaq1qR4tjGbPYxCvpCq7+OgpCCoMNit"
    "2uLo9M18fHz10lOMT8nWAUvRZFzteXCm+7PHdYPlmQwUw3LvenJ/ILXoQPHfbkH0CyPfhl1jWhJFZasCAwEAAQ=="
)
_GENOA_KEY = (
    "MIICIjANBgkqhkiG9w0BAQEFAAOCAg8AMIICCgKCAgEA3Cd95S/uFOuRIskW9vz9VDBF69NDQF79oRhL/L2PVQGhK3YdfEBgpF/JiwWFBsT/"
    "fXDhzA01p3LkcT/7LdjcRfKXjHl+0Qq/M4dZkh6QDoUeKzNBLDcBKDDGWo3v35NyrxbA1DnkYwUKU5AAk4P94tKXLp80oxt84ahyHoLmc/Lq"
    "sGsp+oq1Bz4PPsYLwTG4iMKVaaT90/oZ4I8oibSru92vJhlqWO27d/Rxc3iUMyhNeGToOvgx/iUo4gGpG61NDpkEUvIzuKcaMx8IdTpWg2DF"
    "6SwF0IgVMffnvtJmA68BwJNWo1E4PLJdaPfBifcJpuBFwNVQIPQEVX3aP89HJSp8YbY9lySS6PlVEqTBBtaQmi4ATGmMR+n2K/e+JAhU2Gj7"
    "jIpJhOkdH9firQDnmlA2SFfJ/Cc0mGNzW9RmIhyOUnNFoclmkRhl3/AQU5Ys9Qsan1jT/EiyT+pCpmnA+y9edvhDCbOG8F2oxHGRdTBkylun"
    "grkXJGYiwGrR8kaiqv7NN8QhOBMqYjcbrkEr0f8QMKklIS5ruOfqlLMCBw8JLB3LkjpWgtD7OpxkzSsohN47Uom86RY6lp72g8eXHP1qYrnv"
    "hzaG1S70vw6OkbaaC9EjiH/uHgAJQGxon7u0Q7xgoREWA/e7JcBQwLg80Hq/sbRuqesxz7wBWSY254cCAwEAAQ=="
)


@dataclass(frozen=True, slots=True)
class Root:
    """A trusted root: its common name, key (DER SPKI), validity, and the whole (DER) where it is a file's."""

    name: str
    spki: bytes
    window: Window
    certificate: bytes | None = None

    @property
    def spki_sha256(self) -> str:
        """What the root is known by (hex)."""
        return hashlib.sha256(self.spki).hexdigest()

    @property
    def evidence_class(self) -> EvidenceClass:
        """Vendor for a key of the list above, synthetic for every other."""
        return EvidenceClass.VENDOR if self.spki_sha256 in VENDORS else EvidenceClass.SYNTHETIC


@dataclass(frozen=True, slots=True)
class Roots:
    """The roots that count in one verification, by the kind of vendor that uses such keys."""

    amd: tuple[Root, ...]
    intel: Root | None


def vendor_roots() -> Roots:
    """Return what is compiled in: ARK Milan, ARK Genoa, Intel SGX Root CA."""
    return _VENDOR_ROOTS


def named_roots(data: bytes) -> Roots:
    """Return the roots in a file that was named by hand: PEM or DER certificates, RSA for SNP, P-256 for SGX and TDX.

    Raises:
        MalformedError: when it holds no such certificate, several for Intel's formats, or more than eight.
    """
    if len(data) > MAX_ROOT_FILE_BYTES:
        raise MalformedError(f"a file of roots is at most {MAX_ROOT_FILE_BYTES} bytes")
    try:
        certificates = [load_certificate(der) for der in _ders(data)]
    except MalformedError:
        raise MalformedError("a file of roots holds something else than certificates (PEM or DER)") from None
    if not 0 < len(certificates) <= _MAX_ROOTS:
        raise MalformedError("a file of roots holds one to eight certificates")
    roots = [(certificate.public_key(), _root(certificate)) for certificate in certificates]
    amd = tuple(root for key, root in roots if isinstance(key, rsa.RSAPublicKey))
    intel = [root for key, root in roots if isinstance(key, ec.EllipticCurvePublicKey)]
    if len(intel) > 1 or len(amd) + len(intel) != len(roots):
        raise MalformedError("a file of roots holds RSA certificates (SNP) and at most one of a P-256 key (SGX, TDX)")
    return Roots(amd, intel[0] if intel else None)


def root_among(spki_sha256: str, candidates: Iterable[x509.Certificate]) -> Roots:
    """Return the root of that key among certificates that came along. Who asks has the name from elsewhere.

    Raises:
        MalformedError: when it is not there.
    """
    for certificate in candidates:
        root = _root(certificate)
        if root.spki_sha256 == spki_sha256:
            is_rsa = isinstance(certificate.public_key(), rsa.RSAPublicKey)
            return Roots((root,), None) if is_rsa else Roots((), root)
    raise MalformedError("the root that evidence rests on did not come along")


def _ders(data: bytes) -> list[bytes]:
    if b"-----BEGIN" not in data:
        return [data]
    return [der for label, der in pem_blocks(data.decode("ascii", "replace")) if label == "CERTIFICATE"]


def _root(certificate: x509.Certificate) -> Root:
    return Root(
        name=name_of(certificate),
        spki=spki(certificate.public_key()),
        window=window_of(certificate),
        certificate=certificate.public_bytes(Encoding.DER),
    )


def _compiled_in(name: str, key: str, begin_s: int, end_s: int) -> Root:
    return Root(name, b64decode(key), Window(name, begin_s, end_s))


_VENDOR_ROOTS = Roots(
    amd=(
        _compiled_in("ARK-Milan", _MILAN_KEY, 1_603_387_385, 2_392_305_785),
        _compiled_in("ARK-Genoa", _GENOA_KEY, 1_643_211_277, 2_432_129_677),
    ),
    intel=_compiled_in("Intel SGX Root CA", _INTEL_KEY, 1_526_899_510, 2_524_607_999),
)
